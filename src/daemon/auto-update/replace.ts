/**
 * Puts a container of a newer image in another's place, and the other back when the new one does not do: it ends, or
 * turns unhealthy. A record says what is under way, so that a daemon that dies in between is repaired by the next start:
 * the old container is what its user has had, so it comes back.
 */
import * as container from '#api/jobs/container.ts';
import type { Caller } from '#engine/engine.ts';
import { cancelled, kindOf, messageOf, systemError } from '#errdefs/errors.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';
import { recreateRequest } from './recreate.ts';

const KIND = 'replacement';
const caller: Caller = { source: 'auto-update' };

export interface ReplaceOptions {
  /** A container without health check has to run so long. */
  readonly settleMs: number;
  /** One with a check has to be healthy within. */
  readonly healthyMs: number;
  readonly signal: AbortSignal;
}

interface Replacement {
  readonly old: string;
  readonly name: string;
  readonly wasRunning: boolean;
}

/** Answers the new container's id. Errors: what the new one lacked; the old one is in its place again then. */
export async function replaceContainer(services: Services, id: string, options: ReplaceOptions): Promise<string> {
  const { engine, db, containers } = services;
  const record = containers.resolve(id);
  const before = services.images.get(record.imageId).config.config ?? {};
  const replacement = { old: record.id, name: record.name, wasRunning: isRunningOrRestarting(record.state) };
  const request = recreateRequest(record, before);
  db.put(KIND, record.id, replacement);
  try {
    failpoint('replace.recorded');
    if (replacement.wasRunning) {
      await engine.run(
        container.containerStop,
        { container: record.id, signal: '', timeoutSeconds: undefined },
        { caller },
      );
    }
    await engine.run(container.containerRename, { container: record.id, name: asideName(replacement) }, { caller });
    failpoint('replace.aside');
    const made = await engine.run(
      container.containerCreate,
      { name: record.name, platform: '', request },
      { caller, signal: options.signal },
    );
    failpoint('replace.created');
    if (replacement.wasRunning) await startAndWatch(services, made.Id, options);
    failpoint('replace.started');
    db.delete(KIND, record.id);
    await engine.run(
      container.containerRemove,
      { container: record.id, force: true, volumes: false, link: false },
      { caller },
    );
    return made.Id;
  } catch (error) {
    log.warn('the new container does not do; the old one comes back', {
      container: record.name,
      err: messageOf(error),
    });
    await putBack(services, replacement);
    throw error;
  }
}

/** At start-up: what an earlier daemon was in the middle of. */
export async function restoreReplacements(services: Services): Promise<void> {
  for (const { id, document } of services.db.list(KIND)) {
    // as: written by replaceContainer with this shape.
    const replacement = document as Replacement;
    if (services.containers.get(id) === undefined) services.db.delete(KIND, id);
    else await putBack(services, replacement);
  }
}

const asideName = ({ name, old }: Replacement): string => `${name}.before-update-${old.slice(0, 6)}`;

/** Idempotent. Failures are told in the log: somebody has to look, and nothing is worse than before. */
async function putBack(services: Services, replacement: Replacement): Promise<void> {
  const { engine, db, containers } = services;
  const { old, name, wasRunning } = replacement;
  try {
    const inPlace = containers.all().find((record) => record.name === name && record.id !== old);
    if (inPlace !== undefined) {
      const input = { container: inPlace.id, force: true, volumes: false, link: false };
      await engine.run(container.containerRemove, input, { caller });
    }
    const record = containers.resolve(old);
    if (record.name !== name) await engine.run(container.containerRename, { container: old, name }, { caller });
    if (wasRunning && !isRunningOrRestarting(containers.resolve(old).state)) {
      await engine.run(container.containerStart, { container: old, detachKeys: '' }, { caller });
    }
    db.delete(KIND, old);
  } catch (error) {
    if (kindOf(error) === 'not-modified') db.delete(KIND, old);
    else log.error('a container could not be put back', { container: name, err: messageOf(error) });
  }
}

/** Errors: system when it ends or is not healthy in time; cancelled. */
async function startAndWatch(services: Services, id: string, options: ReplaceOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => undefined);
  const test = services.containers.resolve(id).config.Healthcheck?.Test ?? [];
  const isProbed = test.length > 0 && test[0] !== 'NONE';
  using _ = services.events.subscribe((events) => {
    for (const { message } of events) {
      if (message.Type !== 'container' || message.Actor.ID !== id) continue;
      if (message.Action === 'die') {
        reject(systemError(`it ended with ${message.Actor.Attributes['exitCode'] ?? 'an unknown code'}`));
      } else if (message.Action === 'health_status: unhealthy') reject(systemError('it is unhealthy'));
      else if (message.Action === 'health_status: healthy') resolve();
    }
  });
  await services.engine.run(container.containerStart, { container: id, detachKeys: '' }, { caller });
  const limit = isProbed ? options.healthyMs : options.settleMs;
  const timer = setTimeout(() => {
    if (isProbed) reject(systemError(`it is not healthy after ${Math.round(limit / 1000)} seconds`));
    else resolve();
  }, limit);
  const stop = (): void => reject(cancelled('the update was cancelled'));
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener('abort', stop);
  }
}
