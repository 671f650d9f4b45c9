/**
 * Where a path of a container lies while none of its mounts is attached yet: in the root filesystem, or in one of the
 * detached mounts that will cover a part of it. Missing mount points are made on the way.
 *
 * The walk goes from descriptor to descriptor, one name at a time and never through a symlink of the kernel's choosing;
 * links are read and followed here, inside the container's tree. What comes out is the real path: the list of calls opens
 * it inside with RESOLVE_NO_SYMLINKS, so a racing container can make a start fail but not point it elsewhere.
 */
import { ok } from '#errdefs/assert.ts';
import { invalidParameter, systemError } from '#errdefs/errors.ts';
import { check } from '#sys/call.ts';
import { errnoNumber, isErrno } from '#sys/errno.ts';
import {
  close,
  dup,
  fchownat,
  mkdirat,
  modeOf,
  openat,
  type OpenHow,
  readlinkat,
  tryOpenat,
  tryOpenat2,
} from '#sys/files.ts';
import { AT, NR, O, RESOLVE, S_IF } from '#sys/numbers.ts';

const ENOENT = errnoNumber('ENOENT');
const ELOOP = errnoNumber('ELOOP');
const STRAIGHT: OpenHow = { flags: O.PATH, resolve: RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS };

const LINKS_MAX = 40;
const PATH_BYTES_MAX = 4096;
const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o755;

/** A mount that will cover `path`. Without `fd` its inside exists only in the container (proc, sysfs, cgroup). */
interface Cover {
  readonly path: string;
  readonly fd: number | undefined;
}

export interface Place {
  /** Real path, '/' first, without symlinks. */
  readonly path: string;
  /** O_PATH descriptor, the caller's to close; undefined when it lies in a mount that exists only inside. */
  readonly fd: number | undefined;
  /** Whether it is a directory; undefined when unknown. */
  readonly directory: boolean | undefined;
}

interface Level {
  readonly path: string;
  readonly fd: number;
  readonly owned: boolean;
}

/** Clean absolute form: one '/', no '.', '..' applied as text. */
export function cleanPath(path: string): string {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return `/${names.join('/')}`;
}

export function isBelow(path: string, ancestor: string): boolean {
  return ancestor === '/' || path === ancestor || path.startsWith(`${ancestor}/`);
}

export type Make = 'directory' | 'file' | 'nothing';

export class MountTable {
  readonly #covers: Cover[] = [];
  readonly #rootFd: number;
  readonly #owner: { readonly uid: number; readonly gid: number };

  /** `owner`: whose the directories and files are that are made here (host ids of the container's root). */
  constructor(rootFd: number, owner: { readonly uid: number; readonly gid: number }) {
    this.#rootFd = rootFd;
    this.#owner = owner;
  }

  /** From now on `path` (real) is covered by this detached mount. */
  cover(path: string, fd: number | undefined): void {
    this.#covers.push({ path, fd });
  }

  #coverOf(path: string): Cover {
    let best: Cover = { path: '/', fd: this.#rootFd };
    // A later mount at the same place lies above the earlier one.
    for (const cover of this.#covers)
      if (isBelow(path, cover.path) && cover.path.length >= best.path.length) best = cover;
    return best;
  }

  #coverAt(path: string): Cover | undefined {
    return this.#covers.findLast((cover) => cover.path === path);
  }

  /**
   * Finds `path`, making what is missing as `make` says.
   * Errors: invalid-parameter when it cannot exist (ENOENT with 'nothing', ENOTDIR, too many links, read-only root).
   */
  locate(path: string, make: Make): Place {
    if (Buffer.byteLength(path) >= PATH_BYTES_MAX) throw invalidParameter(`Path is too long: "${path.slice(0, 64)}…"`);
    const clean = cleanPath(path);
    return this.#straight(clean) ?? this.#walk(clean, make);
  }

