/**
 * Removes a container. In one transaction record and name go and the intent to delete the rest is recorded; then waiters
 * hear of it, then layer, directory and anonymous volumes go. A crash in between is finished by restore.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { ContainerRecord } from '#container/record.ts';
import { can, isRunning, moveTo } from '#container/state.ts';
import { conflict, kindOf, messageOf, systemError } from '#errdefs/errors.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { removeLink } from '../network/links.ts';
import type { Services } from '../services.ts';
import type { Held } from './containers.ts';
import { publishContainerEvent, publishVolumeEvent } from './event.ts';
import { signalQuietly } from './live.ts';
import type { ArchivedLog } from './log-archive.ts';
import { logTargetOf } from './log-target.ts';
import { containerDirectory, containersDirectory } from './paths.ts';
import { thawForSignal } from './pause.ts';

/** What is left to delete of a container whose record is gone. */
export const REMOVAL_KIND = 'removal';

interface Removal {
  readonly id: string;
  readonly volumes: readonly string[];
  /** What is to be kept of it. */
  readonly log?: ArchivedLog | undefined;
}

export interface RemoveInput {
  readonly container: string;
  readonly force: boolean;
  readonly volumes: boolean;
  readonly link: boolean;
}

const SIGKILL = 9;
/** What a client that has waited needs to end: it may have to share a processor with us. */
const CLIENT_ENDS_MS = 4;

export async function removeContainer(services: Services, input: RemoveInput): Promise<void> {
  if (input.link) {
    await removeLink(services, input.container);
    return;
  }
  const { id } = services.containers.resolve(input.container);
  services.live.cancelRestart(id);
  // Killing is not done inside the queue: the exit needs it.
  for (let attempt = 0; input.force && attempt < 3; attempt++) {
    if (services.containers.get(id) === undefined) break;
    // Inside the queue: a policy's restart that waits there finds nothing to start again.
    const live = await services.containers.run(id, (held) => {
      const { state } = held.record;
      const stopped = state.status === 'restarting' ? moveTo(state, { status: 'exited' }) : state;
      // On a full disk it is the end and the removal that make room: that they cannot be noted does not stop them.
      held.note({ desired: 'stopped', manuallyStopped: true, state: stopped });
      return services.live.get(id);
    });
    if (live === undefined) break;
    const record = services.containers.get(id);
    if (record !== undefined) publishContainerEvent(services.events, record, 'kill', { signal: String(SIGKILL) });
    await signalQuietly(live.process, SIGKILL);
    await thawForSignal(services, id);
    // Who commits it may hold it frozen.
    await services.files.leases.breakOff(id, 'the container was removed');
    await live.ended;
  }
  // --rm may have been faster.
  if (input.force && services.containers.get(id) === undefined) return;
  await services.containers.run(id, async (held) => {
    checkRemovable(held.record, input.container);
    await removeHeld(services, held, { volumes: input.volumes });
  });
}

function checkRemovable(record: ContainerRecord, reference: string): void {
  const { status } = record.state;
  if (status === 'restarting') return;
  if (status === 'paused') {
    throw conflict(`cannot remove container "${reference}": container is paused and must be unpaused first`);
  }
  if (isRunning(record.state) || !can(record.state, 'remove')) {
    throw conflict(
      `cannot remove container "${reference}": container is ${status}: ` +
        'stop the container before removing or force remove',
    );
  }
}

/** Inside the queue; nothing runs. */
export async function removeHeld(
  services: Services,
  held: Held,
  options: {
    readonly volumes: boolean;
    /** Lets go of what is left of its process, when the record is gone. */
    readonly release?: () => Promise<void>;
  },
): Promise<void> {
  const { record } = held;
  const { id } = record;
  const anonymous = record.mounts.filter((mount) => mount.anonymous).map((mount) => mount.volume);
  const removal: Removal = { id, volumes: options.volumes ? anonymous : [], log: archivedLogOf(services, record) };
  services.containers.forget(id, () => {
    for (const mount of record.mounts) if (mount.volume !== '') services.volumes.removeUser(mount.volume, id);
    services.execs.forget(id);
    services.health.states.forget(id);
    services.db.put(REMOVAL_KIND, id, removal);
  });
  failpoint('remove.recorded');
  services.live.cancelRestart(id);
  services.consoles.end(id);
  services.endings.removed(record, rfc3339(nowNs()));
  publishContainerEvent(services.events, record, 'destroy');
  const outcome = { exitCode: record.state.exitCode, error: '' };
  if (options.release === undefined) services.waiters.removed(id, outcome);
  else services.waiters.removedItself(id, outcome);
  // What waited is told, and may end, before the rest is taken down; a crash here is repaired as one in a start or in a
  // removal. Nobody can wait for the rest of one that removes itself.
  await (options.release === undefined ? nextTurn() : sleep(CLIENT_ENDS_MS));
  await services.turns.take();
  await options.release?.();
  await finishRemoval(services, removal);
}

/** undefined: there is none, or none that may be read. */
function archivedLogOf(services: Services, record: ContainerRecord): ArchivedLog | undefined {
  if (!record.complete || record.state.startedAt === '' || services.settings.logArchive.sizeBytesMax === 0)
    return undefined;
  const target = logTargetOf(containersDirectory(services), record);
  if (target?.readable !== true) return undefined;
  const { driver, path: file, maxFiles } = target;
  return { id: record.id, name: record.name, driver, fileName: path.basename(file), maxFiles };
}

async function finishRemoval(services: Services, removal: Removal): Promise<void> {
  const { id } = removal;
  await services.files.leases.breakOff(id, 'the container was removed');
  try {
    await services.layers.releaseReadWrite(id);
  } catch (cause) {
    throw systemError(`container ${id}: driver failed to remove root filesystem: ${messageOf(cause)}`, { cause });
  }
  failpoint('remove.layer-gone');
  await services.shipping.release(id);
  services.logLosses.forget(id);
  if (removal.log !== undefined) services.logArchive.keep(containerDirectory(services, id), removal.log);
  // On a thread of the runtime's: deleting its few files took this one milliseconds.
  await fs.promises.rm(containerDirectory(services, id), { recursive: true, force: true });
  for (const name of removal.volumes) {
    // A volume that another container has come to use stays.
    const volume = services.volumes.find(name);
    if (volume === undefined || services.volumes.users(name).length > 0) continue;
    try {
      await services.volumes.remove(name, { force: true });
      publishVolumeEvent(services.events, 'destroy', volume, {});
    } catch (error) {
      // Whoever came to use it meanwhile keeps it.
      if (kindOf(error) !== 'conflict') throw error;
    }
  }
  services.db.delete(REMOVAL_KIND, id);
  if (services.room.restore()) return;
  // The disk was full: whoever removed something for its room wants that now.
  await services.layers.emptyTrash();
  services.room.restore();
}

/** At start-up: what a crash left half removed. */
export async function finishRemovals(services: Services): Promise<void> {
  for (const { id, document } of services.db.list(REMOVAL_KIND)) {
    const volumes: unknown = typeof document === 'object' && document !== null ? Reflect.get(document, 'volumes') : [];
    const names = Array.isArray(volumes) ? volumes.filter((name) => typeof name === 'string') : [];
    try {
      // as: written by removeHeld.
      const kept = (document as Partial<Removal> | null)?.log;
      await finishRemoval(services, { id, volumes: names, log: kept });
      log.info('removal finished', { container: id });
    } catch (error) {
      log.error('removal not finished', { container: id, err: error });
    }
  }
}
