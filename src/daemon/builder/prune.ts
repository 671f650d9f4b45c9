/** `builder prune`: Docker's filters and budgets over what the builder lists. */
import type { BuildPruneInput } from '#api/jobs/build.ts';
import type { BuildPruneResponse } from '#api/types/disk-usage.ts';
import { type CacheEntry, pruneCache } from '#builder/prune.ts';
import type { BuilderParts } from '#builder/session.ts';
import { CACHE_FILTERS } from '#config/builder.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { checkFilterKeys } from '#pkg/filters/filters.ts';
import { parseTimestamp } from '#pkg/units/duration.ts';
import { statfs } from '#sys/files.ts';
import type { Services } from '../services.ts';

export async function pruneBuilds(
  services: Services,
  parts: BuilderParts,
  input: BuildPruneInput,
  signal: AbortSignal,
): Promise<BuildPruneResponse> {
  const { filters } = input;
  checkFilterKeys(filters, CACHE_FILTERS);
  const { ids, bytes } = await pruneCache(parts, {
    all: input.all,
    matches: cacheConditions(filters),
    reservedBytes: input.reservedSpace,
    maxUsedBytes: input.maxUsedSpace,
    minFreeBytes: input.minFreeSpace,
    freeBytes: () => {
      const { blockBytes, blocksAvailable } = statfs(services.settings.dataRoot);
      return blockBytes * Number(blocksAvailable);
    },
    signal,
  });
  await services.graph.collect();
  services.events.publish({ type: 'builder', action: 'prune', id: '', attributes: { reclaimed: String(bytes) } });
  return { CachesDeleted: ids.length === 0 ? null : [...ids], SpaceReclaimed: bytes };
}

/** Errors: invalid-parameter. */
export function cacheConditions(filters: BuildPruneInput['filters']): (entry: CacheEntry) => boolean {
  const untils = [...(filters.get('until') ?? []), ...(filters.get('unused-for') ?? [])];
  if (untils.length > 1) throw invalidParameter('filters expect only one value: until');
  const [until] = untils;
  const limitMs = until === undefined ? undefined : Number(parseTimestamp(until, new Date()) / 1_000_000n);
  const texts = (
    key: string,
    of: (entry: CacheEntry) => readonly string[],
    fits: (a: string, b: string) => boolean,
  ) => {
    const wanted = filters.get(key) ?? [];
    return (entry: CacheEntry) => wanted.length === 0 || wanted.some((want) => of(entry).some((is) => fits(is, want)));
  };
  const flag = (key: string, of: (entry: CacheEntry) => boolean) => {
    const wanted = filters.get(key);
    return (entry: CacheEntry) =>
      wanted === undefined || wanted.some((want) => of(entry) === (want !== 'false' && want !== '0'));
  };
  const begins = (is: string, want: string): boolean => is.startsWith(want);
  const conditions = [
    (entry: CacheEntry) => limitMs === undefined || Date.parse(entry.lastUsedAt) <= limitMs,
    texts('id', ({ id }) => [id], begins),
    texts('parent', ({ parents }) => parents, begins),
    texts(
      'type',
      ({ kind }) => [kind],
      (is, want) => is === want,
    ),
    texts(
      'description',
      ({ description }) => [description],
      (is, want) => is.includes(want),
    ),
    flag('inuse', ({ inUse }) => inUse),
    flag('shared', ({ shared }) => shared),
    flag('private', ({ shared }) => !shared),
  ];
  return (entry) => conditions.every((holds) => holds(entry));
}
