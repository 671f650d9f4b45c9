/**
 * The files of one log, oldest first, held by descriptors so that a rotation meanwhile changes nothing for a reader. They
 * are opened from the newest to the oldest: a file that is renamed in between is met again and known by its inode, or by
 * its key when it was compressed since. A compressed one is only decompressed when something of it is wanted.
 */
import { dirname } from 'node:path';
import { close, fstat, open } from '#sys/files.ts';
import { isErrno } from '#sys/errno.ts';
import { O } from '#sys/numbers.ts';
import { compressedKey, type Compression, compressionOf, decompressed, keyOf } from './compressed.ts';
import { type LogFileTarget, rotatedPath } from './log-file.ts';

type Files = Pick<LogFileTarget, 'driver' | 'path' | 'maxFiles'>;

export class OpenFile implements Disposable {
  readonly #path: string;
  readonly ino: bigint;
  /** Nothing in it is newer. */
  readonly changedNs: bigint;
  #compression: Compression | undefined;
  #fd: number;
  #key: string | undefined;

  private constructor(path: string, fd: number, compression: Compression | undefined) {
    this.#path = path;
    this.#fd = fd;
    this.#compression = compression;
    const { ino, mtimeNs } = fstat(fd);
    this.ino = ino;
    this.changedNs = mtimeNs;
  }

  /** Undefined when there is none. */
  static open(path: string, compression?: Compression): OpenFile | undefined {
    try {
      return new OpenFile(path, open(path, O.RDONLY | O.NOFOLLOW | O.NONBLOCK), compression);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  /** Before `fd` and `size` are asked for. */
  async prepare(): Promise<this> {
    if (this.#compression === undefined) return this;
    const key = this.#keyOf();
    const fd = await decompressed(this.#fd, dirname(this.#path), this.#compression);
    close(this.#fd);
    this.#fd = fd;
    this.#key = key;
    this.#compression = undefined;
    return this;
  }

  /** Needs no preparation. */
  get plain(): boolean {
    return this.#compression === undefined;
  }

  /** Of the plain content. Preconditions: prepared. */
  get fd(): number {
    return this.#fd;
  }

  size(): number {
    return fstat(this.#fd).size;
  }

  sameAs(other: OpenFile): boolean {
    if (this.#compression === undefined && other.#compression === undefined && this.#key === other.#key) {
      return this.ino === other.ino;
    }
    return this.#keyOf() === other.#keyOf();
  }

  #keyOf(): string {
    return this.#key ?? (this.#compression === undefined ? keyOf(this.#fd) : compressedKey(this.#fd));
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

/** All files, or those that are newer than that one. */
export function openFiles(log: Files, newerThan?: OpenFile): OpenFile[] {
  const files: OpenFile[] = [];
  const compression = compressionOf(log.driver);
  for (let i = 0; i < log.maxFiles; i++) {
    const path = rotatedPath(log.path, i);
    const file = OpenFile.open(path) ?? (i > 0 ? OpenFile.open(`${path}.${compression}`, compression) : undefined);
    if (file === undefined) continue;
    if (newerThan !== undefined && file.sameAs(newerThan)) {
      file[Symbol.dispose]();
      break;
    }
    if (files.some((other) => other.sameAs(file))) file[Symbol.dispose]();
    else files.unshift(file);
  }
  return files;
}
