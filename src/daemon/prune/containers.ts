/** Removes containers that do not run; their anonymous volumes stay. */
import type { Filters } from '#api/jobs/container.ts';
import type { ContainersPruneResponse } from '#api/types/disk-usage.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { parseRfc3339 } from '#pkg/clock/clock.ts';
import { log } from '#pkg/log/log.ts';
import { removeContainer } from '../container/remove.ts';
import type { Services } from '../services.ts';
import { pruneConditions } from './conditions.ts';

export async function pruneContainers(
  services: Services,
  filters: Filters,
  signal: AbortSignal,
): Promise<ContainersPruneResponse> {
  const { oldEnough, labelled } = pruneConditions(filters, new Date());
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const record of services.containers.all()) {
    if (signal.aborted) break;
    if (isRunningOrRestarting(record.state)) continue;
    if (!oldEnough(parseRfc3339(record.createdAt)) || !labelled(record.config.Labels)) continue;
    const size = (await services.layers.readWrite(record.id)?.size(signal)) ?? 0;
    if (!(await removeStopped(services, record))) continue;
    deleted.push(record.id);
    reclaimed += size;
  }
  services.events.publish({
    type: 'container',
    action: 'prune',
    id: '',
    attributes: { reclaimed: String(reclaimed) },
  });
  return { ContainersDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: reclaimed };
}

/** False when it came to run or went meanwhile, or cannot be removed: the others still are. */
async function removeStopped(services: Services, { id }: ContainerRecord): Promise<boolean> {
  try {
    await removeContainer(services, { container: id, force: false, volumes: false, link: false });
    return true;
  } catch (error) {
    const expected = ['conflict', 'not-found'].includes(kindOf(error));
    if (!expected) log.warn('container not pruned', { container: id, err: messageOf(error) });
    return false;
  }
}
