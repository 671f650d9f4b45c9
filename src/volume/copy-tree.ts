/**
 * Copies the content of one directory into another, by descriptors only: no path of the source is resolved as text and
 * nothing is followed. Owners, modes, times, xattrs, hard links, devices are kept (holes are filled). It gives way
 * to the event loop between slices of work. Preconditions: nobody else changes either tree; the target is the daemon's.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isErrno } from '#sys/errno.ts';
import {
  type DirectoryEntry,
  type FileStatus,
  fchmod,
  fchmodPath,
  fchownat,
  fstat,
  getdents,
  linkat,
  mkdirat,
  mknodat,
  openat,
  ownedFd,
  type Path,
  read,
  readlinkat,
  statxAt,
  symlinkat,
  utimensat,
  writeAll,
} from '#sys/files.ts';
import { AT, O, S_IF } from '#sys/numbers.ts';
import { lgetxattr, llistxattr, lsetxattr } from '#sys/xattrs.ts';

const BUFFER_BYTES = 1 << 20;
/** Work between two turns of the loop. */
const SLICE_MS = 5;
const DEPTH_MAX = 1000;

interface Copy {
  readonly buffer: Uint8Array;
  /** dev:ino of files with several names → where the first copy is. */
  readonly links: Map<string, { readonly fd: number; readonly name: string }>;
  readonly signal: AbortSignal | undefined;
  sliceEnds: number;
}

/** Copies what is in `from` into `to`, and the directory's own owner, mode and times. */
export async function copyTree(from: number, to: number, signal?: AbortSignal): Promise<void> {
  const copy: Copy = {
    buffer: new Uint8Array(BUFFER_BYTES),
    links: new Map(),
    signal,
    sliceEnds: performance.now() + SLICE_MS,
  };
  const kept: Disposable[] = [];
  try {
    await copyContent(copy, from, to, 0, kept);
  } finally {
    for (const held of kept) held[Symbol.dispose]();
  }
}

/** `kept`: directories that hold the first name of a hard link stay open until the end. */
async function copyContent(copy: Copy, from: number, to: number, depth: number, kept: Disposable[]): Promise<void> {
  if (depth > DEPTH_MAX) throw new RangeError(`more than ${DEPTH_MAX} directories below each other`);
  for (const entry of getdents(from)) {
    if (performance.now() >= copy.sliceEnds) {
      await nextTurn();
      copy.signal?.throwIfAborted();
      copy.sliceEnds = performance.now() + SLICE_MS;
    }
    await copyEntry(copy, from, to, entry, depth, kept);
  }
  copyAttributes(`/proc/self/fd/${from}`, `/proc/self/fd/${to}`);
  const status = fstat(from);
  fchownat(to, '', status.uid, status.gid, AT.EMPTY_PATH);
  fchmod(to, status.mode & 0o7777);
  utimensat(to, '', status.atimeNs, status.mtimeNs, AT.EMPTY_PATH);
}

async function copyEntry(
  copy: Copy,
  from: number,
  to: number,
  entry: DirectoryEntry,
  depth: number,
  kept: Disposable[],
): Promise<void> {
  const name: Path = entry.raw ?? entry.name;
  const status = statxAt(from, name);
  const type = status.mode & S_IF.MT;
  if (type === S_IF.DIR) {
    mkdirat(to, name, 0o700);
    using source = ownedFd(openat(from, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
    const target = ownedFd(openat(to, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
    kept.push(target);
    await copyContent(copy, source.fd, target.fd, depth + 1, kept);
    // Only directories with the first of several names have to stay open.
    if (![...copy.links.values()].some((link) => link.fd === target.fd)) {
      kept.splice(kept.indexOf(target), 1);
      target[Symbol.dispose]();
    }
    return;
  }
  if (status.nlink > 1 && linkToFirst(copy, to, entry.name, name, status)) return;
  if (type === S_IF.REG) await copyFile(copy, from, to, name, status);
  else if (type === S_IF.LNK) symlinkat(readlinkat(from, name), to, name);
  else if (type === S_IF.SOCK) return;
  else mknodat(to, name, status.mode, status.rdevMajor, status.rdevMinor);
  finish(from, to, name, entry, status);
}

function linkToFirst(copy: Copy, to: number, text: string, name: Path, status: FileStatus): boolean {
  const key = `${status.dev}:${status.ino}`;
  const first = copy.links.get(key);
  if (first !== undefined) {
    linkat(first.fd, first.name, to, name);
    return true;
  }
  // A name that is not UTF-8 is copied as a file of its own: rare, and only the sharing is lost.
  if (typeof name === 'string') copy.links.set(key, { fd: to, name: text });
  return false;
}

async function copyFile(copy: Copy, from: number, to: number, name: Path, status: FileStatus): Promise<void> {
  using source = ownedFd(openat(from, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK));
  using target = ownedFd(openat(to, name, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600));
  for (let left = status.size; left > 0; ) {
    const length = read(source.fd, copy.buffer);
    if (length === 0) break;
    writeAll(target.fd, copy.buffer.subarray(0, length));
    left -= length;
    if (performance.now() < copy.sliceEnds) continue;
    await nextTurn();
    copy.signal?.throwIfAborted();
    copy.sliceEnds = performance.now() + SLICE_MS;
  }
}

/** Owner first (it clears set-id bits), then mode, attributes and times. */
function finish(from: number, to: number, name: Path, entry: DirectoryEntry, status: FileStatus): void {
  fchownat(to, name, status.uid, status.gid);
  const isLink = (status.mode & S_IF.MT) === S_IF.LNK;
  if (!isLink) {
    using file = ownedFd(openat(to, name, O.PATH | O.NOFOLLOW));
    fchmodPath(file.fd, status.mode & 0o7777);
  }
  if (entry.raw === undefined) {
    copyAttributes(`/proc/self/fd/${from}/${entry.name}`, `/proc/self/fd/${to}/${entry.name}`);
  }
  utimensat(to, name, status.atimeNs, status.mtimeNs);
}

function copyAttributes(from: string, to: string): void {
  for (const name of llistxattr(from)) {
    if (name.startsWith('trusted.overlay.')) continue;
    const value = lgetxattr(from, name);
    if (value === undefined) continue;
    try {
      lsetxattr(to, name, value);
    } catch (error) {
      // The volume's file system may know fewer kinds of attributes than the layer's.
      if (!isErrno(error, 'EOPNOTSUPP')) throw error;
    }
  }
}
