/**
 * The files of one log, oldest first, held by descriptors so that a rotation meanwhile changes nothing for a reader. They
 * are opened from the newest to the oldest: a file that is renamed in between is met again and known by its inode.
 */
import { close, fstat, open } from '#sys/files.ts';
import { isErrno } from '#sys/errno.ts';
import { O } from '#sys/numbers.ts';
import { rotatedPath } from './log-file.ts';

export class OpenFile implements Disposable {
  readonly fd: number;
  readonly ino: bigint;

  private constructor(fd: number) {
    this.fd = fd;
    this.ino = fstat(fd).ino;
  }

  /** Undefined when there is none. */
  static open(path: string): OpenFile | undefined {
    try {
      return new OpenFile(open(path, O.RDONLY | O.NOFOLLOW | O.NONBLOCK));
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  size(): number {
    return fstat(this.fd).size;
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }
}

/** All files, or those that are newer than the one with inode `newerThan`. */
export function openFiles(path: string, maxFiles: number, newerThan?: bigint): OpenFile[] {
  const files: OpenFile[] = [];
  for (let i = 0; i < maxFiles; i++) {
    const file = OpenFile.open(rotatedPath(path, i));
    if (file === undefined) continue;
    if (file.ino === newerThan) {
      file[Symbol.dispose]();
      break;
    }
    if (files.some((other) => other.ino === file.ino)) file[Symbol.dispose]();
    else files.unshift(file);
  }
  return files;
}
