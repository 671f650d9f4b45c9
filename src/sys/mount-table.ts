/**
 * Mounts in the daemon's own mount table: mount(2) and umount2(2), and what /proc/self/mountinfo says. Almost everything
 * here is mounted detached (mounts.ts); this is for mounts that users of the host shall see, as those of volumes.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { must } from './call.ts';
import { errnoNumber, isErrno, SysError } from './errno.ts';
import { open, ownedFd } from './files.ts';
import { AT, MNT, MOVE_MOUNT, MS, NR, O } from './numbers.ts';

export interface MountRequest {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  /** Bits of MS. */
  readonly flags: number;
  /** For the file system. */
  readonly options: string;
}

/** The mount is made private: under systemd everything is shared, and containers shall not hand it on. */
export function mountAt(request: MountRequest): void {
  const { source, target, type, flags, options } = request;
  must('mount', NR.mount, source, target, type, flags, options);
  try {
    must('mount', NR.mount, 0, target, 0, MS.PRIVATE, 0);
  } catch (error) {
    unmount(target);
    throw error;
  }
}

/** A bind takes no other flags at first: they are set by a second call. */
export function remountBind(target: string, flags: number): void {
  must('mount', NR.mount, 0, target, 0, flags | MS.BIND | MS.REMOUNT, 0);
}

/** Takes away what is mounted there, at the latest when its last user is gone; nothing there is no error. */
export function unmount(target: string): void {
  try {
    must('umount2', NR.umount2, target, MNT.DETACH | MNT.UMOUNT_NOFOLLOW);
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'ENOENT')) throw error;
  }
}

/** Mount points below `directory`, in the order they were mounted. */
export function mountPointsBelow(
  directory: string,
  mountinfo = readFileSync('/proc/self/mountinfo', 'utf8'),
): string[] {
  const found: string[] = [];
  for (const line of mountinfo.split('\n')) {
    const escaped = line.split(' ', 5)[4];
    if (escaped === undefined) continue;
    const place = escaped.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    if (place.startsWith(`${directory}/`)) found.push(place);
  }
  return found;
}

/**
 * As mountAt, for what may wait for a disk or a server: on a thread of its own. What is not done after `limitMs` is
 * given up, and taken away again should it be done later.
 * Errors: ETIMEDOUT.
 */
export function mountWithin(request: MountRequest, limitMs: number): Promise<void> {
  const worker = new Worker(new URL('./mount-worker.ts', import.meta.url));
  worker.unref();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    reject(new SysError('mount', errnoNumber('ETIMEDOUT'), [request.source]));
  }, limitMs);
  worker.onmessage = (event: MessageEvent<number>) => {
    clearTimeout(limit);
    worker.terminate();
    if (late && event.data === 0) unmount(request.target);
    else if (event.data === 0) resolve();
    else reject(new SysError('mount', event.data, [request.source, request.target]));
  };
  worker.onerror = (event: ErrorEvent) => {
    event.preventDefault();
    clearTimeout(limit);
    reject(new Error(`the worker of a mount failed: ${event.message}`));
  };
  worker.postMessage(request);
  return promise;
}

/**
 * Attaches a detached mount to a new directory below `place` for as long as `work` runs. Its root is handed in. What a
 * crash leaves there, `unmountBelow` takes away.
 */
export function attachedAt<T>(place: string, mount: number, work: (root: number) => T): T {
  mkdirSync(place, { recursive: true, mode: 0o700 });
  const directory = mkdtempSync(`${place}/`);
  try {
    must('move_mount', NR.move_mount, mount, '', AT.FDCWD, directory, MOVE_MOUNT.F_EMPTY_PATH);
    using root = ownedFd(open(directory, O.PATH | O.DIRECTORY));
    return work(root.fd);
  } finally {
    unmount(directory);
    rmdirSync(directory);
  }
}

/** Takes away what is mounted on the directories in `place`, and them. */
export function unmountBelow(place: string): void {
  for (const mounted of mountPointsBelow(place)) unmount(mounted);
  for (const name of existsSync(place) ? readdirSync(place) : []) rmdirSync(`${place}/${name}`);
}
