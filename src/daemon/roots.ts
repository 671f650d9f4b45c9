/** The daemon's directories and the lock that makes it the only one of its data root. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { conflict } from '#errdefs/errors.ts';
import { isErrno } from '#sys/errno.ts';
import { flock, type OwnedFd, open, ownedFd } from '#sys/files.ts';
import { LOCK, O } from '#sys/numbers.ts';

const DEFAULT_DATA_ROOT = '/var/lib/berth';

/** Six hex digits that keep the kernel objects of daemons apart; undefined for the default data root. */
export function suffixOf(dataRoot: string): string | undefined {
  if (dataRoot === DEFAULT_DATA_ROOT) return undefined;
  return createHash('sha256').update(dataRoot).digest('hex').slice(0, 6);
}

export function makeRoots(roots: { readonly dataRoot: string; readonly execRoot: string }): void {
  make(roots.dataRoot, 0o710);
  make(roots.execRoot, 0o700);
  make(path.join(roots.dataRoot, 'containers'), 0o710);
}

/** The mode is set on a directory that exists too: it may have come from a looser time. */
function make(directory: string, mode: number): void {
  fs.mkdirSync(directory, { recursive: true, mode });
  fs.chmodSync(directory, mode);
}

/** Errors: conflict that names the daemon which has the data root. */
export function lockDataRoot(dataRoot: string): OwnedFd {
  const file = path.join(dataRoot, 'berthd.lock');
  const lock = ownedFd(open(file, O.RDWR | O.CREAT | O.NOFOLLOW, 0o600));
  try {
    flock(lock.fd, LOCK.EX | LOCK.NB);
  } catch (error) {
    lock[Symbol.dispose]();
    if (!isErrno(error, 'EAGAIN', 'EWOULDBLOCK')) throw error;
    const owner = fs.readFileSync(file, 'utf8').trim();
    throw conflict(`Cannot use data root "${dataRoot}": berthd with pid ${owner} uses it`, { cause: error });
  }
  fs.ftruncateSync(lock.fd, 0);
  fs.writeSync(lock.fd, `${process.pid}\n`, 0);
  return lock;
}
