/** Failures of system calls in the words that users know. */
import { isErrno } from '#sys/errno.ts';

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on device',
  EDQUOT: 'disk quota exceeded',
  ENAMETOOLONG: 'file name too long',
  ENOENT: 'no such file or directory',
  ENOTDIR: 'not a directory',
  EPERM: 'operation not permitted',
  EACCES: 'permission denied',
  EINVAL: 'invalid argument',
  EROFS: 'read-only file system',
  EBUSY: 'device or resource busy',
  ELOOP: 'too many levels of symbolic links',
  EIO: 'input/output error',
  EMFILE: 'too many open files',
  EXDEV: 'invalid cross-device link',
};

export function reasonOfErrno(code: string): string {
  return reasons[code] ?? code;
}

/** Undefined for what no system call said. */
export function explainErrno(error: unknown): string | undefined {
  return isErrno(error) ? `${error.syscall}: ${reasonOfErrno(error.code)}` : undefined;
}
