/**
 * A container's file system as its programs see it, as a descriptor. Of a running container it is that of its own mount
 * namespace, so volumes and tmpfs are in it; of a stopped one it is the layer with binds and volumes mounted as a start
 * would. Nothing of the container is executed or loaded, and every path below is resolved in this root by the kernel.
 */
import { isRunning } from '#container/state.ts';
import type { ContainerRecord } from '#container/record.ts';
import { conflict, systemError } from '#errdefs/errors.ts';
import type { RunningProcess } from '#execdriver/driver.ts';
import type { IdMapping } from '#libcontainer/spec.ts';
import type { IdShift } from '#pkg/archive/id-shift.ts';
import { isErrno } from '#sys/errno.ts';
import { close, fstat, open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { pidfdOpen, startTicks } from '#sys/processes.ts';
import { mkdirAllInRoot, tryOpenInRoot } from '#sys/safe-path.ts';
import { rootMountOf } from '#sys/trees.ts';
import type { Services } from '../services.ts';
import { publishVolumesMounted, publishVolumesUnmounted } from '../container/event.ts';
import { composeWhole } from './compose.ts';
import type { Root, ViewKind } from './stopped-trees.ts';

export interface FileView extends AsyncDisposable {
  readonly record: ContainerRecord;
  /** O_PATH or better; its root is the container's `/`. */
  readonly root: number;
  /** Mounts that the engine made (proc, dev, sys): what lies in them is not copied along with what is above. */
  readonly leaveOut: readonly bigint[];
  readonly ids: IdShift | undefined;
  /** Aborted when the client goes, the job is cancelled or the files have to be let go of. */
  readonly signal: AbortSignal;
}

const ATTEMPTS = 5;

/** Errors: not-found; conflict while it is being removed. */
export async function openView(
  services: Services,
  reference: string,
  kind: ViewKind,
  signal: AbortSignal,
): Promise<FileView> {
  const { id } = services.containers.resolve(reference);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    signal.throwIfAborted();
    // In the queue, since a start or a removal must not come between the look and the lease.
    const view = await services.containers.run(id, ({ record }) => tryOpen(services, record, kind, signal));
    if (view !== undefined) return view;
    // It has ended and its exit is not handled yet: a stopped container then.
    const live = services.live.get(id);
    if (live !== undefined) await Promise.race([live.ended, aborted(signal)]);
  }
  throw systemError(`the files of container ${id} cannot be reached: it starts and ends all the time`);
}

async function tryOpen(
  services: Services,
  record: ContainerRecord,
  kind: ViewKind,
  signal: AbortSignal,
): Promise<FileView | undefined> {
  const { id, state } = record;
  if (state.status === 'removing' || state.status === 'dead') {
    throw conflict(`container ${id} is marked for removal`);
  }
  const lease = services.files.leases.take(id);
  try {
    const root = isRunning(state) ? rootOfRunning(services, id, kind) : await rootOfStopped(services, record, kind);
    if (root === undefined) {
      lease[Symbol.dispose]();
      return undefined;
    }
    if (state.startedAt === '') makeWorkingDirectory(root.fd, record.config.WorkingDir);
    let open = true;
    if (kind === 'whole') publishVolumesMounted(services.events, record);
    return {
      record,
      root: root.fd,
      leaveOut: kind === 'whole' ? engineMounts(record, root.fd) : [],
      ids: isRunning(state) ? idShiftOf(record) : undefined,
      signal: AbortSignal.any([signal, lease.signal]),
      [Symbol.asyncDispose]: async () => {
        if (!open) return;
        open = false;
        if (kind === 'whole') publishVolumesUnmounted(services.events, record);
        try {
          await root[Symbol.asyncDispose]();
        } finally {
          lease[Symbol.dispose]();
        }
      },
    };
  } catch (error) {
    lease[Symbol.dispose]();
    throw error;
  }
}

/** With dockerd a container has it from its create on; with us from its first start, or the first look into it. */
function makeWorkingDirectory(root: number, path: string): void {
  if (path === '' || path === '/') return;
  try {
    close(mkdirAllInRoot(root, path));
  } catch (error) {
    // Something else is there, or it must not be written to: a start says so.
    if (!isErrno(error, 'ENOTDIR', 'EEXIST', 'ELOOP', 'EROFS', 'ENOENT')) throw error;
  }
}

/** Seen from here, files of a user namespace have the host's ids; on the disk, so of a stopped container, those of inside. */
function idShiftOf({ userns }: ContainerRecord): IdShift | undefined {
  if (userns === undefined) return undefined;
  const ranges = (maps: readonly IdMapping[]) =>
    maps.map(({ containerID, hostID, size }) => ({ inside: containerID, outside: hostID, size }));
  return { uids: ranges(userns.uids), gids: ranges(userns.gids) };
}

/** Undefined when its first process has just ended. */
function rootOfRunning(services: Services, id: string, kind: ViewKind): Root | undefined {
  const process = services.live.get(id)?.process;
  if (process === undefined) return undefined;
  try {
    using pidfd = ownedFd(pidfdOpen(process.pid));
    if (kind === 'root') {
      if (!isStill(process)) return undefined;
      return owned(rootMountOf(pidfd.fd));
    }
    using root = ownedFd(open(`/proc/${process.pid}/root`, O.PATH | O.DIRECTORY));
    // Looked at after the opening: the pid was still its own then.
    return isStill(process) ? owned(root.release()) : undefined;
  } catch (error) {
    if (isErrno(error, 'ESRCH', 'ENOENT')) return undefined;
    throw error;
  }
}

const owned = (fd: number): Root => ({ fd, [Symbol.asyncDispose]: async () => close(fd) });

const isStill = (process: RunningProcess): boolean => startTicks(process.pid) === process.startTicks;

function engineMounts(record: ContainerRecord, root: number): bigint[] {
  const own = fstat(root).mountId;
  const wanted = new Set(record.mounts.map((mount) => mount.destination));
  const found: bigint[] = [];
  for (const path of ['/proc', '/dev', '/sys']) {
    if (wanted.has(path)) continue;
    const fd = tryOpenInRoot(root, path, O.PATH | O.DIRECTORY);
    if (fd === undefined) continue;
    const { mountId } = fstat(fd);
    close(fd);
    if (mountId !== own) found.push(mountId);
  }
  return found;
}

function rootOfStopped(services: Services, record: ContainerRecord, kind: ViewKind): Promise<Root> {
  return services.files.stopped.open(record.id, kind, {
    layer: () => {
      const layer = services.layers.readWrite(record.id)?.mount();
      if (layer === undefined) throw systemError(`container ${record.id} has no read-write layer`);
      return layer;
    },
    whole: (layer) => composeWhole(services, record, layer),
  });
}

async function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
}
