/** Removes local volumes that no container has: the anonymous ones, or all of them. */
import type { Filters } from '#api/jobs/container.ts';
import type { VolumesPruneResponse } from '#api/types/volume.ts';
import { conflict, kindOf } from '#errdefs/errors.ts';
import { booleanFilter, checkFilterKeys, matchesLabels } from '#pkg/filters/filters.ts';
import { LOCAL_DRIVER, type VolumeRecord } from '#volume/records.ts';
import { publishVolumeEvent } from '../container/event.ts';
import type { Services } from '../services.ts';
import { sizeOfTree } from './usage.ts';

/** One at a time, as with dockerd: two would tell of the same volumes. */
const running = new WeakSet<Services['volumes']>();

export async function pruneVolumes(
  services: Services,
  input: { readonly filters: Filters; readonly named: boolean },
  signal: AbortSignal,
): Promise<VolumesPruneResponse> {
  const { filters } = input;
  checkFilterKeys(filters, ['label', 'label!', 'all']);
  const all = input.named || (booleanFilter(filters, 'all') ?? false);
  if (running.has(services.volumes)) throw conflict('a prune operation is already running');
  running.add(services.volumes);
  try {
    const answer: VolumesPruneResponse = { VolumesDeleted: [], SpaceReclaimed: 0 };
    for (const volume of services.volumes.list()) {
      if (signal.aborted) break;
      if (!isPruned(services, volume, filters, all)) continue;
      const size = await sizeOfTree(services.volumes.mountpoint(volume.name));
      if (!(await removeUnused(services, volume))) continue;
      answer.VolumesDeleted = [...(answer.VolumesDeleted ?? []), volume.name];
      answer.SpaceReclaimed += size;
    }
    if (answer.VolumesDeleted?.length === 0) answer.VolumesDeleted = null;
    publishPrune(services, answer.SpaceReclaimed);
    return answer;
  } finally {
    running.delete(services.volumes);
  }
}

function isPruned(services: Services, volume: VolumeRecord, filters: Filters, all: boolean): boolean {
  // What options put elsewhere is not the engine's to delete.
  if (volume.driver !== LOCAL_DRIVER || services.volumes.needsMount(volume)) return false;
  if (!all && !volume.anonymous) return false;
  const labels = services.volumes.toWire(volume).Labels;
  if (!matchesLabels(filters, labels)) return false;
  const unwanted = (filters.get('label!') ?? []).map((value) => new Map([['label', [value]]]));
  if (unwanted.some((one) => matchesLabels(one, labels))) return false;
  return services.volumes.users(volume.name).length === 0;
}

/** False when somebody came to use it meanwhile. */
async function removeUnused(services: Services, volume: VolumeRecord): Promise<boolean> {
  try {
    await services.volumes.remove(volume.name);
  } catch (error) {
    if (kindOf(error) === 'conflict' || kindOf(error) === 'not-found') return false;
    throw error;
  }
  publishVolumeEvent(services.events, 'destroy', volume, {});
  return true;
}

function publishPrune(services: Services, reclaimed: number): void {
  services.events.publish({ type: 'volume', action: 'prune', id: '', attributes: { reclaimed: String(reclaimed) } });
}
