/** `system df` and the prunes of what the daemon has, but for volumes. */
import {
  containerPrune,
  type DiskUsageType,
  diskUsageTypes,
  imagePrune,
  systemDiskUsage,
} from '#api/jobs/disk-usage.ts';
import type { DiskUsage } from '#api/types/disk-usage.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { decodeFilters } from '#pkg/filters/filters.ts';
import { type Route, type RouteContext, route } from '../route.ts';
import { forOlderClients } from './images.ts';

const TYPES_SINCE = 42;

function typesOf({ query, minor }: RouteContext): ReadonlySet<DiskUsageType> {
  const asked = minor < TYPES_SINCE ? [] : query.all('type');
  if (asked.length === 0) return new Set(diskUsageTypes);
  const types = asked.map((text) => {
    const type = diskUsageTypes.find((known) => known === text);
    if (type === undefined) throw invalidParameter(`unknown object type: ${text}`);
    return type;
  });
  return new Set(types);
}

async function df(ctx: RouteContext): Promise<void> {
  const types = typesOf(ctx);
  const { Images, ...usage } = await ctx.run(systemDiskUsage, { types });
  const answer: DiskUsage = { ...usage, Images: Images === null ? null : forOlderClients(Images, ctx.minor) };
  ctx.sendJson(200, ctx.minor < TYPES_SINCE ? { ...answer, BuilderSize: builderSize(usage.BuildCache) } : answer);
}

const builderSize = (cache: DiskUsage['BuildCache']): number =>
  (cache ?? []).reduce((sum, { Size, Shared }) => sum + (Shared ? 0 : Size), 0);

const filtersOf = (ctx: RouteContext) => decodeFilters(ctx.query.text('filters'));

export const diskUsageRoutes: readonly Route[] = [
  route('GET', '/system/df', 25, 'show disk usage', df),
  route('POST', '/containers/prune', 25, 'remove stopped containers', async (ctx) => {
    ctx.sendJson(200, await ctx.run(containerPrune, { filters: filtersOf(ctx) }));
  }),
  route('POST', '/images/prune', 25, 'remove unused images', async (ctx) => {
    ctx.sendJson(200, await ctx.run(imagePrune, { filters: filtersOf(ctx) }));
  }),
];
