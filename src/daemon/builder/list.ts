/** The builder's cache as the API shows it. */
import type { BuildCache } from '#api/types/build.ts';
import type { CacheEntry } from '#builder/prune.ts';
import type { Services } from '../services.ts';

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
