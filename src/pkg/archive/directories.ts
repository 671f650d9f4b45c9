/**
 * Directories of a tree that is being unpacked, as O_PATH descriptors: each is opened one component at a time without
 * following links, so no link of the archive leads out. A component that is a link is resolved by the kernel as if the
 * tree's root were `/`. The most recent ones stay open.
 */
import { dataLoss } from '#errdefs/errors.ts';
import { call } from '#sys/call.ts';
import { errnoNumber, SysError } from '#sys/errno.ts';
import { close, openat2 } from '#sys/files.ts';
import { NR, O, RESOLVE } from '#sys/numbers.ts';
import { bytesOf, type ByteString, textOf } from './entry.ts';
import { splitLast } from './names.ts';

const OPEN_MAX = 200;
const ENOENT = -errnoNumber('ENOENT');
const ENOTDIR = -errnoNumber('ENOTDIR');
const ELOOP = -errnoNumber('ELOOP');
const EEXIST = -errnoNumber('EEXIST');
const DIRECTORY_FLAGS = O.PATH | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;

/** NUL-terminated bytes of a name for a system call. */
export const kernelName = (name: ByteString): Buffer => bytesOf(`${name}\0`);

export interface DirectoriesOptions {
  /** Told of each missing parent that was made. */
  readonly made: (path: ByteString) => void;
  /** Their mode. */
  readonly mode: number;
  /**
   * What links are resolved in, when the tree is a directory inside somebody's file system: that file system's root, and
   * the tree's path in it. Default: the tree itself.
   */
  readonly scope?: { readonly root: number; readonly path: ByteString } | undefined;
}

export class Directories implements Disposable {
  readonly #root: number;
  readonly #options: DirectoriesOptions;
  /** Insertion order is age. */
  readonly #open = new Map<ByteString, number>();
  #lastPath: ByteString | undefined;
  #lastFd = -1;

  /** `root` stays the caller's. */
  constructor(root: number, options: DirectoriesOptions) {
    this.#root = root;
    this.#options = options;
  }

  /** Descriptor of a directory by its clean path; missing ones are made. Valid until the next call. */
  fd(path: ByteString): number {
    if (path === this.#lastPath) return this.#lastFd;
    const fd = this.#find(path);
    this.#lastPath = path;
    this.#lastFd = fd;
    return fd;
  }

  /** The directory at `path`, or something above it, was removed or replaced. */
  forget(path: ByteString): void {
    this.#lastPath = undefined;
    for (const [known, fd] of this.#open) {
      if (known !== path && !known.startsWith(`${path}/`)) continue;
      close(fd);
      this.#open.delete(known);
    }
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) close(fd);
    this.#open.clear();
    this.#lastPath = undefined;
  }

  #find(path: ByteString): number {
    if (path === '') return this.#root;
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const [parent, name] = splitLast(path);
    const fd = this.#openChild(this.#find(parent), path, name);
    if (this.#open.size >= OPEN_MAX) this.#evict(parent);
    this.#open.set(path, fd);
    return fd;
  }

  #openChild(parent: number, path: ByteString, name: ByteString): number {
    const bytes = kernelName(name);
    const fd = call(NR.openat, parent, bytes, DIRECTORY_FLAGS, 0);
    if (fd >= 0) return fd;
    if (fd === ENOENT) {
      const made = call(NR.mkdirat, parent, bytes, this.#options.mode);
      if (made < 0 && made !== EEXIST) throw new SysError('mkdirat', -made, [textOf(path)]);
      if (made === 0) this.#options.made(path);
      const again = call(NR.openat, parent, bytes, DIRECTORY_FLAGS, 0);
      if (again < 0) throw new SysError('openat', -again, [textOf(path)]);
      return again;
    }
    if (fd !== ENOTDIR && fd !== ELOOP) throw new SysError('openat', -fd, [textOf(path)]);
    // A link, or no directory at all.
    const { scope } = this.#options;
    try {
      return openat2(scope?.root ?? this.#root, kernelName(scope === undefined ? path : `${scope.path}/${path}`), {
        flags: O.PATH | O.DIRECTORY,
        resolve: RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS,
      });
    } catch (cause) {
      throw dataLoss(`invalid tar: "${textOf(path)}" is not a directory`, { cause });
    }
  }

  /** Closes the oldest one that is not `keep` or above it (those are in use by the look-up under way). */
  #evict(keep: ByteString): void {
    for (const [path, fd] of this.#open) {
      if (keep === path || keep.startsWith(`${path}/`)) continue;
      this.#open.delete(path);
      close(fd);
      return;
    }
  }
}

/** Path through the descriptor, for the calls on extended attributes, which know no directory descriptor. */
export function pathVia(dirFd: number, name: ByteString): Buffer {
  return kernelName(`/proc/self/fd/${dirFd}/${name}`);
}
