/** Routes of a container's files: archive, changes, export. */
import {
  containerArchiveGet,
  containerArchivePut,
  containerArchiveStat,
  containerChanges,
  containerExport,
} from '#api/jobs/container.ts';
import { imageCommit } from '#api/jobs/image.ts';
import type { ContainerPathStat } from '#api/types/container.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { decodeConfig } from '../decode/container-create.ts';
import type { ResponseStream } from '../response-stream.ts';
import { type Route, type RouteContext, route } from '../route.ts';
import { streamJob } from './streaming.ts';

function target(ctx: RouteContext): { container: string; path: string } {
  const path = ctx.query.text('path');
  if (path === '') throw invalidParameter('bad parameter: path cannot be empty');
  if (path.includes('\0')) throw invalidParameter('bad parameter: path has a NUL');
  return { container: ctx.param('id'), path };
}

function statHeader(stat: ContainerPathStat): Record<string, string> {
  const { name, size, mode, mtime, linkTarget } = stat;
  const text = JSON.stringify({ name, size, mode, mtime, linkTarget });
  return { 'X-Docker-Container-Path-Stat': Buffer.from(text).toString('base64') };
}

async function head(ctx: RouteContext): Promise<void> {
  ctx.exchange.respond(200, '', '', statHeader(await ctx.run(containerArchiveStat, target(ctx))));
}

async function get(ctx: RouteContext): Promise<void> {
  let stream: ResponseStream | undefined;
  const open = (stat: ContainerPathStat): ResponseStream => {
    stream = ctx.exchange.stream(200, 'application/x-tar', statHeader(stat));
    return stream;
  };
  try {
    await ctx.run(containerArchiveGet, { ...target(ctx), open });
  } catch (error) {
    if (stream?.started !== true) throw error;
    stream.breakOff();
    return;
  }
  stream?.finish();
}

async function put(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  await ctx.run(containerArchivePut, {
    ...target(ctx),
    noOverwriteDirNonDir: query.flag('noOverwriteDirNonDir'),
    copyUidGid: query.flag('copyUIDGID'),
    archive: ctx.exchange.body,
  });
  ctx.sendEmpty(200);
}

async function changes(ctx: RouteContext): Promise<void> {
  ctx.sendJson(200, await ctx.run(containerChanges, { container: ctx.param('id') }));
}

async function exportFiles(ctx: RouteContext): Promise<void> {
  const output = ctx.exchange.stream(200, 'application/octet-stream');
  await streamJob(output, () => ctx.run(containerExport, { container: ctx.param('id'), output }));
}

async function commit(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const config = decodeConfig(await ctx.json());
  const id = await ctx.run(imageCommit, {
    container: query.text('container'),
    repo: query.text('repo'),
    tag: query.text('tag'),
    author: query.text('author'),
    comment: query.text('comment'),
    changes: query.all('changes'),
    pause: !query.has('pause') || query.flag('pause'),
    config,
  });
  ctx.sendJson(201, { Id: id });
}

export const containerFileRoutes: readonly Route[] = [
  route('GET', '/containers/{id}/changes', 24, 'list the changed files of a container', changes),
  route('GET', '/containers/{id}/export', 24, 'export a container', exportFiles),
  route('HEAD', '/containers/{id}/archive', 24, 'stat a file of a container', head),
  route('GET', '/containers/{id}/archive', 24, 'copy files out of a container', get),
  route('POST', '/commit', 24, 'commit a container', commit),
  route('PUT', '/containers/{id}/archive', 24, 'copy files into a container', put),
];
