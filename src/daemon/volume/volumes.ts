/** Volumes: list, inspect and remove. */
import type { Filters } from '#api/jobs/container.ts';
import type { Volume, VolumeListResponse } from '#api/types/volume.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import type { VolumeRecord } from '#volume/volumes.ts';
import { publishVolumeEvent } from '../container/event.ts';
import type { Services } from '../services.ts';

export function listVolumes(services: Pick<Services, 'volumes'>, filters: Filters): VolumeListResponse {
  const tests = [...filters].map(([key, values]) => testOf(services, key, values));
  const found = services.volumes.list().filter((volume) => tests.every((test) => test(volume)));
  return { Volumes: found.map((volume) => services.volumes.toWire(volume)), Warnings: null };
}

function testOf(
  services: Pick<Services, 'volumes'>,
  key: string,
  values: readonly string[],
): (volume: VolumeRecord) => boolean {
  switch (key) {
    case 'name':
      return (volume) => values.some((value) => volume.name.includes(value));
    case 'driver':
      return () => values.includes('local');
    case 'label':
      return (volume) =>
        values.every((value) => {
          const at = value.indexOf('=');
          const labels = services.volumes.toWire(volume).Labels ?? {};
          return at < 0 ? value in labels : labels[value.slice(0, at)] === value.slice(at + 1);
        });
    case 'dangling': {
      const wanted = values.some((value) => ['true', '1'].includes(value));
      return (volume) => (services.volumes.users(volume.name).length === 0) === wanted;
    }
    default:
      throw invalidParameter(`invalid filter '${key}'`);
  }
}

export function inspectVolume(services: Pick<Services, 'volumes'>, name: string): Volume {
  return services.volumes.toWire(services.volumes.get(name));
}

export function removeVolume(services: Pick<Services, 'volumes' | 'events'>, name: string, force: boolean): void {
  const known = services.volumes.find(name) !== undefined;
  services.volumes.remove(name, { force });
  if (known) publishVolumeEvent(services.events, 'destroy', name, {});
}
