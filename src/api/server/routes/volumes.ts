/** Routes of volumes: Docker's, and our own for moving their contents. */
import {
  volumeClone,
  volumeCreate,
  volumeExport,
  volumeImport,
  volumeInspect,
  volumeList,
  volumePrune,
  volumeRemove,
  volumeRename,
} from '#api/jobs/volume.ts';
import { decodeFilters } from '#pkg/filters/filters.ts';
import { decodeVolumeCreate } from '../decode/volume.ts';
import { needsSwarm, type Route, type RouteContext, route } from '../route.ts';
import { streamJob } from './streaming.ts';

async function listVolumes(ctx: RouteContext): Promise<void> {
  const filters = decodeFilters(ctx.query.text('filters'));
  ctx.sendJson(200, await ctx.run(volumeList, { filters }));
}

async function inspectVolume(ctx: RouteContext): Promise<void> {
  ctx.sendJson(200, await ctx.run(volumeInspect, { volume: ctx.param('name'), size: ctx.query.flag('size') }));
}

async function createVolume(ctx: RouteContext): Promise<void> {
  ctx.sendJson(201, await ctx.run(volumeCreate, decodeVolumeCreate(await ctx.jsonRequired())));
}

/** Before API 1.42 a prune took named volumes too. */
async function pruneVolumes(ctx: RouteContext): Promise<void> {
  const filters = decodeFilters(ctx.query.text('filters'));
  ctx.sendJson(200, await ctx.run(volumePrune, { filters, named: ctx.minor < 42 }));
}

async function removeVolume(ctx: RouteContext): Promise<void> {
  await ctx.run(volumeRemove, { volume: ctx.param('name'), force: ctx.query.flag('force') });
  ctx.sendEmpty(204);
}

async function exportVolume(ctx: RouteContext): Promise<void> {
  const output = ctx.exchange.stream(200, 'application/x-tar');
  await streamJob(output, () => ctx.run(volumeExport, { volume: ctx.param('name'), output }));
}

async function importVolume(ctx: RouteContext): Promise<void> {
  ctx.sendJson(200, await ctx.run(volumeImport, { volume: ctx.param('name'), archive: ctx.exchange.body }));
}

async function renameVolume(ctx: RouteContext): Promise<void> {
  await ctx.run(volumeRename, { volume: ctx.param('name'), name: ctx.query.text('name') });
  ctx.sendEmpty(204);
}

async function cloneVolume(ctx: RouteContext): Promise<void> {
  ctx.sendJson(201, await ctx.run(volumeClone, { volume: ctx.param('name'), name: ctx.query.text('name') }));
}

export const volumeRoutes: readonly Route[] = [
  route('GET', '/volumes', 24, 'list volumes', listVolumes),
  route('GET', '/volumes/{name}', 24, 'inspect a volume', inspectVolume),
  route('POST', '/volumes/create', 24, 'create a volume', createVolume),
  route('POST', '/volumes/prune', 25, 'remove unused volumes', pruneVolumes),
  needsSwarm('PUT', '/volumes/{name}', 'update a cluster volume'),
  route('DELETE', '/volumes/{name}', 24, 'remove a volume', removeVolume),
  route('GET', '/berth/volumes/{name}/export', 24, 'export a volume', exportVolume),
  route('POST', '/berth/volumes/{name}/import', 24, 'import into a volume', importVolume),
  route('POST', '/berth/volumes/{name}/rename', 24, 'rename a volume', renameVolume),
  route('POST', '/berth/volumes/{name}/clone', 24, 'clone a volume', cloneVolume),
];
