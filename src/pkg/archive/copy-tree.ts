/**
 * Copies a directory's contents with owners, modes, times, extended attributes, devices, hard links and holes. File data
 * is shared (FICLONE) where the file system can, else copied inside the kernel. By descriptors, following no link.
 * Preconditions: the thread's umask is 0; nobody else writes to `to`.
 */
import { call, must } from '#sys/call.ts';
import { errnoNumber } from '#sys/errno.ts';
import {
  close,
  fchmod,
  fchown,
  type FileStatus,
  fstat,
  ftruncate,
  linkat,
  mkdirat,
  mknodat,
  open,
  openat,
  statxAt,
  utimensat,
} from '#sys/files.ts';
import { AT, NR, O, S_IF, SEEK } from '#sys/numbers.ts';
import { copyXattrs, readLink } from './attributes.ts';
import { kernelName, pathVia } from './directories.ts';
import type { ByteString } from './entry.ts';
import { readNames } from './remove-tree.ts';

const FICLONE = 0x40049409;
const COPY_BYTES = 1 << 30;
const ENXIO = -errnoNumber('ENXIO');
const DIRECTORY_FLAGS = O.RDONLY | O.DIRECTORY | O.NOFOLLOW;

/** `step` is called for every entry; it may throw to stop. */
export function copyTree(from: string, to: string, step: () => void): void {
  const source = open(from, DIRECTORY_FLAGS);
  const target = open(to, DIRECTORY_FLAGS);
  try {
    const copier = new Copier(target, step);
    copier.contents(source, target, '');
    copier.finishDirectory(fstat(source), target, from, to);
  } finally {
    close(source);
    close(target);
  }
}

class Copier {
  readonly #root: number;
  readonly #step: () => void;
  /** First copy of each file with several names: path below the target's root. */
  readonly #linked = new Map<string, ByteString>();

  constructor(root: number, step: () => void) {
    this.#root = root;
    this.#step = step;
  }

  contents(source: number, target: number, prefix: ByteString): void {
    for (const { name } of readNames(source)) {
      this.#step();
      this.#entry(source, target, name, prefix + name);
    }
  }

  finishDirectory(status: FileStatus, fd: number, from: string | Uint8Array, to: string | Uint8Array): void {
    fchown(fd, status.uid, status.gid);
    fchmod(fd, status.mode & 0o7777);
    copyXattrs(from, to);
    utimensat(fd, '.', status.atimeNs, status.mtimeNs);
  }

  #entry(source: number, target: number, name: ByteString, path: ByteString): void {
    const bytes = kernelName(name);
    const status = statxAt(source, bytes);
    const kind = status.mode & S_IF.MT;
    const isShared = kind !== S_IF.DIR && status.nlink > 1;
    const key = `${status.dev}:${status.ino}`;
    const first = isShared ? this.#linked.get(key) : undefined;
    if (first !== undefined) {
      linkat(this.#root, kernelName(first), target, bytes);
      return;
    }
    if (kind === S_IF.DIR) {
      this.#directory(source, target, bytes, name, path, status);
      return;
    }
    if (isShared) this.#linked.set(key, path);
    if (kind === S_IF.REG) copyFile(source, target, bytes, status);
    else if (kind === S_IF.LNK) {
      must('symlinkat', NR.symlinkat, kernelName(readLink(source, bytes)), target, bytes);
      must('fchownat', NR.fchownat, target, bytes, status.uid, status.gid, AT.SYMLINK_NOFOLLOW);
    } else {
      mknodat(target, bytes, status.mode, status.rdevMajor, status.rdevMinor);
      must('fchownat', NR.fchownat, target, bytes, status.uid, status.gid, AT.SYMLINK_NOFOLLOW);
    }
    copyXattrs(pathVia(source, name), pathVia(target, name));
    utimensat(target, bytes, status.atimeNs, status.mtimeNs);
  }

  #directory(
    source: number,
    target: number,
    bytes: Buffer,
    name: ByteString,
    path: ByteString,
    status: FileStatus,
  ): void {
    mkdirat(target, bytes, 0o700);
    const from = openat(source, bytes, DIRECTORY_FLAGS);
    try {
      const to = openat(target, bytes, DIRECTORY_FLAGS);
      try {
        this.contents(from, to, `${path}/`);
        this.finishDirectory(status, to, pathVia(source, name), pathVia(target, name));
      } finally {
        close(to);
      }
    } finally {
      close(from);
    }
  }
}

function copyFile(source: number, target: number, name: Uint8Array, status: FileStatus): void {
  const from = openat(source, name, O.RDONLY | O.NOFOLLOW);
  try {
    const to = openat(target, name, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600);
    try {
      if (status.size > 0 && call(NR.ioctl, to, FICLONE, from) < 0) copyData(from, to, status.size);
      fchown(to, status.uid, status.gid);
      fchmod(to, status.mode & 0o7777);
    } finally {
      close(to);
    }
  } finally {
    close(from);
  }
}

/** Only what is data; holes stay holes. */
function copyData(from: number, to: number, size: number): void {
  ftruncate(to, size);
  let at = 0;
  while (at < size) {
    const start = call(NR.lseek, from, at, SEEK.DATA);
    if (start === ENXIO) return;
    const data = start < 0 ? at : start;
    const hole = start < 0 ? size : must('lseek', NR.lseek, from, data, SEEK.HOLE);
    must('lseek', NR.lseek, from, data, SEEK.SET);
    must('lseek', NR.lseek, to, data, SEEK.SET);
    for (at = data; at < hole; ) {
      const length = Math.min(hole - at, COPY_BYTES);
      let count = call(NR.copy_file_range, from, 0, to, 0, length, 0);
      // Another file system, or one that cannot.
      if (count < 0) count = must('sendfile', NR.sendfile, to, from, 0, length);
      if (count === 0) return;
      at += count;
    }
  }
}
