/** Volumes: create, list, inspect, remove. */
import type { Filters } from '#api/jobs/container.ts';
import type { Volume, VolumeCreateRequest, VolumeListResponse } from '#api/types/volume.ts';
import { booleanFilter, checkFilterKeys, matchesExactly, matchesLabels, matchesPattern } from '#pkg/filters/filters.ts';
import { publishVolumeEvent } from '../container/event.ts';
import type { Services } from '../services.ts';
import { foreignVolume, knownVolume, knownVolumes } from './known.ts';
import { volumeUsage } from './usage.ts';

export async function createVolume(services: Services, request: VolumeCreateRequest): Promise<Volume> {
  const { volume, created } = await services.volumes.create({
    name: request.Name ?? '',
    driver: request.Driver ?? '',
    options: request.DriverOpts ?? {},
    labels: request.Labels ?? {},
  });
  if (created) publishVolumeEvent(services.events, 'create', volume, {});
  // A driver may take it and not know it the moment after.
  return knownVolume(services, volume.name).catch(() => services.volumes.toWire(volume));
}

export async function listVolumes(services: Services, filters: Filters): Promise<VolumeListResponse> {
  checkFilterKeys(filters, ['dangling', 'driver', 'label', 'name']);
  const dangling = booleanFilter(filters, 'dangling');
  const { volumes, warnings } = await knownVolumes(services);
  const found = volumes.filter(
    (volume) =>
      matchesPattern(filters, 'name', volume.Name) &&
      matchesExactly(filters, 'driver', volume.Driver) &&
      matchesLabels(filters, volume.Labels) &&
      (dangling === undefined || (services.volumes.users(volume.Name).length === 0) === dangling),
  );
  return { Volumes: found, Warnings: warnings.length === 0 ? null : warnings };
}

export async function inspectVolume(services: Services, name: string, size: boolean): Promise<Volume> {
  const volume = await knownVolume(services, name);
  return size ? { ...volume, UsageData: await volumeUsage(services, volume) } : volume;
}

export async function removeVolume(services: Services, name: string, force: boolean): Promise<void> {
  const known = services.volumes.find(name);
  // What `volume ls` shows can be removed, also when nobody here has made it.
  const found = known === undefined ? await foreignVolume(services, name) : undefined;
  if (found !== undefined) return found.driver.remove(name);
  await services.volumes.remove(name, { force });
  if (known !== undefined) publishVolumeEvent(services.events, 'destroy', known, {});
}
