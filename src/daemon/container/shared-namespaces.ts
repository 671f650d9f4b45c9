/**
 * Namespaces that containers share (`container:X`), and the memory of those that let others in (`--ipc shareable`): a
 * tmpfs below the exec root that both bind as /dev/shm. It is mounted from the start of its container to its end; who
 * joined keeps what it has bound. Restore unmounts what belongs to nobody.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { containerOfMode } from '#container/validate.ts';
import { conflict, invalidParameter, systemError } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import type { Rollback } from '#pkg/rollback/rollback.ts';
import { must } from '#sys/call.ts';
import { isErrno } from '#sys/errno.ts';
import { ownedFd } from '#sys/files.ts';
import { detached } from '#sys/mounts.ts';
import { AT, MNT, MOUNT_ATTR, MOVE_MOUNT, NR } from '#sys/numbers.ts';
import type { Services } from '../services.ts';

type Kind = 'net' | 'pid' | 'ipc' | 'user';

export interface JoinedNamespaces {
  readonly network?: string;
  readonly pid?: string;
  readonly ipc?: string;
  readonly user?: string;
}

/** Of running containers; their pids cannot be reused while the daemon holds the processes. Errors: conflict. */
export function joinedNamespaces(services: Services, record: ContainerRecord): JoinedNamespaces {
  const { hostConfig, userns } = record;
  const pathOf = (mode: string, kind: Kind): string | undefined => {
    const reference = containerOfMode(mode);
    if (reference === undefined) return undefined;
    const other = services.containers.resolve(reference);
    if (other.id === record.id) throw invalidParameter(`cannot join own ${kind === 'net' ? 'network' : kind}`);
    const live = services.live.get(other.id);
    if (live === undefined || !isRunning(other.state)) throw notRunning(kind, other);
    if (kind === 'ipc') shmOf(services, other);
    return `/proc/${live.process.pid}/ns/${kind}`;
  };
  const network = pathOf(hostConfig.NetworkMode, 'net');
  const pid = pathOf(hostConfig.PidMode, 'pid');
  const ipc = pathOf(hostConfig.IpcMode, 'ipc');
  const user = userns?.container === undefined ? undefined : pathOf(`container:${userns.container}`, 'user');
  return {
    ...(user === undefined ? {} : { user }),
    ...(network === undefined ? {} : { network }),
    ...(pid === undefined ? {} : { pid }),
    ...(ipc === undefined ? {} : { ipc }),
  };
}

/** In the words of dockerd. */
function notRunning(kind: Kind, { id, state }: ContainerRecord): Error {
  const restarting = state.status === 'restarting';
  const is = restarting
    ? `Container ${id} is restarting, wait until the container is running`
    : `container ${id} is not running`;
  if (kind === 'net' && !restarting) return conflict(`cannot join network of a non running container: ${id}`);
  // Of what the start's own request cannot know dockerd says that the system failed.
  if (kind === 'ipc' || kind === 'pid') return systemError(`failed to join ${kind.toUpperCase()} namespace: ${is}`);
  return conflict(is);
}

function directoryOf(services: Pick<Services, 'settings'>): string {
  return path.join(services.settings.execRoot, 'shm');
}

/** The host path that goes to /dev/shm of `record` and those who join it. Errors: conflict when it lets nobody in. */
function shmOf(services: Services, record: ContainerRecord): string {
  const { IpcMode: mode } = record.hostConfig;
  if (mode === 'shareable') return path.join(directoryOf(services), record.id);
  if (mode === 'host') return '/dev/shm';
  const other = containerOfMode(mode);
  if (other !== undefined) return shmOf(services, services.containers.resolve(other));
  throw conflict(
    `failed to join IPC namespace: container ${record.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
  );
}

/** What is bound on /dev/shm; undefined: the container has its own, or none. Mounts it for a shareable container. */
export function sharedMemory(services: Services, record: ContainerRecord, undo: Rollback): string | undefined {
  const { IpcMode: mode, ShmSize: size } = record.hostConfig;
  const other = containerOfMode(mode);
  if (other !== undefined) return shmOf(services, services.containers.resolve(other));
  if (mode !== 'shareable') return undefined;
  const place = shmOf(services, record);
  dropSharedMemory(services, record.id);
  undo.defer('unmount shared memory', () => dropSharedMemory(services, record.id));
  fs.mkdirSync(place, { recursive: true, mode: 0o700 });
  const attributes = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC;
  try {
    using mount = ownedFd(detached('tmpfs', { source: 'shm', mode: '1777', size: String(size) }, attributes));
    must('move_mount', NR.move_mount, mount.fd, '', AT.FDCWD, place, MOVE_MOUNT.F_EMPTY_PATH);
  } catch (cause) {
    throw systemError(`Cannot mount the shared memory of container ${record.id}`, { cause });
  }
  return place;
}

/** Idempotent. */
export function dropSharedMemory(services: Pick<Services, 'settings'>, id: string): void {
  const place = path.join(directoryOf(services), id);
  for (;;) {
    try {
      must('umount2', NR.umount2, place, MNT.DETACH | MNT.UMOUNT_NOFOLLOW);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return;
      if (isErrno(error, 'EINVAL')) break; // no mount (any more)
      throw error;
    }
  }
  fs.rmdirSync(place);
}

/** At start-up: memory of containers that do not run any more. */
export function sweepSharedMemory(services: Services): void {
  const directory = directoryOf(services);
  if (!fs.existsSync(directory)) return;
  for (const id of fs.readdirSync(directory)) {
    if (services.live.get(id) !== undefined) continue;
    try {
      dropSharedMemory(services, id);
    } catch (err) {
      log.error('shared memory of no container not unmounted', { container: id, err });
    }
  }
}
