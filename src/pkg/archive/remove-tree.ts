/**
 * Removes directory trees by descriptor: no link is followed, and a name that changes under way cannot lead elsewhere.
 * One descriptor is open per level, so a tree deeper than the limit of open files fails with EMFILE.
 */
import { call, transfer } from '#sys/call.ts';
import { errnoNumber, SysError } from '#sys/errno.ts';
import { close } from '#sys/files.ts';
import { AT, NR, O } from '#sys/numbers.ts';
import type { ByteString } from './entry.ts';

const EISDIR = -errnoNumber('EISDIR');
const ENOENT = -errnoNumber('ENOENT');

export interface DirectoryName {
  readonly name: ByteString;
  /** DT_*; 4 is a directory. */
  readonly type: number;
}

const DT_DIRECTORY = 4;

/** Names in an open directory (not O_PATH), as byte strings; not `.` and `..`. */
export function readNames(fd: number): DirectoryName[] {
  const names: DirectoryName[] = [];
  const buffer = Buffer.allocUnsafeSlow(32_768);
  for (;;) {
    const length = transfer(NR.getdents64, fd, buffer);
    if (length < 0) throw new SysError('getdents64', -length);
    if (length === 0) return names;
    for (let at = 0; at < length; at += buffer.readUInt16LE(at + 16)) {
      const name = buffer.toString('latin1', at + 19, buffer.indexOf(0, at + 19));
      if (name !== '.' && name !== '..') names.push({ name, type: buffer[at + 18] ?? 0 });
    }
  }
}

/** Removes what `name` (NUL-terminated) is in `parent`, whatever it is. Nothing there is fine. */
export function removeTree(parent: number, name: Uint8Array): void {
  const gone = call(NR.unlinkat, parent, name, 0);
  if (gone >= 0 || gone === ENOENT) return;
  if (gone !== EISDIR) throw new SysError('unlinkat', -gone);
  const flags = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC;
  const fd = call(NR.openat, parent, name, flags, 0);
  if (fd === ENOENT) return;
  if (fd < 0) throw new SysError('openat', -fd);
  try {
    for (const child of readNames(fd)) removeTree(fd, terminated(child.name));
  } finally {
    close(fd);
  }
  const removed = call(NR.unlinkat, parent, name, AT.REMOVEDIR);
  if (removed < 0 && removed !== ENOENT) throw new SysError('unlinkat', -removed);
}

/** Removes everything below the directory but the paths in `keep` (clean paths) and the directories that lead to them. */
export function emptyDirectory(directory: number, path: ByteString, keep: ReadonlySet<ByteString>): void {
  const fd = call(NR.openat, directory, terminated('.'), O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  if (fd < 0) throw new SysError('openat', -fd);
  try {
    for (const { name, type } of readNames(fd)) {
      const child = path === '' ? name : `${path}/${name}`;
      if (!keep.has(child)) removeTree(fd, terminated(name));
      else if (type === DT_DIRECTORY) emptyBelow(fd, name, child, keep);
    }
  } finally {
    close(fd);
  }
}

function emptyBelow(parent: number, name: ByteString, path: ByteString, keep: ReadonlySet<ByteString>): void {
  const fd = call(NR.openat, parent, terminated(name), O.PATH | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  if (fd < 0) throw new SysError('openat', -fd);
  try {
    emptyDirectory(fd, path, keep);
  } finally {
    close(fd);
  }
}

const terminated = (name: ByteString): Buffer => Buffer.from(`${name}\0`, 'latin1');
