/** Routes of exec'd processes. */
import { execCreate, execInspect, execResize, execStart } from '#api/jobs/container.ts';
import { decodeExecCreate, decodeExecStart } from '../decode/exec.ts';
import { type Route, type RouteContext, route } from '../route.ts';
import { hijackJob } from './streaming.ts';

async function create(ctx: RouteContext): Promise<void> {
  const request = decodeExecCreate(await ctx.jsonRequired(), ctx.minor);
  ctx.sendJson(201, await ctx.run(execCreate, { container: ctx.param('id'), request }));
}

async function start(ctx: RouteContext): Promise<void> {
  const exec = ctx.param('id');
  const request = decodeExecStart(await ctx.json(), ctx.minor);
  if (request.Detach) {
    await ctx.run(execStart, { exec, request, connection: undefined });
    ctx.sendEmpty(200);
    return;
  }
  await hijackJob(ctx, (connection) => ctx.run(execStart, { exec, request, connection }), true);
}

async function resize(ctx: RouteContext): Promise<void> {
  const height = ctx.query.uint32('h', 'invalid resize height');
  const width = ctx.query.uint32('w', 'invalid resize width');
  await ctx.run(execResize, { exec: ctx.param('id'), height, width });
  ctx.sendEmpty(200);
}

async function inspect(ctx: RouteContext): Promise<void> {
  ctx.sendJson(200, await ctx.run(execInspect, { exec: ctx.param('id') }));
}

export const execRoutes: readonly Route[] = [
  route('POST', '/containers/{id}/exec', 24, 'create an exec', create),
  route('POST', '/exec/{id}/start', 24, 'start an exec', start),
  route('POST', '/exec/{id}/resize', 24, "resize an exec's terminal", resize),
  route('GET', '/exec/{id}/json', 24, 'inspect an exec', inspect),
];
