/**
 * Packs a directory tree into a tar, piece by piece. Deterministic: names in byte order, times in whole seconds as Docker
 * writes them, attributes sorted; the same tree gives the same bytes. By descriptors, following no link; what vanishes
 * meanwhile is left out, a file that shrinks is filled up with zeros, one that grows is cut.
 *
 * A generator, so that a Worker takes the pieces as fast as it can and the main thread waits for its reader between two.
 */
import { transfer } from '#sys/call.ts';
import { isErrno, SysError } from '#sys/errno.ts';
import { close, type FileStatus, fstat, openat, statxAt } from '#sys/files.ts';
import { NR, O, S_IF } from '#sys/numbers.ts';
import { listXattrs, readLink, readXattr } from './attributes.ts';
import { kernelName, pathVia } from './directories.ts';
import type { ByteString, EntryType, TarEntry } from './entry.ts';
import { OPAQUE_MARKER, WHITEOUT_PREFIX } from './names.ts';
import { readNames } from './remove-tree.ts';
import { endOfArchive, formatEntry, padding } from './writer.ts';

export interface PackOptions {
  /** Open directory; it stays the caller's. */
  readonly root: number;
  /** 'overlay' turns the kernel's whiteouts and opaque directories into `.wh.` files; 'none' packs what is there. */
  readonly whiteouts: 'overlay' | 'none';
  /** In front of every name, with its slash; the root itself is packed under it. '' leaves the root out. */
  readonly prefix: ByteString;
}

const PIECE_BYTES = 1 << 20;
/** Of these the label of the host's policy and the file system's own say nothing elsewhere. */
const LEFT_OUT = /^(?:trusted\.overlay\.|user\.overlay\.|security\.(?:selinux|ima|evm|apparmor)$|system\.)/;

const kinds: Readonly<Record<number, EntryType>> = {
  [S_IF.REG]: 'file',
  [S_IF.DIR]: 'directory',
  [S_IF.LNK]: 'symlink',
  [S_IF.CHR]: 'character',
  [S_IF.BLK]: 'block',
  [S_IF.IFO]: 'fifo',
};

export function* packTree(options: PackOptions): Generator<Buffer> {
  const packer = new Packer(options);
  if (options.prefix !== '') yield packer.root();
  const fd = openat(options.root, '.', O.RDONLY | O.DIRECTORY);
  try {
    yield* packer.contents(fd, options.prefix);
  } finally {
    close(fd);
  }
  yield Buffer.from(endOfArchive);
}

class Packer {
  readonly #options: PackOptions;
  /** First name of each file with several names. */
  readonly #linked = new Map<string, ByteString>();

  constructor(options: PackOptions) {
    this.#options = options;
  }

