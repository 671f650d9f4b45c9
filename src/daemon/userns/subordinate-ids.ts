/**
 * /etc/subuid and /etc/subgid: which ranges of ids a user may give to user namespaces. Lines are `NAME-OR-ID:START:COUNT`;
 * what is no such line is nobody's.
 */
import * as fs from 'node:fs';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';

export interface IdRange {
  readonly start: number;
  readonly count: number;
}

export interface SubordinateFiles {
  readonly uids: string;
  readonly gids: string;
}

export const systemFiles: SubordinateFiles = { uids: '/etc/subuid', gids: '/etc/subgid' };

/** Lowest id that useradd gives, and the size of what it gives. */
const LOWEST = 100_000;
const COUNT = 65_536;

interface Line extends IdRange {
  readonly owner: string;
}

function linesOf(text: string): Line[] {
  return text.split('\n').flatMap((line) => {
    const match = /^([^:#]+):([0-9]+):([0-9]+)$/.exec(line.trim());
    return match === null ? [] : [{ owner: match[1] ?? '', start: Number(match[2]), count: Number(match[3]) }];
  });
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

/** Ranges of an owner by name or number, in the order of the file. */
export function rangesOf(file: string, names: readonly string[]): IdRange[] {
  return linesOf(read(file))
    .filter(({ owner, count }) => names.includes(owner) && count > 0)
    .map(({ start, count }) => ({ start, count }));
}

/** Gives `owner` a range behind all others in both files, as dockerd has it done for `dockremap`. */
export function addRange(files: SubordinateFiles, owner: string): void {
  for (const file of [files.uids, files.gids]) {
    const text = read(file);
    if (linesOf(text).some((line) => line.owner === owner)) continue;
    const start = linesOf(text).reduce((end, line) => Math.max(end, line.start + line.count), LOWEST);
    const before = text === '' || text.endsWith('\n') ? text : `${text}\n`;
    writeFileAtomic(file, `${before}${owner}:${start}:${COUNT}\n`, { mode: 0o644 });
  }
}
