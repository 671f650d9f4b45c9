/** Extended attributes and link targets as bytes: names and targets need not be UTF-8. Links are never followed. */
import { call, check } from '#sys/call.ts';
import { errnoNumber } from '#sys/errno.ts';
import { NR } from '#sys/numbers.ts';
import { kernelName } from './directories.ts';
import type { ByteString } from './entry.ts';

const ENODATA = -errnoNumber('ENODATA');
const ENOTSUP = -errnoNumber('ENOTSUP');
const EPERM = -errnoNumber('EPERM');
const ERANGE = -errnoNumber('ERANGE');
/** The kernel's limit of a value and of the list of names. */
const XATTR_BYTES_MAX = 65_536;
/** Enough for nearly all; small, because the buffer is copied to the call and back. */
const XATTR_BYTES = 512;
const PATH_BYTES_MAX = 4096;

/** Names of the attributes of the NUL-terminated path; none where the file system knows no attributes. */
export function listXattrs(path: Uint8Array | string): ByteString[] {
  return namesIn(grown((buffer) => call(NR.llistxattr, path, buffer, buffer.length)));
}

function namesIn(names: Buffer | number): ByteString[] {
  if (typeof names === 'number') {
    if (names !== ENOTSUP) check(NR.llistxattr, names);
    return [];
  }
  const list = names.toString('latin1').split('\0');
  return list.filter((name) => name !== '');
}

/** Undefined when the file has no such attribute. */
export function readXattr(path: Uint8Array | string, name: ByteString): Buffer | undefined {
  const bytes = kernelName(name);
  return valueOf(grown((buffer) => call(NR.lgetxattr, path, bytes, buffer, buffer.length)));
}

function valueOf(value: Buffer | number): Buffer | undefined {
  if (typeof value !== 'number') return value;
  if (value !== ENODATA && value !== ENOTSUP) check(NR.lgetxattr, value);
  return undefined;
}

/** Of an open file: no walk to its name, and nothing is copied for the many that have none. */
export function listOpenXattrs(fd: number): ByteString[] {
  const length = call(NR.flistxattr, fd, 0, 0);
  if (length === 0 || length === ENOTSUP) return [];
  check(NR.flistxattr, length);
  return namesIn(grown((buffer) => call(NR.flistxattr, fd, buffer, buffer.length)));
}

/** Undefined when the file has no such attribute. */
export function readOpenXattr(fd: number, name: ByteString): Buffer | undefined {
  const bytes = kernelName(name);
  return valueOf(grown((buffer) => call(NR.fgetxattr, fd, bytes, buffer, buffer.length)));
}

/** As copyXattrs, of open files. */
export function copyOpenXattrs(from: number, to: number): void {
  for (const name of listOpenXattrs(from)) {
    const value = readOpenXattr(from, name);
    if (value === undefined) continue;
    const set = call(NR.fsetxattr, to, kernelName(name), value, value.length, 0);
    if (set !== ENOTSUP && set !== EPERM) check(NR.fsetxattr, set);
  }
}

/** Copies all attributes; those that the target cannot keep are left out, as Docker does. */
export function copyXattrs(from: Uint8Array | string, to: Uint8Array | string): void {
  for (const name of listXattrs(from)) {
    const value = readXattr(from, name);
    if (value === undefined) continue;
    const set = call(NR.lsetxattr, to, kernelName(name), value, value.length, 0);
    if (set !== ENOTSUP && set !== EPERM) check(NR.lsetxattr, set);
  }
}

/** Target of a link. */
export function readLink(directory: number, name: Uint8Array): ByteString {
  const buffer = Buffer.alloc(PATH_BYTES_MAX);
  const length = check(NR.readlinkat, call(NR.readlinkat, directory, name, buffer, buffer.length));
  return buffer.toString('latin1', 0, length);
}

/** What was read, or -errno; the buffer grows once when it was too small. */
function grown(read: (buffer: Buffer) => number): Buffer | number {
  for (const size of [XATTR_BYTES, XATTR_BYTES_MAX]) {
    const buffer = Buffer.alloc(size);
    const length = read(buffer);
    if (length === ERANGE && size < XATTR_BYTES_MAX) continue;
    return length < 0 ? length : buffer.subarray(0, length);
  }
  return ERANGE;
}
