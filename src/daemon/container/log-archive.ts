/**
 * Logs of containers that were removed, kept for a while so that they can still be searched: `log-archive/TIME-ID` below
 * the data root, each with the log's files and what they were. The oldest go when all together are larger than the budget
 * or older than it says. Nothing is copied: files are renamed. Of a log that is larger than the budget the newest files
 * are kept, as far as they fit.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { LogFileTarget } from '#logger/log-file.ts';
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';

export interface ArchiveBudget {
  /** 0: nothing is kept. */
  readonly sizeBytesMax: number;
  readonly ageMsMax: number;
}

/** What is known of a log when its container goes. */
export interface ArchivedLog {
  readonly id: string;
  readonly name: string;
  readonly driver: LogFileTarget['driver'];
  /** Of the newest file. */
  readonly fileName: string;
  readonly maxFiles: number;
}

interface Entry {
  readonly directory: string;
  readonly removedMs: number;
  readonly bytes: number;
}

const FACTS = 'log.json';

export class LogArchive {
  readonly #root: string;
  readonly #budget: () => ArchiveBudget;
  /** Oldest first; read from the disk when first needed. */
  #entries: Entry[] | undefined;

  constructor(root: string, budget: () => ArchiveBudget) {
    this.#root = root;
    this.#budget = budget;
  }

  /** Takes a log's files out of the container's directory, which is about to be deleted. Never throws. */
  keep(directory: string, archived: ArchivedLog, nowMs = Date.now()): void {
    const { sizeBytesMax } = this.#budget();
    if (sizeBytesMax === 0) return;
    try {
      const files = filesOf(directory, archived, sizeBytesMax);
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      if (bytes === 0) return;
      const entries = this.#known();
      this.#forgetOld(entries, sizeBytesMax - bytes, nowMs);
      const target = path.join(this.#root, `${nowMs}-${archived.id}`);
      fs.mkdirSync(target, { recursive: true, mode: 0o700 });
      entries.push({ directory: target, removedMs: nowMs, bytes });
      fs.writeFileSync(path.join(target, FACTS), JSON.stringify(archived), { mode: 0o600 });
      for (const { name } of files) fs.renameSync(path.join(directory, name), path.join(target, name));
    } catch (error) {
      log.warn('the log of a removed container is not kept', { container: archived.id, err: messageOf(error) });
    }
  }

  /** All that are kept, oldest first. */
  list(nowMs = Date.now()): { readonly log: ArchivedLog; readonly directory: string }[] {
    const entries = this.#known();
    this.#forgetOld(entries, this.#budget().sizeBytesMax, nowMs);
    return entries.flatMap(({ directory }) => {
      const facts = factsOf(directory);
      return facts === undefined ? [] : [{ log: facts, directory }];
    });
  }

  #known(): Entry[] {
    this.#entries ??= fs.existsSync(this.#root) ? readEntries(this.#root) : [];
    return this.#entries;
  }

  #forgetOld(entries: Entry[], sizeBytesMax: number, nowMs: number): void {
    let bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    const oldest = nowMs - this.#budget().ageMsMax;
    for (let entry = entries[0]; entry !== undefined; entry = entries[0]) {
      if (bytes <= sizeBytesMax && entry.removedMs >= oldest) return;
      fs.rmSync(entry.directory, { recursive: true, force: true });
      bytes -= entry.bytes;
      entries.shift();
    }
  }
}

function readEntries(root: string): Entry[] {
  return fs
    .readdirSync(root)
    .filter((name) => /^\d+-[0-9a-f]{64}$/.test(name))
    .map((name) => {
      const directory = path.join(root, name);
      const files = fs.readdirSync(directory).filter((file) => file !== FACTS);
      const sizes = files.map((file) => fs.statSync(path.join(directory, file)).size);
      return { directory, removedMs: Number.parseInt(name, 10), bytes: sizes.reduce((sum, size) => sum + size, 0) };
    })
    .sort((a, b) => a.removedMs - b.removedMs);
}

/** The newest files of a log that fit. */
function filesOf(
  directory: string,
  { fileName }: ArchivedLog,
  sizeBytesMax: number,
): { name: string; bytes: number }[] {
  const number = (name: string) => Number(/\.(\d+)(?:\.\w+)?$/.exec(name.slice(fileName.length))?.[1] ?? 0);
  const mine = fs
    .readdirSync(directory)
    .filter((name) => name === fileName || /^\.\d+(\.gz|\.zst)?$/.test(name.replace(fileName, '')))
    .sort((a, b) => number(a) - number(b));
  const files: { name: string; bytes: number }[] = [];
  let left = sizeBytesMax;
  for (const name of mine) {
    const { size } = fs.statSync(path.join(directory, name));
    if (size > left) break;
    left -= size;
    files.push({ name, bytes: size });
  }
  return files;
}

function factsOf(directory: string): ArchivedLog | undefined {
  try {
    // as: written by `keep`, in a directory that only we can write to.
    return JSON.parse(fs.readFileSync(path.join(directory, FACTS), 'utf8')) as ArchivedLog;
  } catch {
    // The daemon was killed before it was written.
    return undefined;
  }
}
