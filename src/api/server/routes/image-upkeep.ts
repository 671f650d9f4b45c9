/** Routes of Berth's own on images: plans, locks, the trash, trees and differences. */
import * as upkeep from '#api/jobs/image-upkeep.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { decodeFilters } from '#pkg/filters/filters.ts';
import { type Route, type RouteContext, route } from '../route.ts';

function needed({ query }: RouteContext, name: string): string {
  const text = query.text(name);
  if (text === '') throw invalidParameter(`"${name}" is required`);
  return text;
}

const SETTLE_SECONDS = 3;
const HEALTHY_SECONDS = 120;
const SECONDS_MAX = 3600;

function seconds({ query }: RouteContext, name: string, fallback: number): number {
  const value = query.integer(name) ?? fallback;
  if (value < 0 || value > SECONDS_MAX) throw invalidParameter(`"${name}" is from 0 to ${SECONDS_MAX} seconds`);
  return value * 1000;
}

const authsOf = (ctx: RouteContext): string => ctx.exchange.head.headers.get('x-registry-config') ?? '';

const lock = (locked: boolean) => async (ctx: RouteContext) => {
  await ctx.run(upkeep.imageLock, { image: needed(ctx, 'image'), locked });
  ctx.sendEmpty(204);
};

export const imageUpkeepRoutes: readonly Route[] = [
  route('GET', '/berth/images/plan', 24, 'tell what a prune or the budget would remove', async (ctx) => {
    const input = { filters: decodeFilters(ctx.query.text('filters')), budget: ctx.query.flag('budget') };
    ctx.sendJson(200, await ctx.run(upkeep.imagePlan, input));
  }),
  route('POST', '/berth/images/budget', 24, 'remove images until the budget is met', async (ctx) => {
    ctx.sendJson(200, await ctx.run(upkeep.imageBudget, {}));
  }),
  route('POST', '/berth/images/lock', 24, 'lock an image', lock(true)),
  route('POST', '/berth/images/unlock', 24, 'unlock an image', lock(false)),
  route('GET', '/berth/images/trash', 24, 'list removed images', async (ctx) => {
    ctx.sendJson(200, await ctx.run(upkeep.imageTrash, {}));
  }),
  route('DELETE', '/berth/images/trash', 24, 'empty the trash of images', async (ctx) => {
    ctx.sendJson(200, await ctx.run(upkeep.imageTrashEmpty, {}));
  }),
  route('POST', '/berth/images/undo', 24, 'bring removed images back', async (ctx) => {
    ctx.sendJson(200, await ctx.run(upkeep.imageUndo, { image: ctx.query.text('image') }));
  }),
  route('GET', '/berth/images/tree', 24, 'show images by their layers', async (ctx) => {
    ctx.sendJson(200, await ctx.run(upkeep.imageTree, { image: ctx.query.text('image') }));
  }),
  route('GET', '/berth/images/outdated', 24, 'tell which images are newer in their registries', async (ctx) => {
    const input = { images: ctx.query.all('image'), auths: authsOf(ctx) };
    ctx.sendJson(200, await ctx.run(upkeep.imageOutdated, input));
  }),
  route('POST', '/berth/images/auto-update', 24, 'update containers whose images are newer', async (ctx) => {
    const input = {
      dryRun: ctx.query.flag('dry-run'),
      auths: authsOf(ctx),
      settleMs: seconds(ctx, 'settle', SETTLE_SECONDS),
      healthyMs: seconds(ctx, 'healthy', HEALTHY_SECONDS),
    };
    ctx.sendJson(200, await ctx.run(upkeep.imageAutoUpdate, input));
  }),
  route('GET', '/berth/images/diff', 24, 'compare two images', async (ctx) => {
    ctx.sendJson(200, await ctx.run(upkeep.imageDiff, { from: needed(ctx, 'from'), to: needed(ctx, 'to') }));
  }),
];
