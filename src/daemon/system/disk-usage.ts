/**
 * `GET /system/df`. What images and layers take up is known from their records; what containers and volumes hold is
 * measured, a few at a time. Whoever asks while a measurement is under way gets its result.
 */
import type { DiskUsageType } from '#api/jobs/disk-usage.ts';
import type { DiskUsage } from '#api/types/disk-usage.ts';
import type { ImageSummary } from '#api/types/image.ts';
import type { Volume } from '#api/types/volume.ts';
import { listImages } from '#image/list.ts';
import { NO_FILTERS } from '#pkg/filters/filters.ts';
import { buildCache } from '../builder/list.ts';
import { listContainers } from '../container/list.ts';
import type { Services } from '../services.ts';
import { knownVolumes } from '../volume/known.ts';
import { volumeUsage } from '../volume/usage.ts';

const AT_ONCE = 4;

export class DiskUsageMeter {
  readonly #services: Services;
  readonly #underWay = new Map<DiskUsageType, Promise<Partial<DiskUsage>>>();

  constructor(services: Services) {
    this.#services = services;
  }

  async measure(types: ReadonlySet<DiskUsageType>): Promise<DiskUsage> {
    const measured = await Promise.all([...types].map((type) => this.#shared(type)));
    const nothing: DiskUsage = { LayersSize: 0, Images: null, Containers: null, Volumes: null, BuildCache: null };
    let usage = nothing;
    for (const part of measured) usage = { ...usage, ...part };
    return usage;
  }

  #shared(type: DiskUsageType): Promise<Partial<DiskUsage>> {
    const known = this.#underWay.get(type);
    if (known !== undefined) return known;
    const work = this.#part(type).finally(() => this.#underWay.delete(type));
    this.#underWay.set(type, work);
    return work;
  }

  #part(type: DiskUsageType): Promise<Partial<DiskUsage>> {
    return parts[type](this.#services);
  }
}

const parts: Readonly<Record<DiskUsageType, (services: Services) => Promise<Partial<DiskUsage>>>> = {
  image: async (services) => ({ LayersSize: layersSize(services), Images: imagesOf(services) }),
  container: async (services) => {
    const input = { all: true, limit: 0, size: true, filters: NO_FILTERS };
    return { Containers: await listContainers(services, input) };
  },
  volume: async (services) => ({ Volumes: await volumesOf(services) }),
  'build-cache': async (services) => ({ BuildCache: await buildCache(services) }),
};

/** Every layer once, however many images have it. */
function layersSize({ images, layers }: Services): number {
  const sizes = new Map<string, number>();
  for (const image of images.list()) {
    for (const layer of layers.chain(image.chainId)) sizes.set(layer.chainId, layer.size);
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

function imagesOf(services: Services): ImageSummary[] {
  const users = new Map<string, number>();
  for (const { imageId } of services.containers.all()) users.set(imageId, (users.get(imageId) ?? 0) + 1);
  const rows = listImages(services.images, { all: false, sharedSize: true, filters: NO_FILTERS });
  return rows.map((row) => ({ ...row, Containers: users.get(row.Id) ?? 0 }));
}

async function volumesOf(services: Services): Promise<Volume[]> {
  const { volumes } = await knownVolumes(services);
  const measured: Volume[] = [];
  const next = volumes.entries();
  const work = async (): Promise<void> => {
    for (const [index, volume] of next) measured[index] = { ...volume, UsageData: await volumeUsage(services, volume) };
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return measured;
}