  /** As locate, but undefined when there is nothing. */
  find(path: string): Place | undefined {
    try {
      return this.locate(path, 'nothing');
    } catch (error) {
      if (error instanceof Error && isErrno(error.cause, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  }

  /** The usual case: it exists and no symlink leads to it. One call. */
  #straight(path: string): Place | undefined {
    const cover = this.#coverOf(path);
    if (cover.fd === undefined) return { path, fd: undefined, directory: undefined };
    const below = path.slice(cover.path.length);
    const rest = below.startsWith('/') ? below.slice(1) : below;
    try {
      const fd = rest === '' ? dup(cover.fd) : tryOpenat2(cover.fd, rest, STRAIGHT);
      if (fd === -ENOENT || fd === -ELOOP) return undefined;
      return { path, fd: check(NR.openat2, fd, rest), directory: isDirectory(fd) };
    } catch (error) {
      throw refuse(path, error);
    }
  }

  #walk(path: string, make: Make): Place {
    const levels: Level[] = [{ path: '/', fd: this.#rootFd, owned: false }];
    const leave = (keep: number) => {
      for (const level of levels.splice(keep)) if (level.owned) close(level.fd);
    };
    const names = path.split('/').reverse();
    let links = 0;
    try {
      for (;;) {
        const name = names.pop();
        if (name === undefined) break;
        if (name === '' || name === '.') continue;
        if (name === '..') {
          if (levels.length > 1) leave(levels.length - 1);
          continue;
        }
        const parent = levels.at(-1);
        ok(parent !== undefined);
        const at = parent.path === '/' ? `/${name}` : `${parent.path}/${name}`;
        const cover = this.#coverAt(at);
        if (cover !== undefined && cover.fd === undefined) {
          return { path: cleanPath([at, ...names.toReversed()].join('/')), fd: undefined, directory: undefined };
        }
        const last = names.every((rest) => rest === '' || rest === '.');
        const fd = cover?.fd ?? this.#step(parent.fd, name, last ? make : make === 'nothing' ? make : 'directory');
        const level = { path: at, fd, owned: cover === undefined };
        if (cover === undefined && isSymlink(fd)) {
          const target = readlinkat(fd, '');
          close(fd);
          links += 1;
          if (links > LINKS_MAX) throw invalidParameter(`Too many symlinks in "${path}" of the container`);
          names.push(...target.split('/').reverse());
          if (target.startsWith('/')) leave(1);
        } else levels.push(level);
      }
      const found = levels.pop();
      ok(found !== undefined);
      const fd = found.owned ? found.fd : dup(found.fd);
      return { path: found.path, fd, directory: isDirectory(fd) };
    } catch (error) {
      throw refuse(path, error);
    } finally {
      leave(0);
    }
  }

  /** Opens one name, or makes it. */
  #step(parent: number, name: string, make: Make): number {
    const found = tryOpenat(parent, name, O.PATH | O.NOFOLLOW);
    if (found !== -ENOENT || make === 'nothing') return check(NR.openat, found, name);
    if (make === 'directory') mkdirat(parent, name, DIRECTORY_MODE);
    else close(openat(parent, name, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, FILE_MODE));
    const fd = openat(parent, name, O.PATH | O.NOFOLLOW);
    if (this.#owner.uid !== 0 || this.#owner.gid !== 0)
      fchownat(fd, '', this.#owner.uid, this.#owner.gid, AT.EMPTY_PATH);
    return fd;
  }
}

function isDirectory(fd: number): boolean {
  return (modeOf(fd) & S_IF.MT) === S_IF.DIR;
}

function isSymlink(fd: number): boolean {
  return (modeOf(fd) & S_IF.MT) === S_IF.LNK;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of it is not a directory',
  EROFS: 'the filesystem is read-only',
  ENAMETOOLONG: 'its name is too long',
};

function refuse(path: string, error: unknown): Error {
  if (!isErrno(error)) return error instanceof Error ? error : systemError(String(error));
  return invalidParameter(`Cannot use "${path}" in the container: ${reasons[error.code] ?? error.message}`, {
    cause: error,
  });
}
