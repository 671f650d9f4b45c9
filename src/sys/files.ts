/**
 * Files by descriptor. Every function throws SysError; a `Path` is relative to its directory descriptor unless it is
 * absolute. A path given as bytes is for names that are not UTF-8 and must end in NUL. Nothing here follows a symlink
 * out of a root file system: paths inside one go through safe-path.ts.
 */
import { ok } from '#errdefs/assert.ts';
import { call, check, must, transfer } from './call.ts';
import { AT, F, MFD, NR, O } from './numbers.ts';

export type Path = string | Uint8Array;

/** A descriptor that is closed at the end of its scope; `release` hands it on instead. */
export interface OwnedFd extends Disposable {
  readonly fd: number;
  /** The descriptor; from now on somebody else closes it. */
  release(): number;
}

export function ownedFd(fd: number): OwnedFd {
  ok(fd >= 0, 'a descriptor');
  let owned = true;
  return {
    fd,
    release: () => {
      owned = false;
      return fd;
    },
    [Symbol.dispose]: () => {
      if (owned) close(fd);
      owned = false;
    },
  };
}

/** CLOEXEC is always added. */
export function openat(dirfd: number, path: Path, flags: number, mode = 0): number {
  return must('openat', NR.openat, dirfd, path, flags | O.CLOEXEC, mode);
}

/** As openat, from the working directory or an absolute path. */
export function open(path: Path, flags: number, mode = 0): number {
  return openat(AT.FDCWD, path, flags, mode);
}

export interface OpenHow {
  readonly flags: number;
  readonly mode?: number;
  readonly resolve: number;
}

const howBytes = new Uint8Array(24);
const howView = new DataView(howBytes.buffer);
const EAGAIN = 11;

export function openat2(dirfd: number, path: Path, how: OpenHow): number {
  return check(NR.openat2, tryOpenat2(dirfd, path, how), dirfd, path);
}

/** As openat2; a failure is -errno: no error is made where something is often not there. */
export function tryOpenat2(dirfd: number, path: Path, how: OpenHow): number {
  howView.setUint32(0, how.flags | O.CLOEXEC, true);
  howView.setUint32(8, how.mode ?? 0, true);
  howView.setUint32(16, how.resolve, true);
  // EAGAIN: a rename or mount raced with the walk and the kernel could not prove that it stayed inside (openat2(2)).
  for (let attempt = 0; ; attempt++) {
    const result = call(NR.openat2, dirfd, path, howBytes, howBytes.length);
    if (result !== -EAGAIN || attempt === 64) return result;
  }
}

/** As openat; a failure is -errno. */
export function tryOpenat(dirfd: number, path: Path, flags: number): number {
  return call(NR.openat, dirfd, path, flags | O.CLOEXEC, 0);
}

/** Closing reports nothing: after an error of close(2) the descriptor is gone as well. */
export function close(fd: number): void {
  call(NR.close, fd);
}

/** Bytes read; 0 at the end. */
export function read(fd: number, buffer: Uint8Array, length = buffer.length): number {
  return check(NR.read, transfer(NR.read, fd, buffer, length), fd);
}

/** As read, but 'EAGAIN' of a non-blocking descriptor is undefined. */
export function tryRead(fd: number, buffer: Uint8Array): number | undefined {
  const result = transfer(NR.read, fd, buffer);
  return result === -11 ? undefined : check(NR.read, result, fd);
}

export function pread(fd: number, buffer: Uint8Array, offset: number, length = buffer.length): number {
  return check(NR.pread64, transfer(NR.pread64, fd, buffer, length, offset), fd);
}

/** Bytes written, which may be fewer. */
export function write(fd: number, buffer: Uint8Array, length = buffer.length): number {
  return check(NR.write, transfer(NR.write, fd, buffer, length), fd);
}

/** As write, but 'EAGAIN' of a non-blocking descriptor is undefined. */
export function tryWrite(fd: number, buffer: Uint8Array): number | undefined {
  const result = transfer(NR.write, fd, buffer);
  return result === -11 ? undefined : check(NR.write, result, fd);
}

/** Writes all of it. */
export function writeAll(fd: number, buffer: Uint8Array): void {
  for (let done = 0; done < buffer.length; ) done += write(fd, buffer.subarray(done));
}

export function pwrite(fd: number, buffer: Uint8Array, offset: number): number {
  return check(NR.pwrite64, transfer(NR.pwrite64, fd, buffer, buffer.length, offset), fd);
}

/** One for all calls: none of them is left in the middle, and buffers of this size are freed late. */
const pieceBytes = new Uint8Array(8192);

/** Content of a small file from its current offset. Preconditions: it ends (no pipe of a living writer). */
export function readAll(fd: number, bytesMax = 16 << 20): Uint8Array {
  const pieces: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const length = read(fd, pieceBytes);
    if (length === 0) return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces, total);
    total += length;
    if (total > bytesMax) throw new RangeError(`a file is longer than ${bytesMax} bytes`);
    pieces.push(pieceBytes.slice(0, length));
  }
}

