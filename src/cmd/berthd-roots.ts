/** The daemon's own places: its roots, the lock that makes it the only one on a data root, its pid file. */
import { chmodSync, mkdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { conflict, systemError } from '#errdefs/errors.ts';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { isErrno } from '#sys/errno.ts';
import { flock, ftruncate, open, type OwnedFd, ownedFd, pread, pwrite } from '#sys/files.ts';
import { LOCK, O } from '#sys/numbers.ts';

export const DATA_ROOT_MODE = 0o710;
export const EXEC_ROOT_MODE = 0o700;

/** Makes the directory, or gives an existing one its mode: it may have been made by hand with a wider one. */
export function makeRoot(path: string, mode: number): void {
  try {
    mkdirSync(path, { recursive: true, mode });
    chmodSync(path, mode);
  } catch (error) {
    throw systemError(`Cannot make directory "${path}"`, { cause: error });
  }
}

/** Held as long as the descriptor lives. Errors: conflict naming the daemon that has it. */
export function lockDataRoot(dataRoot: string): OwnedFd {
  return lockRoot('data root', dataRoot, 'berthd.lock');
}

/** As of the data root. One exec root has one monitor, and that belongs to one daemon. */
export function lockExecRoot(execRoot: string): OwnedFd {
  return lockRoot('exec root', execRoot, 'berthd-exec.lock');
}

function lockRoot(what: string, root: string, name: string): OwnedFd {
  const path = `${root}/${name}`;
  const fd = open(path, O.RDWR | O.CREAT | O.CLOEXEC | O.NOFOLLOW, 0o600);
  const lock = ownedFd(fd);
  try {
    flock(fd, LOCK.EX | LOCK.NB);
  } catch (error) {
    const holder = readText(fd);
    lock[Symbol.dispose]();
    if (!isErrno(error, 'EAGAIN')) throw systemError(`Cannot lock ${what} "${root}"`, { cause: error });
    throw conflict(`Cannot use ${what} "${root}": ${holder === '' ? 'another daemon' : holder} uses it`);
  }
  ftruncate(fd, 0);
  pwrite(fd, Buffer.from(`the daemon with process id ${process.pid}`), 0);
  return lock;
}

function readText(fd: number): string {
  const buffer = new Uint8Array(200);
  return Buffer.from(buffer.subarray(0, pread(fd, buffer, 0)))
    .toString('utf8')
    .trim();
}

/** Removed with the Disposable, unless it has become another's. Errors: conflict when another daemon's is there. */
export function writePidFile(path: string): Disposable {
  const holder = pidIn(path);
  if (holder !== undefined && holder !== process.pid && isDaemon(holder)) {
    throw conflict(
      `ensure the other daemon is not running or delete ${path}: process with PID ${holder} is still running`,
    );
  }
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileAtomic(path, String(process.pid), { mode: 0o644, durable: false });
  } catch (error) {
    throw systemError(`Cannot write pid file "${path}"`, { cause: error });
  }
  return {
    [Symbol.dispose]: () => {
      if (pidIn(path) === process.pid) rmSync(path, { force: true });
    },
  };
}

function pidIn(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, 'utf8').trim());
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    // Not there, or not readable: writing will tell.
    return undefined;
  }
}

/** Whether the process runs the same program: the number of a daemon that was killed may be anybody's by now. */
function isDaemon(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) === readlinkSync('/proc/self/exe');
  } catch {
    return false;
  }
}
