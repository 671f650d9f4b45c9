/** What clients of BuildKit's control API ask about the daemon: workers, versions, the cache. */
import type { BuildCache } from '#api/types/build.ts';
import * as methods from '#builder/buildkit/control-methods.ts';
import { notImplemented } from '#errdefs/errors.ts';
import { type Handler, streaming, unary } from '#pkg/grpc/server.ts';
import { buildCache } from '../builder/list.ts';
import { pruneBuilds } from '../builder/prune.ts';
import type { Services } from '../services.ts';

const versionOf = ({ build }: Services) => ({ package: 'berth', version: build.version, revision: build.commit });

export function workersOf(services: Services) {
  const { platform } = services.builder.parts.backend;
  const version = versionOf(services);
  return [{ id: services.daemonId, labels: new Map<string, string>(), platforms: [platform], version }];
}

export function factHandlers(services: Services): readonly Handler[] {
  return [
    unary(methods.listWorkers, async () => ({ record: workersOf(services) })),
    unary(methods.info, async () => ({ version: versionOf(services) })),
    unary(methods.diskUsage, async () => ({ record: (await buildCache(services)).map(usageOf) })),
    streaming(methods.prune, async ({ requests, send, signal }) => {
      for await (const request of requests()) {
        const before = await buildCache(services);
        const until =
          request.keepDuration === 0n ? [] : [['until', [`${request.keepDuration / 1_000_000_000n}s`]] as const];
        const some = (count: number) => (count === 0 ? undefined : count);
        const { CachesDeleted: gone } = await pruneBuilds(
          services,
          services.builder.parts,
          {
            all: request.all,
            filters: new Map([...until, ...request.filter.map(filterOf)]),
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

/** `id==x`, `type=y`, `inuse` */
function filterOf(text: string): readonly [string, readonly string[]] {
  const match = /^([a-z-]+)(?:==?(.*))?$/.exec(text);
  if (match === null) throw notImplemented(`the filter ${JSON.stringify(text)} is not there`);
  return [match[1] ?? '', [match[2] ?? 'true']];
}

function usageOf(entry: BuildCache) {
  const timeOf = (text: string) => ({ seconds: BigInt(Math.floor(Date.parse(text) / 1000)), nanos: 0 });
  return {
    id: entry.ID,
    mutable: false,
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