export interface FileStatus {
  /** Type and permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly ino: bigint;
  /** major << 32 | minor, comparable only with each other. */
  readonly dev: bigint;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly nlink: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly atimeNs: bigint;
  /** Blocks of 512 bytes. */
  readonly blocks: number;
  readonly mountId: bigint;
}

const STATX_BASIC_AND_MOUNT = 0x7ff | 0x1000;
const statxBytes = new Uint8Array(256);
const statxView = new DataView(statxBytes.buffer);

function timeNs(offset: number): bigint {
  return statxView.getBigInt64(offset, true) * 1_000_000_000n + BigInt(statxView.getUint32(offset + 8, true));
}

/** Symlinks are not followed unless asked for. */
export function statxAt(dirfd: number, path: Path, flags: number = AT.SYMLINK_NOFOLLOW): FileStatus {
  must('statx', NR.statx, dirfd, path, flags, STATX_BASIC_AND_MOUNT, statxBytes);
  return {
    mode: statxView.getUint16(28, true),
    uid: statxView.getUint32(20, true),
    gid: statxView.getUint32(24, true),
    size: Number(statxView.getBigUint64(40, true)),
    ino: statxView.getBigUint64(32, true),
    dev: (BigInt(statxView.getUint32(136, true)) << 32n) | BigInt(statxView.getUint32(140, true)),
    rdevMajor: statxView.getUint32(128, true),
    rdevMinor: statxView.getUint32(132, true),
    nlink: statxView.getUint32(16, true),
    mtimeNs: timeNs(112),
    ctimeNs: timeNs(96),
    atimeNs: timeNs(64),
    blocks: Number(statxView.getBigUint64(48, true)),
    mountId: statxView.getBigUint64(144, true),
  };
}

/** Type and permissions, or -errno. */
export function tryModeAt(dirfd: number, path: Path, flags: number): number {
  const result = call(NR.statx, dirfd, path, flags, STATX_BASIC_AND_MOUNT, statxBytes);
  return result < 0 ? result : statxView.getUint16(28, true);
}

/** Type and permissions of what a descriptor stands for. */
export function modeOf(fd: number): number {
  return check(NR.statx, tryModeAt(fd, '', AT.EMPTY_PATH), fd);
}

export function fstat(fd: number): FileStatus {
  return statxAt(fd, '', AT.EMPTY_PATH);
}

export function mkdirat(dirfd: number, path: Path, mode: number): void {
  must('mkdirat', NR.mkdirat, dirfd, path, mode);
}

/** `flags` AT.REMOVEDIR for a directory. */
export function unlinkat(dirfd: number, path: Path, flags = 0): void {
  must('unlinkat', NR.unlinkat, dirfd, path, flags);
}

export function symlinkat(target: Path, dirfd: number, path: Path): void {
  must('symlinkat', NR.symlinkat, target, dirfd, path);
}

export function linkat(fromDirfd: number, from: Path, toDirfd: number, to: Path, flags = 0): void {
  must('linkat', NR.linkat, fromDirfd, from, toDirfd, to, flags);
}

