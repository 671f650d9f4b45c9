/**
 * Packs files into a tar, piece by piece. Deterministic: names in byte order, times in whole seconds as Docker writes
 * them, attributes sorted; the same tree gives the same bytes. By descriptors, following no link; what vanishes
 * meanwhile is left out, a file that shrinks is filled up with zeros, one that grows is cut.
 *
 * A generator of full pieces, so that a Worker works as fast as its reader takes them. Small files are gathered, and
 * contents are read straight into the piece that goes out.
 */
import { call, transfer } from '#sys/call.ts';
import { isErrno, SysError } from '#sys/errno.ts';
import { close, type FileStatus, fstat, openat, statxAt } from '#sys/files.ts';
import { NR, O, S_IF } from '#sys/numbers.ts';
import { listXattrs, readLink, readXattr } from './attributes.ts';
import { kernelName, pathVia } from './directories.ts';
import type { ByteString, EntryType, TarEntry } from './entry.ts';
import { type IdShift, insideId } from './id-shift.ts';
import { OPAQUE_MARKER, WHITEOUT_PREFIX } from './names.ts';
import { readNames } from './remove-tree.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from './writer.ts';

export const PIECE_BYTES = 1 << 20;
const DT_REGULAR = 8;
/** A header is some kilobytes at most, but for attributes. */
const HEADER_ROOM = 64 << 10;

export interface PackSettings {
  /** 'overlay' turns the kernel's whiteouts and opaque directories into `.wh.` files; 'none' packs what is there. */
  readonly whiteouts: 'overlay' | 'none';
  readonly ids?: IdShift | undefined;
  /** Mounts (FileStatus.mountId) whose directories are packed without what is in them. */
  readonly leaveOut?: ReadonlySet<bigint> | undefined;
  /** Whether an entry is packed; of a directory that is not, what is in it may be. Told the clean path. */
  readonly wanted?: ((path: ByteString) => boolean) | undefined;
  /** Clean paths that the archive says are gone, by `.wh.` files. */
  readonly deleted?: readonly ByteString[] | undefined;
  /** Whether what is in a directory that is not wanted may be; default: it is looked into. */
  readonly enters?: ((path: ByteString) => boolean) | undefined;
  /** No time is later than this. */
  readonly secondsMax?: number | undefined;
  /** Another archive follows in the same stream: no end is written. */
  readonly continued?: boolean | undefined;
  /** Memory for the next piece; default: fresh memory. A piece that was yielded is its reader's. */
  readonly memory?: (() => Buffer) | undefined;
}

export interface PackOptions extends PackSettings {
  /** Open directory; it stays the caller's. */
  readonly root: number;
  /** In front of every name, with its slash; the root itself is packed under it. '' leaves the root out. */
  readonly prefix: ByteString;
}

export interface PackOneOptions extends PackSettings {
  /** Directory that holds `name`; it stays the caller's. */
  readonly directory: number;
  readonly name: ByteString;
  /** What it is called in the archive, without a slash at the end. */
  readonly as: ByteString;
}

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

/** A directory with all that is in it. */
export function* packTree(options: PackOptions): Generator<Buffer> {
  const packer = new Packer(options);
  if (options.prefix !== '') packer.root(options.root, options.prefix);
  yield* packer.whiteouts(options.deleted ?? []);
  const fd = openat(options.root, '.', O.RDONLY | O.DIRECTORY);
  try {
    yield* packer.contents(fd, options.prefix);
  } finally {
    close(fd);
  }
  yield* packer.finish();
}

/** One file of any kind, a directory with all that is in it. Errors: ENOENT as SysError when it is gone. */
export function* packOne(options: PackOneOptions): Generator<Buffer> {
  const packer = new Packer(options);
  const status = statxAt(options.directory, kernelName(options.name));
  yield* packer.one(options.directory, options.name, options.as, status);
  yield* packer.finish();
}

class Packer {
  readonly #settings: PackSettings;
  /** First name of each file with several names. */
  readonly #linked = new Map<string, ByteString>();
  #piece: Buffer;
  #used = 0;

  constructor(settings: PackSettings) {
    this.#settings = settings;
    this.#piece = this.#fresh();
  }

  root(fd: number, prefix: ByteString): void {
    this.#add(formatEntry(this.#entryOf(prefix, 'directory', fstat(fd), kernelName(`/proc/self/fd/${fd}/.`))));
  }

