/** Extended attributes by path, never through a symlink at its end: `/proc/self/fd/N/name` for a name in an open directory. */
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