/** The kernel's encoding of a device number for mknod. */
export function makedev(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** `mode` with the file type; the umask is the process's. */
export function mknodat(dirfd: number, path: Path, mode: number, major = 0, minor = 0): void {
  must('mknodat', NR.mknodat, dirfd, path, mode, makedev(major, minor));
}

const linkBytes = new Uint8Array(4096);

/** `path` '' reads the link that `dirfd` (O_PATH|O_NOFOLLOW) itself is. */
export function readlinkat(dirfd: number, path: Path): string {
  const length = must('readlinkat', NR.readlinkat, dirfd, path, linkBytes, linkBytes.length);
  return Buffer.from(linkBytes.buffer, 0, length).toString();
}

export function renameat2(fromDirfd: number, from: Path, toDirfd: number, to: Path, flags = 0): void {
  must('renameat2', NR.renameat2, fromDirfd, from, toDirfd, to, flags);
}

/** Follows a symlink (the kernel's fchmodat knows no flag); for an O_PATH descriptor use fchmodPath. */
export function fchmodat(dirfd: number, path: Path, mode: number): void {
  must('fchmodat', NR.fchmodat, dirfd, path, mode);
}

export function fchmod(fd: number, mode: number): void {
  must('fchmod', NR.fchmod, fd, mode);
}

/** Symlinks are not followed; `path` '' with AT.EMPTY_PATH is the descriptor itself. */
export function fchownat(
  dirfd: number,
  path: Path,
  uid: number,
  gid: number,
  flags: number = AT.SYMLINK_NOFOLLOW,
): void {
  must('fchownat', NR.fchownat, dirfd, path, uid, gid, flags);
}

export function fchown(fd: number, uid: number, gid: number): void {
  must('fchown', NR.fchown, fd, uid, gid);
}

/** Access and modification time in nanoseconds; symlinks are not followed. */
export function utimensat(
  dirfd: number,
  path: Path,
  atimeNs: bigint,
  mtimeNs: bigint,
  flags: number = AT.SYMLINK_NOFOLLOW,
): void {
  const times = new BigInt64Array([...secondsAndRest(atimeNs), ...secondsAndRest(mtimeNs)]);
  must('utimensat', NR.utimensat, dirfd, path, new Uint8Array(times.buffer), flags);
}

/** Times of an open file. */
export function futimens(fd: number, atimeNs: bigint, mtimeNs: bigint): void {
  const times = new BigInt64Array([...secondsAndRest(atimeNs), ...secondsAndRest(mtimeNs)]);
  must('utimensat', NR.utimensat, fd, 0, new Uint8Array(times.buffer), 0);
}

function secondsAndRest(ns: bigint): [bigint, bigint] {
  const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return [(ns - rest) / 1_000_000_000n, rest];
}

export interface DirectoryEntry {
  readonly name: string;
  /** Set when the name is not UTF-8: its bytes and a NUL, to be used instead of `name`. */
  readonly raw?: Uint8Array;
  /** DT_*: 4 directory, 8 regular, 10 symlink, 0 unknown. */
  readonly type: number;
  readonly ino: bigint;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** As pieceBytes. */
const entryBytes = new Uint8Array(32_768);

/** All entries but `.` and `..`, from the descriptor's current offset. */
export function getdents(fd: number): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const buffer = entryBytes;
  const view = new DataView(buffer.buffer);
  for (;;) {
    const length = check(NR.getdents64, transfer(NR.getdents64, fd, buffer), fd);
    if (length === 0) return entries;
    for (let at = 0; at < length; at += view.getUint16(at + 16, true)) {
      const raw = buffer.subarray(at + 19, buffer.indexOf(0, at + 19) + 1);
      const entry = { ...nameOf(raw), type: view.getUint8(at + 18), ino: view.getBigUint64(at, true) };
      if (entry.name !== '.' && entry.name !== '..') entries.push(entry);
    }
  }
}

function nameOf(raw: Uint8Array): { name: string; raw?: Uint8Array } {
  const bytes = raw.subarray(0, -1);
  try {
    return { name: strictUtf8.decode(bytes) };
  } catch {
    return { name: Buffer.from(bytes).toString('latin1'), raw: raw.slice() };
  }
}

/** Everything written to the file system of `fd` reaches its disk. */
export function syncfs(fd: number): void {
  must('syncfs', NR.syncfs, fd);
}

export function ftruncate(fd: number, length: number): void {
  must('ftruncate', NR.ftruncate, fd, length);
}

/** `operation` of LOCK; with LOCK.NB a lock held elsewhere is EAGAIN. */
export function flock(fd: number, operation: number): void {
  must('flock', NR.flock, fd, operation);
}

export function memfdCreate(name: string, flags: number = MFD.CLOEXEC): number {
  return must('memfd_create', NR.memfd_create, name, flags);
}

export function fcntl(fd: number, command: number, argument = 0): number {
  return must('fcntl', NR.fcntl, fd, command, argument);
}

/** A duplicate with CLOEXEC, numbered `from` or higher. */
export function dup(fd: number, from = 0): number {
  return fcntl(fd, F.DUPFD_CLOEXEC, from);
}

export function setNonBlocking(fd: number, on = true): void {
  const flags = fcntl(fd, F.GETFL);
  fcntl(fd, F.SETFL, on ? flags | O.NONBLOCK : flags & ~O.NONBLOCK);
}

export interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** CLOEXEC is always added. */
export function pipe2(flags = 0): Pipe {
  const pair = new Uint8Array(8);
  must('pipe2', NR.pipe2, pair, flags | O.CLOEXEC);
  const view = new DataView(pair.buffer);
  return { read: view.getInt32(0, true), write: view.getInt32(4, true) };
}

/** `argument` bytes are read and written back. */
export function ioctl(fd: number, request: number, argument: number | Uint8Array = 0): number {
  return must('ioctl', NR.ioctl, fd, request, argument);
}

export interface FileSystemStatus {
  /** Magic number, e.g. 0x63677270 for cgroup2. */
  readonly type: number;
  readonly blockBytes: number;
  readonly blocks: bigint;
  readonly blocksAvailable: bigint;
  readonly files: bigint;
  readonly filesFree: bigint;
  /** The mount is read-only, whatever the file system is. */
  readonly readOnly: boolean;
}

export function statfs(path: Path): FileSystemStatus {
  const bytes = new Uint8Array(120);
  must('statfs', NR.statfs, path, bytes);
  return decodeStatfs(bytes);
}

export function fstatfs(fd: number): FileSystemStatus {
  const bytes = new Uint8Array(120);
  must('fstatfs', NR.fstatfs, fd, bytes);
  return decodeStatfs(bytes);
}

const ST_RDONLY = 1;

function decodeStatfs(bytes: Uint8Array): FileSystemStatus {
  const view = new DataView(bytes.buffer);
  return {
    type: view.getUint32(0, true),
    blockBytes: Number(view.getBigInt64(8, true)),
    blocks: view.getBigUint64(16, true),
    blocksAvailable: view.getBigUint64(32, true),
    files: view.getBigUint64(40, true),
    filesFree: view.getBigUint64(48, true),
    readOnly: (view.getUint32(80, true) & ST_RDONLY) !== 0,
  };
}