  *whiteouts(paths: readonly ByteString[]): Generator<Buffer> {
    for (const path of paths) {
      if (this.#used + HEADER_ROOM > this.#piece.length) yield this.#swap();
      this.#add(formatEntry(markerEntry(whiteoutOf(path), 0)));
    }
  }

  *contents(directory: number, prefix: ByteString): Generator<Buffer> {
    const names = readNames(directory);
    names.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    for (const { name, type } of names) {
      if (type === DT_REGULAR) {
        yield* this.#file(directory, name, prefix + name);
        continue;
      }
      const status = statusOf(directory, name);
      if (status !== undefined) yield* this.one(directory, name, prefix + name, status);
    }
  }

  *one(directory: number, name: ByteString, path: ByteString, status: FileStatus): Generator<Buffer> {
    const kind = kinds[status.mode & S_IF.MT];
    // Sockets mean nothing in an archive.
    if (kind === undefined) return;
    if (kind === 'file') {
      yield* this.#file(directory, name, path);
      return;
    }
    if (this.#used + HEADER_ROOM > this.#piece.length) yield this.#swap();
    const wanted = this.#settings.wanted?.(path) ?? true;
    if (kind === 'directory') {
      if (!wanted && this.#settings.enters?.(path) === false) return;
      yield* this.#directory(directory, name, path, status, wanted);
      return;
    }
    if (!wanted) return;
    if (this.#settings.whiteouts === 'overlay' && kind === 'character' && isWhiteout(status)) {
      this.#add(
        formatEntry(
          markerEntry(
            whiteoutOf(path),
            Math.min(secondsOf(status), this.#settings.secondsMax ?? Number.MAX_SAFE_INTEGER),
          ),
        ),
      );
      return;
    }
    const entry = unlessGone(() => this.#entryOf(path, kind, status, pathVia(directory, name)));
    if (entry === undefined) return;
    if (this.#isFurtherName(status, entry)) return;
    if (kind === 'symlink') {
      const linkPath = unlessGone(() => readLink(directory, kernelName(name)));
      if (linkPath !== undefined) this.#add(formatEntry({ ...entry, linkPath }));
    } else this.#add(formatEntry(entry));
  }

  *finish(): Generator<Buffer> {
    if (this.#settings.continued === true) {
      if (this.#used > 0) yield this.#piece.subarray(0, this.#used);
      return;
    }
    if (this.#used + endOfArchive.length > this.#piece.length) yield this.#swap();
    this.#add(endOfArchive);
    yield this.#piece.subarray(0, this.#used);
  }

  *#directory(
    parent: number,
    name: ByteString,
    path: ByteString,
    status: FileStatus,
    wanted: boolean,
  ): Generator<Buffer> {
    let fd: number;
    try {
      fd = openat(parent, kernelName(name), O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return;
      throw error;
    }
    try {
      // Through the descriptor: the name may mean another one by now.
      const via = kernelName(`/proc/self/fd/${fd}/.`);
      if (wanted) this.#add(formatEntry(this.#entryOf(path, 'directory', status, via)));
      if (this.#settings.whiteouts === 'overlay' && readXattr(via, 'trusted.overlay.opaque') !== undefined) {
        this.#add(formatEntry(markerEntry(`${path}/${OPAQUE_MARKER}`, secondsOf(status))));
      }
      if (this.#settings.leaveOut?.has(fstat(fd).mountId) === true) return;
      yield* this.contents(fd, `${path}/`);
    } finally {
      close(fd);
    }
  }

  /** Of a file with several names: all but the first become links to it. */
  #isFurtherName(status: FileStatus, entry: TarEntry): boolean {
    if (status.nlink < 2) return false;
    const key = `${status.dev}:${status.ino}`;
    const first = this.#linked.get(key);
    if (first === undefined) {
      this.#linked.set(key, entry.path);
      return false;
    }
    this.#add(formatEntry({ ...entry, type: 'hardlink', linkPath: first, size: 0, xattrs: undefined }));
    return true;
  }

  *#file(directory: number, name: ByteString, path: ByteString): Generator<Buffer> {
    if (this.#settings.wanted?.(path) === false) return;
    if (this.#used + HEADER_ROOM > this.#piece.length) yield this.#swap();
    let fd: number;
    try {
      fd = openat(directory, kernelName(name), O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ELOOP')) return;
      throw error;
    }
    try {
      // Of the opened file: the name may mean another one by now.
      const status = fstat(fd);
      const { size, mode } = status;
      if ((mode & S_IF.MT) !== S_IF.REG) return;
      // Few files have attributes; asked for by a number it costs next to nothing.
      const hasXattrs = call(NR.flistxattr, fd, 0, 0) > 0;
      const via = hasXattrs ? kernelName(`/proc/self/fd/${directory}/${name}`) : undefined;
      const entry = unlessGone(() => this.#entryOf(path, 'file', status, via));
      if (entry === undefined || this.#isFurtherName(status, entry)) return;
      this.#add(formatEntry(entry));
      let left = size;
      while (left > 0) {
        if (this.#used === this.#piece.length) yield this.#swap();
        const room = this.#piece.subarray(this.#used, Math.min(this.#piece.length, this.#used + left));
        const length = transfer(NR.read, fd, room);
        if (length < 0) throw new SysError('read', -length);
        left -= length;
        this.#used += length;
        if (length === 0) break;
      }
      for (let zeros = left + padding(size); zeros > 0; ) {
        if (this.#used === this.#piece.length) yield this.#swap();
        const count = Math.min(zeros, this.#piece.length - this.#used);
        this.#piece.fill(0, this.#used, this.#used + count);
        this.#used += count;
        zeros -= count;
      }
    } finally {
      close(fd);
    }
  }

  #add(bytes: Uint8Array): void {
    if (this.#used + bytes.length > this.#piece.length) {
      // Only attributes make a header this long.
      const larger = Buffer.allocUnsafeSlow(this.#used + bytes.length + PIECE_BYTES);
      larger.set(this.#piece.subarray(0, this.#used));
      this.#piece = larger;
    }
    this.#piece.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  #fresh(): Buffer {
    return this.#settings.memory?.() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
  }

  #swap(): Buffer {
    const full = this.#piece.subarray(0, this.#used);
    this.#piece = this.#fresh();
    this.#used = 0;
    return full;
  }

  #entryOf(path: ByteString, type: EntryType, status: FileStatus, via: Uint8Array | undefined): TarEntry {
    const isDevice = type === 'character' || type === 'block';
    const { ids } = this.#settings;
    return {
      path,
      type,
      mode: status.mode & 0o7777,
      uid: insideId(ids?.uids, status.uid),
      gid: insideId(ids?.gids, status.gid),
      size: type === 'file' ? status.size : 0,
      mtimeSeconds: Math.min(secondsOf(status), this.#settings.secondsMax ?? Number.MAX_SAFE_INTEGER),
      mtimeNanoseconds: 0,
      linkPath: '',
      deviceMajor: isDevice ? status.rdevMajor : 0,
      deviceMinor: isDevice ? status.rdevMinor : 0,
      xattrs: via === undefined ? undefined : xattrsOf(via),
      sparse: undefined,
    };
  }
}

const secondsOf = (status: FileStatus): number => Number(status.mtimeNs / 1_000_000_000n);

function whiteoutOf(path: ByteString): ByteString {
  const slash = path.lastIndexOf('/') + 1;
  return `${path.slice(0, slash)}${WHITEOUT_PREFIX}${path.slice(slash)}`;
}

function markerEntry(path: ByteString, mtimeSeconds: number): TarEntry {
  return { ...plainEntry('', { type: 'file' }), path, mode: 0, mtimeSeconds };
}

/** Those that say something elsewhere, too. */
export function xattrsOf(via: Uint8Array): Map<ByteString, Uint8Array> | undefined {
  const names = listXattrs(via).filter((name) => !LEFT_OUT.test(name));
  if (names.length === 0) return undefined;
  const found = new Map<ByteString, Uint8Array>();
  for (const name of names) {
    const value = readXattr(via, name);
    if (value !== undefined) found.set(name, value);
  }
  return found;
}

function statusOf(directory: number, name: ByteString): FileStatus | undefined {
  return unlessGone(() => statxAt(directory, kernelName(name)));
}

/** Undefined when the file went away, or became another kind of file, while it was looked at. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EINVAL', 'ESTALE')) return undefined;
    throw error;
  }
}

const isWhiteout = (status: FileStatus): boolean => status.rdevMajor === 0 && status.rdevMinor === 0;
