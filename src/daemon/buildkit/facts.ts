/** What clients of BuildKit's control API ask about the daemon: workers, versions, the cache. */
import type { BuildCache } from '#api/types/build.ts';
import * as methods from '#builder/buildkit/control-methods.ts';
import type { CachePolicy } from '#config/builder.ts';
import { type Handler, streaming, unary } from '#pkg/grpc/server.ts';
import { buildCache } from '../builder/list.ts';
import { pruneBuilds } from '../builder/prune.ts';
import { parseDuration } from '#pkg/units/duration.ts';
import { boundsOf } from '../builder/cache-gc.ts';
import type { Services } from '../services.ts';
import { cacheMatcher } from './cache-filters.ts';

const versionOf = ({ build }: Services) => ({ package: 'berth', version: build.version, revision: build.commit });

/**
 * By it clients know that images of several platforms, archives, pushes, statements and caches are the daemon's work, as
 * they are with containerd's store.
 */
const LABELS = new Map([['org.mobyproject.buildkit.worker.snapshotter', 'overlayfs']]);

export function workersOf(services: Services) {
  const { platform } = services.builder.parts.backend;
  const version = versionOf(services);
  const gcPolicies = services.settings.builder.policies.map((policy) => policyOf(services, policy));
  return [{ id: services.daemonId, labels: LABELS, platforms: [platform], gcPolicies, version }];
}

const AGE = 'unused-for';

/** As BuildKit tells it: the age apart from the other filters, those as containerd writes them. */
function policyOf(services: Services, policy: CachePolicy) {
  const { reservedBytes = 0, maxUsedBytes = 0, minFreeBytes = 0 } = boundsOf(services, policy);
  const others = [...policy.filters].filter(([name]) => name !== AGE && name !== 'until');
  const [age = '0s'] = policy.filters.get(AGE) ?? policy.filters.get('until') ?? [];
  return {
    all: policy.all,
    keepDuration: parseDuration(age),
    reservedSpace: reservedBytes,
    filters: others.map(([name, values]) => values.map((value) => `${name}==${value}`).join(',')),
    maxUsedSpace: maxUsedBytes,
    minFreeSpace: minFreeBytes,
  };
}

export function factHandlers(services: Services): readonly Handler[] {
  return [
    unary(methods.listWorkers, async () => ({ record: workersOf(services) })),
    unary(methods.info, async () => ({ version: versionOf(services) })),
    unary(methods.diskUsage, async ({ filter }) => ({
      record: (await buildCache(services)).filter(cacheMatcher(filter)).map(usageOf),
    })),
    streaming(methods.prune, async ({ requests, send, signal }) => {
      for await (const request of requests()) {
        const matches = cacheMatcher(request.filter);
        const before = (await buildCache(services)).filter(matches);
        const filters = new Map<string, readonly string[]>();
        if (request.keepDuration !== 0n) filters.set('until', [`${request.keepDuration / 1_000_000_000n}s`]);
        // By what was seen just now; where nothing was, no id is like this.
        if (request.filter.some((text) => text !== ''))
          filters.set('id', before.length === 0 ? ['-'] : before.map(({ ID }) => ID));
        const some = (count: number) => (count === 0 ? undefined : count);
        const { CachesDeleted: gone } = await pruneBuilds(
          services,
          services.builder.parts,
          {
            all: request.all,
            filters,
            reservedSpace: some(request.reservedSpace),
            maxUsedSpace: some(request.maxUsedSpace),
            minFreeSpace: some(request.minFreeSpace),
          },
          signal,
        );
        for (const entry of before) if (gone?.includes(entry.ID) === true) await send(usageOf(entry));
        return;
      }
    }),
  ];
}

function usageOf(entry: BuildCache) {
  const timeOf = (text: string) => ({ seconds: BigInt(Math.floor(Date.parse(text) / 1000)), nanos: 0 });
  return {
    id: entry.ID,
    mutable: entry.Type === 'exec.cachemount',
    inUse: entry.InUse,
    size: entry.Size,
    createdAt: timeOf(entry.CreatedAt),
    lastUsedAt: entry.LastUsedAt === null ? undefined : timeOf(entry.LastUsedAt),
    usageCount: entry.UsageCount,
    description: entry.Description,
    recordType: entry.Type,
    shared: entry.Shared,
    parents: entry.Parents ?? [],
  };
}
