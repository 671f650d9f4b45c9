/**
 * Keeps the build cache in the bounds of the configuration (`builder.gc`): some time after the last build has ended, and
 * after the start, rule by rule. What a build uses stays; nothing is looked at while builds go on.
 */
import { type CacheEntry, listCache, pruneCache } from '#builder/prune.ts';
import type { BuilderParts } from '#builder/session.ts';
import type { CachePolicy, DiskSpace } from '#config/builder.ts';
import { log } from '#pkg/log/log.ts';
import { statfs } from '#sys/files.ts';
import type { Services } from '../services.ts';
import { cacheConditions } from './prune.ts';

export async function collectCache(services: Services, parts: BuilderParts, signal: AbortSignal): Promise<void> {
  const { policies } = services.settings.builder;
  let entries: CacheEntry[] = policies.length === 0 ? [] : await listCache(parts);
  let bytes = 0;
  for (const policy of policies) {
    if (entries.length === 0 || signal.aborted) break;
    const gone = await pruneCache(
      parts,
      {
        ...boundsOf(services, policy),
        all: policy.all,
        matches: cacheConditions(policy.filters),
        freeBytes: () => diskOf(services.settings.dataRoot).freeBytes,
        signal,
      },
      entries,
    );
    bytes += gone.bytes;
    const ids = new Set(gone.ids);
    entries = entries.filter(({ id }) => !ids.has(id));
  }
  if (bytes === 0) return;
  await services.graph.collect();
  log.info('the build cache was brought into its bounds', { reclaimedBytes: bytes });
}

/** A rule in bytes of this disk. */
export function boundsOf({ settings }: Services, policy: CachePolicy) {
  const { totalBytes } = diskOf(settings.dataRoot);
  const bytesOf = (space: DiskSpace | undefined): number | undefined => {
    if (space === undefined) return undefined;
    return 'bytes' in space ? space.bytes : Math.floor((totalBytes * space.percent) / 100);
  };
  return {
    reservedBytes: bytesOf(policy.reservedSpace),
    maxUsedBytes: bytesOf(policy.maxUsedSpace),
    minFreeBytes: bytesOf(policy.minFreeSpace),
  };
}

function diskOf(dataRoot: string): { readonly totalBytes: number; readonly freeBytes: number } {
  const { blockBytes, blocks, blocksAvailable } = statfs(dataRoot);
  return { totalBytes: blockBytes * Number(blocks), freeBytes: blockBytes * Number(blocksAvailable) };
}
