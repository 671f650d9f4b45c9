/**
 * What a COPY has put into a layer, path by path, in the order of its tar. By it the next COPY to the same place knows
 * what is there already, and the tar is measured without reading the files.
 */
import * as fs from 'node:fs';
import type { ByteString } from '#pkg/archive/entry.ts';

/** `parent`: a directory that is not the COPY's own; what it is like is the file system's to say. */
export type PlacedKind = 'file' | 'directory' | 'symlink' | 'parent';

export interface Placed {
  readonly path: ByteString;
  readonly kind: PlacedKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly size: number;
  readonly offset: number;
  readonly hash: string;
  readonly link: ByteString;
}

const codes: readonly PlacedKind[] = ['file', 'directory', 'symlink', 'parent'];

/** The last lists that this thread has had: the next job wants one of them. */
const remembered = new Map<string, readonly Placed[]>();
const REMEMBERED_MAX = 2;

export function rememberList(file: string, placed: readonly Placed[]): void {
  remembered.delete(file);
  remembered.set(file, placed);
  for (const oldest of remembered.keys()) {
    if (remembered.size <= REMEMBERED_MAX) break;
    remembered.delete(oldest);
  }
}

export const forgetLists = (): void => remembered.clear();

/** Undefined when neither this thread nor the disk has it. */
export function findList(file: string): readonly Placed[] | undefined {
  const known = remembered.get(file) ?? (fs.existsSync(file) ? readList(file) : undefined);
  if (known !== undefined) rememberList(file, known);
  return known;
}

export function writeList(file: string, placed: Iterable<Placed>): void {
  const rows: unknown[] = [];
  for (const { path, kind, mode, uid, gid, seconds, nanoseconds, size, offset, hash, link } of placed) {
    rows.push([path, codes.indexOf(kind), mode, uid, gid, seconds, nanoseconds, size, offset, hash, link]);
  }
  fs.writeFileSync(file, JSON.stringify(rows), { mode: 0o600 });
}

function readList(file: string): Placed[] {
  // as: only `writeList` makes such files, in a directory that is the engine's alone.
  const rows = JSON.parse(fs.readFileSync(file, 'utf8')) as readonly (readonly [
    string,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    string,
    string,
  ])[];
  return rows.map(([path, code, mode, uid, gid, seconds, nanoseconds, size, offset, hash, link]) => ({
    path,
    kind: codes[code] ?? 'parent',
    mode,
    uid,
    gid,
    seconds,
    nanoseconds,
    size,
    offset,
    hash,
    link,
  }));
}

/** Where it lies in the contents is not part of what it is. */
export function isSamePlaced(a: Placed, b: Placed): boolean {
  if (a.kind !== b.kind) return false;
  if (a.kind === 'parent') return true;
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.seconds === b.seconds &&
    a.nanoseconds === b.nanoseconds &&
    a.size === b.size &&
    a.hash === b.hash &&
    a.link === b.link
  );
}
