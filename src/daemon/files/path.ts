/**
 * Paths of the archive API, read as dockerd reads them: the last name is not followed when it is a link, but `link/` and
 * `link/.` mean the directory behind it. Every look-up is the kernel's, in the container's root; text is for answers.
 */
import * as path from 'node:path/posix';
import type { ContainerPathStat } from '#api/types/container.ts';
import { invalidParameter, notFound } from '#errdefs/errors.ts';
import { byteString, type ByteString } from '#pkg/archive/entry.ts';
import { rfc3339 } from '#pkg/clock/clock.ts';
import { isErrno } from '#sys/errno.ts';
import { close, type FileStatus, fstat, type OwnedFd, ownedFd, readlinkat, statxAt } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { openInRoot } from '#sys/safe-path.ts';

const LINKS_MAX = 255;

/** `/a/../b/.` → `/b/.`: clean, with the `/` or `/.` at its end that says something about the last link. */
export function absolutePath(asked: string): string {
  const clean = path.join('/', asked).replace(/(?<=.)\/$/, '');
  if (/(?:^|\/)\.\/*$/.test(asked)) return clean === '/' ? '/.' : `${clean}/.`;
  return asked.endsWith('/') && clean !== '/' ? `${clean}/` : clean;
}

export interface Located extends Disposable {
  /** O_PATH of the directory that holds it, or that it is when `name` is ''. */
  readonly directory: OwnedFd;
  readonly name: string;
  readonly status: FileStatus;
  /** What it is called in an archive, '/' and '.' included. */
  readonly as: string;
}

export interface PathRequest {
  readonly root: number;
  /** As the client wrote them, for messages. */
  readonly path: string;
  readonly container: string;
}

/** Errors: not-found in dockerd's words; invalid-parameter for a file where a directory has to be. */
export function locate(request: PathRequest): Located {
  const absolute = absolutePath(request.path);
  const slash = absolute.lastIndexOf('/') + 1;
  const last = absolute.slice(slash);
  const name = last === '.' ? '' : last;
  try {
    const directory = ownedFd(openInRoot(request.root, absolute.slice(0, slash), O.PATH | O.DIRECTORY));
    try {
      const status = name === '' ? fstat(directory.fd) : statxAt(directory.fd, name);
      const as = last === '.' ? '.' : absolute === '/' ? '/' : path.basename(absolute);
      return { directory, name, status, as, [Symbol.dispose]: () => directory[Symbol.dispose]() };
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  } catch (error) {
    throw explain(request, absolute, error);
  }
}

export function explain(request: PathRequest, absolute: string, error: unknown): unknown {
  if (isErrno(error, 'ENOENT')) {
    return notFound(`Could not find the file ${request.path} in container ${request.container}`, { cause: error });
  }
  if (isErrno(error, 'ENOTDIR')) return invalidParameter(`lstat ${absolute}: not a directory`, { cause: error });
  if (isErrno(error, 'ELOOP')) {
    return invalidParameter(`lstat ${absolute}: too many levels of symbolic links`, { cause: error });
  }
  if (isErrno(error, 'ENAMETOOLONG'))
    return invalidParameter(`lstat ${absolute}: file name too long`, { cause: error });
  return error;
}

export function archiveName(located: Located): ByteString {
  return byteString(located.as);
}

/** The answer to a stat: Go's words for mode and time. */
export function pathStatOf(request: PathRequest, located: Located): ContainerPathStat {
  const { status } = located;
  const isLink = (status.mode & S_IF.MT) === S_IF.LNK;
  return {
    name: located.as,
    size: status.size,
    mode: goMode(status.mode),
    mtime: goTime(status.mtimeNs),
    linkTarget: isLink ? evaluate(request.root, absolutePath(request.path)) : '',
  };
}

const goTypes: Readonly<Record<number, number>> = {
  [S_IF.DIR]: 2 ** 31,
  [S_IF.LNK]: 2 ** 27,
  [S_IF.BLK]: 2 ** 26,
  [S_IF.IFO]: 2 ** 25,
  [S_IF.SOCK]: 2 ** 24,
  [S_IF.CHR]: 2 ** 26 + 2 ** 21,
};

/** Go's os.FileMode. */
export function goMode(mode: number): number {
  const special =
    ((mode & 0o4000) === 0 ? 0 : 2 ** 23) +
    ((mode & 0o2000) === 0 ? 0 : 2 ** 22) +
    ((mode & 0o1000) === 0 ? 0 : 2 ** 20);
  return (goTypes[mode & S_IF.MT] ?? 0) + special + (mode & 0o777);
}

/** What Go can read: years 1 to 9999 at most. */
function goTime(ns: bigint): string {
  const inRange = ns >= 0n && ns < 253_402_300_800_000_000_000n ? ns : 0n;
  return rfc3339(inRange).replace(/\.?0+Z$/, 'Z');
}

/** Where a link leads at last, as far as what it names exists; never above the root. */
function evaluate(root: number, absolute: string): string {
  const rest = absolute.split('/').reverse();
  let done = '/';
  let links = 0;
  for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      done = path.dirname(done);
      continue;
    }
    const next = path.join(done, name);
    const target = linkTarget(root, next);
    if (target === undefined) {
      done = next;
      continue;
    }
    links += 1;
    if (links > LINKS_MAX) throw invalidParameter(`lstat ${absolute}: too many levels of symbolic links`);
    if (target.startsWith('/')) done = '/';
    rest.push(...target.split('/').reverse());
  }
  return done;
}

/** Undefined for what is no link or not there. */
function linkTarget(root: number, absolute: string): string | undefined {
  let fd: number;
  try {
    fd = openInRoot(root, absolute, O.PATH | O.NOFOLLOW);
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
  try {
    return (fstat(fd).mode & S_IF.MT) === S_IF.LNK ? readlinkat(fd, '') : undefined;
  } finally {
    close(fd);
  }
}
