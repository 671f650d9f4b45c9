/**
 * pause and unpause: the container's group is frozen first and the record says so after it. What a crash leaves between
 * the two is put right by restore: a group that is frozen without a record of it is thawed, since nobody was told.
 *
 * A process that is being started in the container must not be caught half-way: execs are waited for and then refused.
 */
import type { ContainerRecord } from '#container/record.ts';
import { isRunning, moveTo } from '#container/state.ts';
import { conflict, messageOf, systemError } from '#errdefs/errors.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';
import type { Held } from './containers.ts';
import { publishContainerEvent } from './event.ts';
import type { LiveContainer } from './live.ts';

/** Errors: conflict when it does not run, is paused already or is between two starts. */
export async function pauseContainer(services: Services, reference: string): Promise<void> {
  const { id } = services.containers.resolve(reference);
  await services.containers.run(id, async (held) => {
    const live = services.live.get(id);
    const { status } = held.record.state;
    if (status === 'paused') throw conflict(`Container ${id} is already paused`);
    if (status === 'restarting') throw conflict(`Container ${id} is restarting, wait until the container is running`);
    if (status !== 'running' || live === undefined) throw conflict(`container ${id} is not running`);
    live.pausing = true;
    try {
      await Promise.allSettled(live.launches);
      await freeze(live, id);
    } finally {
      live.pausing = false;
    }
    try {
      failpoint('pause.frozen');
      held.update({ state: moveTo(held.record.state, { status: 'paused' }) });
    } catch (error) {
      await live.driver.cgroupOf(id).thaw();
      throw error;
    }
    publishContainerEvent(services.events, held.record, 'pause');
  });
}

async function freeze(live: LiveContainer, id: string): Promise<void> {
  try {
    await live.driver.cgroupOf(id).freeze();
  } catch (cause) {
    throw systemError(`Cannot pause container ${id}: ${messageOf(cause)}`, { cause });
  }
}

/** Errors: system when it is not paused, as dockerd has it. */
export async function unpauseContainer(services: Services, reference: string): Promise<void> {
  const { id } = services.containers.resolve(reference);
  await services.containers.run(id, async (held) => {
    if (held.record.state.status !== 'paused') throw systemError(`Container ${id} is not paused`);
    await thaw(services, held);
  });
}

/** Inside the queue, of a paused container. */
async function thaw(services: Services, held: Held): Promise<void> {
  const { id } = held.record;
  const live = services.live.get(id);
  if (live === undefined) throw conflict(`container ${id} is not running`);
  try {
    await live.driver.cgroupOf(id).thaw();
  } catch (cause) {
    throw systemError(`Cannot unpause container ${id}: ${messageOf(cause)}`, { cause });
  }
  failpoint('unpause.thawed');
  held.note({ state: moveTo(held.record.state, { status: 'running' }) });
  publishContainerEvent(services.events, held.record, 'unpause');
}

/** A signal that was sent to a paused container reaches it when it is thawed; it may have ended meanwhile. */
export async function thawForSignal(services: Services, id: string): Promise<void> {
  if (services.containers.get(id)?.state.status !== 'paused') return;
  await services.containers.run(id, async (held) => {
    if (held.record.state.status === 'paused' && services.live.get(id) !== undefined) await thaw(services, held);
  });
}

/** After a restart of the daemon: the record and the kernel say the same again. Called before the container is adopted. */
export async function restorePause(services: Services, record: ContainerRecord, driver: LiveContainer['driver']) {
  const { id, state } = record;
  if (!isRunning(state)) return;
  const recorded = state.status === 'paused';
  const frozen = driver.paused(id);
  if (recorded === frozen) return;
  log.info('pause put right', { container: id, recorded, frozen });
  if (frozen) await driver.cgroupOf(id).thaw();
  else await services.containers.run(id, (held) => held.note({ state: moveTo(state, { status: 'running' }) }));
}
