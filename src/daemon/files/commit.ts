/**
 * `commit`: the container is held still by its group's freezer while its files are read, without a record of it: after a
 * crash restore finds a frozen group that nobody has paused and thaws it.
 */
import type { CommitInput } from '#api/jobs/image.ts';
import { mergeConfig } from '#container/merge-config.ts';
import type { ContainerRecord } from '#container/record.ts';
import { conflict, systemError } from '#errdefs/errors.ts';
import { applyChanges } from '#image/change.ts';
import { commitImage } from '#image/commit.ts';
import { referenceOf } from '#image/import.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { familiarString } from '#reference/reference.ts';
import { publishContainerEvent } from '../container/event.ts';
import { publishImageEvent } from '../image/remove.ts';
import type { LiveContainer } from '../container/live.ts';
import type { Services } from '../services.ts';
import { engineMade } from './engine-made.ts';
import type { Lease } from './leases.ts';

/** Answers the image's id. Errors: not-found, conflict, invalid-parameter. */
export async function commitContainer(services: Services, input: CommitInput, signal: AbortSignal): Promise<string> {
  const record = services.containers.resolve(input.container);
  const reference = referenceOf(input.repo, input.tag);
  const config = configOf(record, input);
  await using still = await holdStill(services, record.id, input.pause);
  const layer = services.layers.readWrite(record.id);
  if (layer === undefined) throw systemError(`container ${record.id} has no read-write layer`);
  const skip = engineMade(layer.directory());
  const both = AbortSignal.any([signal, still.lease.signal]);
  const id = await commitImage(services.images, {
    base: record.imageId,
    containerId: record.id,
    capture: async (file) => {
      const prepared = await services.layers.capture(record.id, file, { skip, signal: both });
      // The files are read: what follows needs the container no more.
      await still[Symbol.asyncDispose]();
      return prepared;
    },
    config,
    author: input.author,
    comment: input.comment,
    createdBy: (record.config.Cmd ?? []).join(' '),
    reference,
    signal: both,
  });
  const imageRef = reference === undefined ? '' : familiarString(reference);
  publishImageEvent(services, 'create', id, id);
  if (imageRef !== '') publishImageEvent(services, 'tag', id, imageRef);
  publishContainerEvent(services.events, record, 'commit', { comment: input.comment, imageID: id, imageRef });
  return id;
}

/** As dockerd: the request's own configuration or the container's, the changes on it, and the container's below. */
function configOf(record: ContainerRecord, input: CommitInput): unknown {
  const { config } = record;
  // as: both are Docker's container configuration; the merge takes what it lacks from the container's.
  const changed = applyChanges(input.config ?? config, input.changes) as typeof config;
  return mergeConfig(changed, config);
}

interface Still extends AsyncDisposable {
  readonly lease: Lease;
}

async function holdStill(services: Services, id: string, pause: boolean): Promise<Still> {
  return services.containers.run(id, async ({ record }): Promise<Still> => {
    const { status } = record.state;
    if (status === 'dead') throw conflict(`You cannot commit container ${id} which is Dead`);
    if (status === 'removing') throw conflict(`You cannot commit container ${id} which is being removed`);
    const lease = services.files.leases.take(id);
    const live = services.live.get(id);
    try {
      const frozen = pause && status === 'running' && live !== undefined ? live : undefined;
      if (frozen !== undefined) {
        await freeze(frozen, id);
        publishContainerEvent(services.events, record, 'pause');
      }
      let over = false;
      return {
        lease,
        [Symbol.asyncDispose]: async () => {
          if (over) return;
          over = true;
          try {
            if (frozen !== undefined) await thaw(services, frozen, id);
          } finally {
            lease[Symbol.dispose]();
          }
        },
      };
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  });
}

/** Nothing is started in it until it is thawed. */
async function freeze(live: LiveContainer, id: string): Promise<void> {
  live.pausing = true;
  try {
    await Promise.allSettled(live.launches);
    await live.driver.cgroupOf(id).freeze();
    failpoint('commit.frozen');
  } catch (error) {
    live.pausing = false;
    throw error;
  }
}

async function thaw(services: Services, live: LiveContainer, id: string): Promise<void> {
  live.pausing = false;
  // The user may have paused it meanwhile: then it stays so. Another one of this name may live by now.
  if (services.live.get(id) !== live || services.containers.get(id)?.state.status === 'paused') return;
  await live.driver.cgroupOf(id).thaw();
  const record = services.containers.get(id);
  if (record !== undefined) publishContainerEvent(services.events, record, 'unpause');
}
