/** Standard streams of a process that has no terminal. */
import { isErrno } from '#sys/errno.ts';
import { fchownat, fstat } from '#sys/files.ts';
import { AT, S_IF } from '#sys/numbers.ts';
import type { ChildStdio } from './process-steps.ts';

const MEMORY_DEVICES = 1;
const SAME_GID = 0xffff_ffff; // −1

/** Pipes get the container's user (host id) as owner, else `echo > /dev/stdout` fails for anybody but root. */
export function giveStdio(stdio: ChildStdio, uid: number): void {
  for (const fd of new Set([stdio.stdin, stdio.stdout, stdio.stderr])) {
    const status = fstat(fd);
    const device = (status.mode & S_IF.MT) === S_IF.CHR && status.rdevMajor === MEMORY_DEVICES;
    if (device || status.uid === uid) continue;
    try {
      fchownat(fd, '', uid, SAME_GID, AT.EMPTY_PATH);
    } catch (error) {
      // Sockets and files of file systems without owners keep what they have.
      if (!isErrno(error, 'EINVAL', 'EPERM', 'EROFS', 'ENOSYS')) throw error;
    }
  }
}
