/**
 * `POST /containers/{id}/update`: checked, recorded with the way back, put in force, and only then told. All or nothing:
 * a limit that the kernel refuses takes back those before it, and the record is what it was.
 */
import type { PortMap } from '#api/types/network.ts';
import type { BerthUpdate, ContainerUpdateRequest, ContainerUpdateResponse } from '#api/types/update.ts';
import { fitResources } from '#container/fit-resources.ts';
import type { ContainerRecord, PendingUpdate } from '#container/record.ts';
import { checkResources } from '#container/resources.ts';
import { checkRestartPolicy } from '#container/restart-policy.ts';
import { isRunning } from '#container/state.ts';
import { changedLimits, mergeOwn, mergeUpdate, unchangeable } from '#container/update.ts';
import { changedBindings } from '#container/published-ports.ts';
import { checkConfig, checkPortBindings } from '#container/validate.ts';
import { BerthError, conflict, kindOf, messageOf } from '#errdefs/errors.ts';
import type { Resources } from '#libcontainer/spec.ts';
import { validateLogConfig } from '#logger/log-target.ts';
import { log } from '#pkg/log/log.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import type { Services } from '../services.ts';
import type { Held } from './containers.ts';
import { publishContainerEvent } from './event.ts';
import { followPolicy } from '../network/policy-update.ts';
import { changePorts } from './update-ports.ts';

/** Errors: invalid-parameter, conflict; nothing has changed then. */
export async function updateContainer(
  services: Services,
  reference: string,
  request: ContainerUpdateRequest,
): Promise<ContainerUpdateResponse> {
  const { id } = services.containers.resolve(reference);
  const { limits } = services.isolation;
  const { resources: asked, warnings } = fitResources(request, limits);
  checkResources(asked, { ...services.host, limits }, true);
  checkRestartPolicy(asked.RestartPolicy, false);
  const dropped = unchangeable(asked).map((field) => `${field} cannot be changed by an update. ${field} discarded.`);
  const all = [...warnings, ...dropped];
  return services.containers.run(id, async (held) => {
    const { status } = held.record.state;
    if (status === 'removing' || status === 'dead') {
      throw cannotUpdate(id, conflict('container is marked for removal and cannot be "update"'));
    }
    const before = stateBefore(held.record);
    const next = nextOf(held.record, asked);
    const changes = changedLimits(next.hostConfig, asked);
    const ports = portsInForce(services, { ...held.record, ...next }, asked.Berth?.PublishRemove);
    try {
      const endpoints = ports === undefined ? {} : { endpoints: ports.endpoints };
      await inForce(services, held, { next: { ...next, ...endpoints }, limits: changes, before });
    } catch (error) {
      ports?.goBack();
      throw error;
    }
    all.push(...lostPorts(held.record, asked.Berth?.PublishAdd));
    followGuard(services, held);
    await services.updateHooks.run({ before, record: held.record });
    publishContainerEvent(services.events, held.record, 'update');
    return { Warnings: all.length === 0 ? null : all, Revision: held.record.revision ?? 0 };
  });
}

/** Its labels say whether what it sends must have its addresses. */
function followGuard(services: Services, held: Held): void {
  try {
    followPolicy(services, held);
  } catch (error) {
    log.error('an update did not reach all parts', { container: held.record.id, part: 'guard', err: error });
  }
}

/** As `create` takes them: there is nothing to publish from. */
function lostPorts({ state, endpoints, hostConfig }: ContainerRecord, add: PortMap | undefined): string[] {
  if (add === undefined || !isRunning(state) || endpoints.some((endpoint) => endpoint.leads === true)) return [];
  const mode = hostConfig.NetworkMode;
  return [`Published ports are not in force: network "${mode}" of the container leads nowhere or is the host's`];
}

/** Whole, so that going back leaves nothing of the update. */
function stateBefore({ config, hostConfig, revision = 0, restartBackoff = {} }: ContainerRecord) {
  return { config, hostConfig, revision, restartBackoff };
}

type Next = Pick<ContainerRecord, 'config' | 'hostConfig' | 'revision' | 'restartBackoff'> &
  Partial<Pick<ContainerRecord, 'endpoints'>>;

function nextOf(record: ContainerRecord, asked: ContainerUpdateRequest): Next {
  const { id, revision = 0 } = record;
  try {
    const own = ownOf(record, asked.Berth ?? {});
    const hostConfig = mergeUpdate(own.hostConfig, asked);
    return {
      config: own.config,
      hostConfig,
      revision: revision + 1,
      ...(own.restartBackoff === undefined ? {} : { restartBackoff: own.restartBackoff }),
    };
  } catch (error) {
    throw cannotUpdate(id, error);
  }
}

function ownOf(record: ContainerRecord, asked: BerthUpdate) {
  const { revision = 0 } = record;
  if (asked.Revision !== undefined && asked.Revision !== revision) {
    throw conflict(`it has revision ${revision} by now, the change was made for ${asked.Revision}`);
  }
  const own = mergeOwn({ ...record, restartBackoff: record.restartBackoff }, asked);
  if (asked.LogOptions !== undefined) {
    const { Type: type, Config: options } = own.hostConfig.LogConfig;
    validateLogConfig({ type, options: options ?? {} });
  }
  const published = withPorts(own, record, asked);
  return { ...own, ...published, config: checkConfig(published.config) };
}

function withPorts(
  own: Pick<ContainerRecord, 'config' | 'hostConfig'>,
  { endpoints }: ContainerRecord,
  { PublishAdd: add = {}, PublishRemove: remove = [] }: BerthUpdate,
): Pick<ContainerRecord, 'config' | 'hostConfig'> {
  if (Object.keys(add).length === 0 && remove.length === 0) return own;
  checkPortBindings({ PortBindings: add });
  const inForce = endpoints.flatMap(({ ports }) => ports ?? []);
  const PortBindings = changedBindings(own.hostConfig.PortBindings, { add, remove }, inForce);
  const exposed: NonNullable<ContainerRecord['config']['ExposedPorts']> = {};
  for (const key of Object.keys(PortBindings)) exposed[key] = {};
  return {
    config: { ...own.config, ExposedPorts: { ...own.config.ExposedPorts, ...exposed } },
    hostConfig: { ...own.hostConfig, PortBindings },
  };
}

function portsInForce(
  services: Services,
  next: ContainerRecord,
  removed: readonly string[] = [],
): ReturnType<typeof changePorts> {
  try {
    return changePorts(services, next, removed);
  } catch (error) {
    throw cannotUpdate(next.id, error);
  }
}

async function inForce(
  services: Services,
  held: Held,
  update: { readonly next: Next; readonly limits: Resources; readonly before: PendingUpdate['before'] },
): Promise<void> {
  const { next, limits, before } = update;
  const { id, state } = held.record;
  const live = services.live.get(id);
  // Not running: the limits are those of its next start.
  if (live === undefined || !isRunning(state) || Object.keys(limits).length === 0) {
    held.update(next);
    failpoint('update.recorded');
    return;
  }
  held.update({ ...next, pendingUpdate: { limits, before } });
  failpoint('update.recorded');
  let goBack: (() => void) | undefined;
  try {
    goBack = live.driver.cgroupOf(id).update(limits);
    failpoint('update.applied');
    held.update({ pendingUpdate: undefined });
  } catch (error) {
    goBack?.();
    held.note({ ...before, pendingUpdate: undefined });
    throw cannotUpdate(id, error);
  }
}

function cannotUpdate(id: string, cause: unknown): BerthError {
  return new BerthError(kindOf(cause), `Cannot update container ${id}: ${messageOf(cause)}`, { cause });
}
