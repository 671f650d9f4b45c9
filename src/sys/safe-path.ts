/**
 * Paths inside a root file system that somebody else wrote. Each is resolved by the kernel as if `rootFd` were `/`
 * (openat2 RESOLVE_IN_ROOT, no magic links), so neither `..` nor a symlink nor a racing rename leaves it; the result is a
 * descriptor and is passed on as one. Joining such paths as text is banned.
 */
import { close, mkdirat, openat, openat2, type OwnedFd, ownedFd, readlinkat } from './files.ts';
import { isErrno } from './errno.ts';
import { AT, O, RESOLVE } from './numbers.ts';

const IN_ROOT = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS;

/** Opens `path` (absolute or relative, both from the root). CREAT needs EXCL or NOFOLLOW. */
export function openInRoot(rootFd: number, path: string, flags: number, mode = 0): number {
  if ((flags & O.CREAT) !== 0 && (flags & (O.EXCL | O.NOFOLLOW)) === 0) {
    throw new RangeError('O_CREAT inside a root file system needs O_EXCL or O_NOFOLLOW');
  }
  return openat2(rootFd, path === '' ? '.' : path, { flags, mode, resolve: IN_ROOT });
}

/** As openInRoot, but undefined when it does not exist (or a component is no directory). */
export function tryOpenInRoot(rootFd: number, path: string, flags: number): number | undefined {
  try {
    return openInRoot(rootFd, path, flags);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

export interface MkdirOptions {
  readonly mode?: number;
  /** Called for each directory that was made, with its O_PATH|O_DIRECTORY descriptor. */
  readonly made?: (fd: number, path: string) => void;
}

/** Makes `path` and its missing parents; symlinks on the way count inside the root. Returns the directory's O_PATH descriptor. */
export function mkdirAllInRoot(rootFd: number, path: string, options: MkdirOptions = {}): number {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  let walked = '';
  let current = openInRoot(rootFd, '.', O.PATH | O.DIRECTORY);
  for (const name of names) {
    const parent = current;
    walked += `/${name}`;
    try {
      current = openOrMake(rootFd, parent, walked, name, options);
    } finally {
      close(parent);
    }
  }
  return current;
}

function openOrMake(rootFd: number, parent: number, walked: string, name: string, options: MkdirOptions): number {
  const existing = tryOpenInRoot(rootFd, walked, O.PATH | O.DIRECTORY);
  if (existing !== undefined) return existing;
  let made = true;
  try {
    mkdirat(parent, name, options.mode ?? 0o755);
  } catch (error) {
    // A racing maker is fine; a dangling symlink is not, and the next open says so.
    if (!isErrno(error, 'EEXIST')) throw error;
    made = false;
  }
  const fd = openInRoot(rootFd, walked, O.PATH | O.DIRECTORY);
  if (made) options.made?.(fd, walked);
  return fd;
}

/** Splits into parent and last name; the last name of '/' is ''. */
export function splitPath(path: string): readonly [parent: string, name: string] {
  const trimmed = path.replace(/\/+$/, '');
  const slash = trimmed.lastIndexOf('/');
  return [trimmed.slice(0, slash + 1) || '/', trimmed.slice(slash + 1)];
}

/** O_PATH descriptor of the directory that holds `path`, and the last name. */
export function openParentInRoot(rootFd: number, path: string): { readonly dir: OwnedFd; readonly name: string } {
  const [parent, name] = splitPath(path);
  if (name === '' || name === '.' || name === '..') throw new RangeError(`"${path}" names no file`);
  return { dir: ownedFd(openInRoot(rootFd, parent, O.PATH | O.DIRECTORY)), name };
}

/** Makes a new regular file (its parents too) and returns it opened for writing. Errors: EEXIST. */
export function createFileInRoot(rootFd: number, path: string, mode = 0o644): number {
  const [parent, name] = splitPath(path);
  if (name === '' || name === '.' || name === '..') throw new RangeError(`"${path}" names no file`);
  const dir = mkdirAllInRoot(rootFd, parent);
  try {
    return openat(dir, name, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, mode);
  } finally {
    close(dir);
  }
}

/** Where the kernel says a descriptor is; of a detached mount the path within it. */
export function realPathOf(fd: number): string {
  return readlinkat(AT.FDCWD, `/proc/self/fd/${fd}`);
}
