/** Installs the builder's jobs. What they do is loaded with the first build. */
import * as build from '#api/jobs/build.ts';
import type { BuildCache } from '#api/types/build.ts';
import type { CacheEntry } from '#builder/prune.ts';
import { installBuildkitJobs } from '../buildkit/jobs.ts';
import type { Services } from '../services.ts';
import { RunningBuilds } from './running.ts';

export function installBuildJobs(services: Services): void {
  const { engine, builder } = services;
  const running = new RunningBuilds();
  engine.register(build.imageBuild, async (input, { signal }) => {
    const { buildImage } = await import('./build.ts');
    await buildImage(services, running, input, signal);
  });
  installBuildkitJobs(services, running);
  engine.register(build.imageBuildCancel, ({ id }) => running.cancel(id));
  engine.register(build.buildCacheList, () => buildCache(services));
  engine.register(build.buildPrune, async (input, { signal }) => {
    const { pruneBuilds } = await import('./prune.ts');
    return pruneBuilds(services, builder.parts, input, signal);
  });
}

export async function buildCache({ builder }: Pick<Services, 'builder'>): Promise<BuildCache[]> {
  const { listCache } = await import('#builder/prune.ts');
  return (await listCache(builder.parts)).map(wireOf);
}

export function wireOf(entry: CacheEntry): BuildCache {
  return {
    ID: entry.id,
    ...(entry.parents.length === 0 ? {} : { Parents: [...entry.parents] }),
    Type: entry.kind,
    Description: entry.description,
    InUse: entry.inUse,
    Shared: entry.shared,
    Size: entry.sizeBytes,
    CreatedAt: entry.createdAt,
    LastUsedAt: entry.lastUsedAt,
    UsageCount: entry.usageCount,
  };
}
