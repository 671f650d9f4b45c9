/**
 * The file that a container's log is written to, with rotation: `path` is the newest, `path.1` the one before.
 * A file is full when it has reached its size; the line that reaches it is still written whole.
 *
 * Rotation unlinks the oldest first and renames to free names only: on ext4 a rename over an existing file costs half of
 * the throughput. It may be interrupted anywhere and begun again: only names below the first free one move.
 */
import { close, fstat, ftruncate, open, renameat2, unlinkat, writeAll } from '#sys/files.ts';
import { isErrno } from '#sys/errno.ts';
import { AT, O } from '#sys/numbers.ts';
import { compressionOf, isFile } from './compressed.ts';

/** How one container's log is written; plain values, so it travels to the pump's thread. */
export interface LogFileTarget {
  readonly driver: 'json-file' | 'local';
  readonly path: string;
  /** -1: unbounded. */
  readonly maxSizeBytes: number;
  /** Files at most, the newest included. */
  readonly maxFiles: number;
  /** Rotated files are compressed, in the background. */
  readonly compress: boolean;
  /** JSON of the extra attributes (tag, labels, env), or empty. */
  readonly attrs: string;
  /** Nothing is deleted that its remote can take and has not got yet (position.ts). Absent: no. */
  readonly keepUnsent?: boolean;
}

const LOG_MODE = 0o640;

/** Without what a driver has besides. */
export function plainTarget(log: LogFileTarget | undefined): LogFileTarget | undefined {
  if (log === undefined) return undefined;
  const { driver, path, maxSizeBytes, maxFiles, compress, attrs, keepUnsent = false } = log;
  return { driver, path, maxSizeBytes, maxFiles, compress, attrs, ...(keepUnsent ? { keepUnsent } : {}) };
}

/** `path.i`, or the newest for 0. */
export function rotatedPath(path: string, i: number): string {
  return i === 0 ? path : `${path}.${i}`;
}

export class LogFile implements Disposable {
  readonly target: LogFileTarget;
  #fd = -1;
  #size = 0;
  #ino = 0n;

  /** Opens the log, or makes it; its directory exists. */
  constructor(target: LogFileTarget) {
    this.target = target;
    this.#open();
  }

  /** Bytes in the newest file, as far as we know: somebody may have truncated it since. */
  get size(): number {
    return this.#size;
  }

  get ino(): bigint {
    return this.#ino;
  }

  /** Bytes until the newest file is full. */
  get room(): number {
    return this.target.maxSizeBytes < 0 ? Number.MAX_SAFE_INTEGER : this.target.maxSizeBytes - this.#size;
  }

  #open(): void {
    this.#fd = open(this.target.path, O.WRONLY | O.CREAT | O.APPEND | O.NOFOLLOW, LOG_MODE);
    this.refresh();
  }

  /** Asks the kernel for the size: after it, `room` is true even if somebody truncated the file. */
  refresh(): void {
    const status = fstat(this.#fd);
    this.#size = status.size;
    this.#ino = status.ino;
  }

  /** Appends whole lines. After a failure (a full disk) the file ends where it ended before. */
  append(lines: Uint8Array): void {
    try {
      writeAll(this.#fd, lines);
    } catch (error) {
      ftruncate(this.#fd, Math.min(this.#size, fstat(this.#fd).size));
      throw error;
    }
    this.#size += lines.length;
  }

  /** Takes back what was appended after `size`. */
  cut(size: number): void {
    if (this.#size <= size) return;
    ftruncate(this.#fd, size);
    this.#size = size;
  }

  /** Makes `path` a new, empty file. */
  rotate(): void {
    const { path, maxFiles } = this.target;
    const packed = `.${compressionOf(this.target.driver)}`;
    let free = 1;
    while (free < maxFiles - 1 && isThere(rotatedPath(path, free), packed)) free++;
    if (maxFiles === 1) remove(path);
    else {
      for (const name of [rotatedPath(path, free), rotatedPath(path, free) + packed]) remove(name);
      for (let i = free; i > 0; i--) {
        move(rotatedPath(path, i - 1), rotatedPath(path, i));
        if (i > 1) move(rotatedPath(path, i - 1) + packed, rotatedPath(path, i) + packed);
      }
    }
    const old = this.#fd;
    this.#open();
    close(old);
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }
}

/** A rotated file that is being compressed. */
export interface PackedFile {
  readonly path: string;
  readonly driver: LogFileTarget['driver'];
  readonly maxFiles: number;
  /** Of the plain file, wherever rotation has moved it since. */
  readonly ino: string;
  readonly packed: string;
  /** Of its content. */
  readonly key: string;
}

/** Puts the compressed file in the plain one's place; for the thread that rotates the log. */
export function replaceByPacked(file: PackedFile): void {
  for (let i = 1; i < file.maxFiles; i++) {
    const plain = rotatedPath(file.path, i);
    if (!isFile(plain, file.ino, file.key)) continue;
    move(file.packed, `${plain}.${compressionOf(file.driver)}`);
    remove(plain);
    return;
  }
  // It was the oldest meanwhile, and has gone.
  remove(file.packed);
}

function isThere(path: string, packed: string): boolean {
  return exists(path) || exists(path + packed);
}

function exists(path: string): boolean {
  try {
    close(open(path, O.PATH | O.NOFOLLOW));
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function remove(path: string): void {
  try {
    unlinkat(AT.FDCWD, path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

function move(from: string, to: string): void {
  try {
    renameat2(AT.FDCWD, from, AT.FDCWD, to);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
