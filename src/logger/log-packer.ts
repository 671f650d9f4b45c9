/**
 * Compresses rotated log files in the background, one at a time (the work is done on the runtime's pool of threads). A log
 * that is rotated again and again while one of its files is worked on has only its newest waiting: the others are about to
 * be deleted anyway.
 */
import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { compressFile, compressionOf, isFile } from './compressed.ts';
import { type PackedFile, rotatedPath } from './log-file.ts';

/** Files that are being made: log, process, number. */
const SUFFIX = '.tmp';

type RotatedFile = Omit<PackedFile, 'packed' | 'key'>;

export class LogPacker {
  readonly #done: (file: PackedFile) => void;
  readonly #waiting = new Map<string, RotatedFile>();
  #made = 0;
  #closed = false;
  #working: Promise<void> | undefined;

  constructor(done: (file: PackedFile) => void) {
    this.#done = done;
  }

  add(file: RotatedFile): void {
    if (this.#closed) return;
    this.#waiting.set(file.path, file);
    this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    for (;;) {
      const [next] = this.#waiting.values();
      if (next === undefined || this.#closed) break;
      this.#waiting.delete(next.path);
      try {
        await this.#pack(next);
      } catch (error) {
        // The container was removed meanwhile, or the disk is full: the plain file stays what it is.
        log.debug('a rotated log is not compressed', { path: next.path, err: messageOf(error) });
      }
    }
    this.#working = undefined;
  }

  async #pack(file: RotatedFile): Promise<void> {
    // Rotation moves it on; the descriptor that is read stays with the file.
    for (let i = 1; i < file.maxFiles; i++) {
      const plain = rotatedPath(file.path, i);
      if (!isFile(plain, file.ino)) continue;
      removeAbandoned(file.path);
      const packed = `${file.path}.${process.pid}-${this.#made++}${SUFFIX}`;
      const key = await compressFile(plain, packed, compressionOf(file.driver));
      if (!this.#closed) this.#done({ ...file, packed, key });
      return;
    }
  }

  /** Leaves what is being done; a file that is half written is removed by the next daemon. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.clear();
    await this.#working;
  }
}

/** What a daemon that was killed had begun. */
function removeAbandoned(path: string): void {
  const prefix = `${basename(path)}.`;
  for (const name of readdirSync(dirname(path))) {
    if (!name.startsWith(prefix) || !name.endsWith(SUFFIX) || name.startsWith(`${prefix}${process.pid}-`)) continue;
    rmSync(join(dirname(path), name), { force: true });
  }
}