  root(): Buffer {
    const { root, prefix } = this.#options;
    return formatEntry(this.#entryOf(prefix, 'directory', fstat(root), kernelName(`/proc/self/fd/${root}/.`)));
  }

  *contents(directory: number, prefix: ByteString): Generator<Buffer> {
    const names = readNames(directory).map((entry) => entry.name);
    names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    for (const name of names) {
      const status = statusOf(directory, name);
      if (status !== undefined) yield* this.#one(directory, name, prefix, status);
    }
  }

  *#one(directory: number, name: ByteString, prefix: ByteString, status: FileStatus): Generator<Buffer> {
    const kind = kinds[status.mode & S_IF.MT];
    // Sockets mean nothing in an archive.
    if (kind === undefined) return;
    const path = prefix + name;
    if (this.#options.whiteouts === 'overlay' && kind === 'character' && isWhiteout(status)) {
      yield formatEntry(this.#marker(`${prefix}${WHITEOUT_PREFIX}${name}`, status));
      return;
    }
    if (kind === 'directory') {
      yield* this.#directory(directory, name, path, status);
      return;
    }
    const entry = this.#entryOf(path, kind, status, pathVia(directory, name));
    if (status.nlink > 1) {
      const key = `${status.dev}:${status.ino}`;
      const first = this.#linked.get(key);
      if (first !== undefined) {
        yield formatEntry({ ...entry, type: 'hardlink', linkPath: first, size: 0, xattrs: undefined });
        return;
      }
      this.#linked.set(key, path);
    }
    if (kind === 'symlink') yield formatEntry({ ...entry, linkPath: readLink(directory, kernelName(name)) });
    else if (kind === 'file') yield* contentsOf(directory, name, entry);
    else yield formatEntry(entry);
  }

  *#directory(parent: number, name: ByteString, path: ByteString, status: FileStatus): Generator<Buffer> {
    let fd: number;
    try {
      fd = openat(parent, kernelName(name), O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return;
      throw error;
    }
    try {
      const via = pathVia(parent, name);
      yield formatEntry(this.#entryOf(path, 'directory', status, via));
      if (this.#options.whiteouts === 'overlay' && readXattr(via, 'trusted.overlay.opaque') !== undefined) {
        yield formatEntry(this.#marker(`${path}/${OPAQUE_MARKER}`, status));
      }
      yield* this.contents(fd, `${path}/`);
    } finally {
      close(fd);
    }
  }

  #marker(path: ByteString, status: FileStatus): TarEntry {
    const entry = this.#entryOf(path, 'file', status, undefined);
    return { ...entry, mode: 0, uid: 0, gid: 0, size: 0 };
  }

  #entryOf(path: ByteString, type: EntryType, status: FileStatus, via: Uint8Array | undefined): TarEntry {
    const isDevice = type === 'character' || type === 'block';
    return {
      path,
      type,
      mode: status.mode & 0o7777,
      uid: status.uid,
      gid: status.gid,
      size: type === 'file' ? status.size : 0,
      mtimeSeconds: Number(status.mtimeNs / 1_000_000_000n),
      mtimeNanoseconds: 0,
      linkPath: '',
      deviceMajor: isDevice ? status.rdevMajor : 0,
      deviceMinor: isDevice ? status.rdevMinor : 0,
      xattrs: via === undefined ? undefined : xattrsOf(via),
      sparse: undefined,
    };
  }
}

function xattrsOf(via: Uint8Array): Map<ByteString, Uint8Array> | undefined {
  const names = listXattrs(via).filter((name) => !LEFT_OUT.test(name));
  if (names.length === 0) return undefined;
  const found = new Map<ByteString, Uint8Array>();
  for (const name of names) {
    const value = readXattr(via, name);
    if (value !== undefined) found.set(name, value);
  }
  return found;
}

function* contentsOf(directory: number, name: ByteString, entry: TarEntry): Generator<Buffer> {
  let fd: number;
  try {
    fd = openat(directory, kernelName(name), O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ELOOP')) return;
    throw error;
  }
  try {
    // The size of the opened file: the name may mean another one by now.
    const { size, mode } = fstat(fd);
    if ((mode & S_IF.MT) !== S_IF.REG) return;
    yield formatEntry({ ...entry, size });
    let left = size;
    while (left > 0) {
      const piece = Buffer.allocUnsafe(Math.min(left, PIECE_BYTES));
      const length = transfer(NR.read, fd, piece);
      if (length < 0) throw new SysError('read', -length);
      left -= length;
      if (length === 0) break;
      yield piece.subarray(0, length);
    }
    for (let fill = left + padding(size); fill > 0; fill -= PIECE_BYTES) {
      yield Buffer.alloc(Math.min(fill, PIECE_BYTES));
    }
  } finally {
    close(fd);
  }
}

function statusOf(directory: number, name: ByteString): FileStatus | undefined {
  try {
    return statxAt(directory, kernelName(name));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

const isWhiteout = (status: FileStatus): boolean => status.rdevMajor === 0 && status.rdevMinor === 0;
