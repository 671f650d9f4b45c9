/** WORKDIR: the directory is made when it is not there, as the user's. */
import { invalidParameter } from '#errdefs/errors.ts';
import { close, fchownat, ownedFd, utimensat } from '#sys/files.ts';
import { isErrno } from '#sys/errno.ts';
import { AT, O } from '#sys/numbers.ts';
import { mkdirAllInRoot, tryOpenInRoot } from '#sys/safe-path.ts';
import { throwIfAborted } from '../abort.ts';
import type { BuildSession } from '../session.ts';

export function directoryExists(root: number, path: string): boolean {
  const fd = tryOpenInRoot(root, path, O.PATH | O.DIRECTORY);
  if (fd === undefined) return false;
  close(fd);
  return true;
}

export async function makeWorkdir(
  session: BuildSession,
  root: number,
  path: string,
  user: string,
  signal: AbortSignal,
): Promise<void> {
  throwIfAborted(signal);
  const owner = user === '' ? { uid: 0, gid: 0 } : session.backend.resolveUser(root, user);
  const { sourceDateEpoch } = session.request;
  const made = (fd: number): void => {
    if (owner.uid !== 0 || owner.gid !== 0) fchownat(fd, '', owner.uid, owner.gid, AT.EMPTY_PATH);
    if (sourceDateEpoch === undefined) return;
    const time = BigInt(sourceDateEpoch) * 1_000_000_000n;
    utimensat(fd, '.', time, time);
  };
  try {
    ownedFd(mkdirAllInRoot(root, path, { made }))[Symbol.dispose]();
  } catch (error) {
    if (isErrno(error, 'ENOTDIR', 'EEXIST'))
      throw invalidParameter(`Cannot mkdir: ${path} is not a directory`, { cause: error });
    throw error;
  }
}
