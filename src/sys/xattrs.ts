/**
 * Extended attributes, never through a symlink. They are addressed by path (`/proc/self/fd/N/name` for a name in an open
 * directory, `/proc/self/fd/N` would follow the link: use `viaFd` for a descriptor that is no symlink).
 */
import { call, check, must } from './call.ts';
import { errnoNumber } from './errno.ts';
import type { Path } from './files.ts';
import { NR } from './numbers.ts';

const XATTR_BYTES_MAX = 65_536;
const NOT_THERE = -errnoNumber('ENODATA');
const buffer = new Uint8Array(XATTR_BYTES_MAX);

/** Value, or undefined when the file has no such attribute. */
export function lgetxattr(path: Path, name: string): Uint8Array | undefined {
  const length = call(NR.lgetxattr, path, name, buffer, buffer.length);
  if (length === NOT_THERE) return undefined;
  return buffer.slice(0, check(NR.lgetxattr, length, path, name));
}

export function lsetxattr(path: Path, name: string, value: Uint8Array): void {
  must('lsetxattr', NR.lsetxattr, path, name, value, value.length, 0);
}

export function lremovexattr(path: Path, name: string): void {
  must('lremovexattr', NR.lremovexattr, path, name);
}

/** Names of the attributes. A file system without attributes has none. */
export function llistxattr(path: Path): string[] {
  const length = call(NR.llistxattr, path, buffer, buffer.length);
  if (length === -errnoNumber('EOPNOTSUPP')) return [];
  return Buffer.from(buffer.subarray(0, check(NR.llistxattr, length, path)))
    .toString()
    .split('\0')
    .filter((name) => name !== '');
}

export function fgetxattr(fd: number, name: string): Uint8Array | undefined {
  const length = call(NR.fgetxattr, fd, name, buffer, buffer.length);
  if (length === NOT_THERE) return undefined;
  return buffer.slice(0, check(NR.fgetxattr, length, fd, name));
}

export function fsetxattr(fd: number, name: string, value: Uint8Array): void {
  must('fsetxattr', NR.fsetxattr, fd, name, value, value.length, 0);
}
