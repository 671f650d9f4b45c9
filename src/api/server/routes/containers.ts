/** Routes of containers. */
import {
  containerAttach,
  containerCreate,
  containerInspect,
  containerKill,
  containerList,
  containerLogs,
  containerPause,
  containerRemove,
  containerRename,
  containerResize,
  containerRestart,
  containerStart,
  containerStop,
  containerTop,
  containerUnpause,
  containerUpdate,
  containerWait,
  containerWhy,
} from '#api/jobs/container.ts';
import type { WaitCondition } from '#api/jobs/container.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import type { ContainerInspect } from '#api/types/container.ts';
import type { EndpointSettings } from '#api/types/network.ts';
import { decodeFilters } from '#pkg/filters/filters.ts';
import { decodeCreateRequest } from '../decode/container-create.ts';
import { decodeUpdateRequest } from '../decode/container-update.ts';
import type { ResponseStream } from '../response-stream.ts';
import { quote } from '../query.ts';
import { notYet, type Route, type RouteContext, route } from '../route.ts';
import { attachWebSocket } from './attach-websocket.ts';
import { stats } from './stats.ts';
import { hijackJob, mediaTypeOf, systemErrorFrame } from './streaming.ts';

async function create(ctx: RouteContext): Promise<void> {
  const body = await ctx.jsonRequired();
  const request = decodeCreateRequest(body, ctx.minor);
  const endpoints = Object.keys(request.NetworkingConfig.EndpointsConfig ?? {});
  if (ctx.minor < 44 && endpoints.length > 1) {
    throw invalidParameter(`Container cannot be created with multiple network endpoints: ${endpoints.join(', ')}`);
  }
  const name = ctx.query.text('name').replace(/^\//, '');
  const platform = ctx.minor >= 41 ? ctx.query.text('platform') : '';
  ctx.sendJson(201, await ctx.run(containerCreate, { name, platform, request }));
}

async function list(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const limit = query.integer('limit') ?? 0;
  const filters = decodeFilters(query.text('filters'));
  ctx.sendJson(200, await ctx.run(containerList, { all: query.flag('all'), limit, size: query.flag('size'), filters }));
}

async function inspect(ctx: RouteContext): Promise<void> {
  const size = ctx.query.flag('size');
  const container = await ctx.run(containerInspect, { container: ctx.param('id'), size });
  ctx.sendJson(200, ctx.minor < 44 ? withNamesAsAliases(container) : container);
}

/** Until API 1.43 what is now in DNSNames was among the aliases. */
function withNamesAsAliases(container: ContainerInspect): ContainerInspect {
  const networks = Object.entries(container.NetworkSettings.Networks).map(
    ([name, endpoint]): [string, EndpointSettings] => {
      if (endpoint.DNSNames === null) return [name, endpoint];
      const { Hostname } = container.Config;
      const aliases = new Set([...(endpoint.Aliases ?? []), container.Id.slice(0, 12), Hostname]);
      return [name, { ...endpoint, Aliases: [...aliases].filter((alias) => alias !== '') }];
    },
  );
  return { ...container, NetworkSettings: { ...container.NetworkSettings, Networks: Object.fromEntries(networks) } };
}

/** Before API 1.24 a start could bring a HostConfig; such a client must not believe that it was taken. */
const START_BODY_MAX = 7;

async function start(ctx: RouteContext): Promise<void> {
  const { framing } = ctx.exchange.head;
  if (framing.kind === 'chunked' || (framing.kind === 'length' && framing.length > START_BODY_MAX)) {
    throw invalidParameter(
      'starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24',
    );
  }
  await ctx.run(containerStart, { container: ctx.param('id'), detachKeys: ctx.query.text('detachKeys') });
  ctx.sendEmpty(204);
}

function stopInput(ctx: RouteContext) {
  return {
    container: ctx.param('id'),
    signal: ctx.minor >= 42 ? ctx.query.text('signal') : '',
    timeoutSeconds: ctx.query.integer('t'),
  };
}

async function stop(ctx: RouteContext): Promise<void> {
  await ctx.run(containerStop, stopInput(ctx));
  ctx.sendEmpty(204);
}

async function restart(ctx: RouteContext): Promise<void> {
  await ctx.run(containerRestart, stopInput(ctx));
  ctx.sendEmpty(204);
}

async function kill(ctx: RouteContext): Promise<void> {
  await ctx.run(containerKill, { container: ctx.param('id'), signal: ctx.query.text('signal') });
  ctx.sendEmpty(204);
}

async function pause(ctx: RouteContext): Promise<void> {
  await ctx.run(containerPause, { container: ctx.param('id') });
  ctx.sendEmpty(204);
}

async function unpause(ctx: RouteContext): Promise<void> {
  await ctx.run(containerUnpause, { container: ctx.param('id') });
  ctx.sendEmpty(204);
}

async function update(ctx: RouteContext): Promise<void> {
  const request = decodeUpdateRequest(await ctx.jsonRequired(), ctx.minor);
  ctx.sendJson(200, await ctx.run(containerUpdate, { container: ctx.param('id'), request }));
}

async function rename(ctx: RouteContext): Promise<void> {
  await ctx.run(containerRename, { container: ctx.param('id'), name: ctx.query.text('name') });
  ctx.sendEmpty(204);
}

async function resize(ctx: RouteContext): Promise<void> {
  const height = ctx.query.uint32('h', 'invalid resize height');
  const width = ctx.query.uint32('w', 'invalid resize width');
  await ctx.run(containerResize, { container: ctx.param('id'), height, width });
  ctx.sendEmpty(200);
}

async function remove(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const input = { force: query.flag('force'), volumes: query.flag('v'), link: query.flag('link') };
  await ctx.run(containerRemove, { container: ctx.param('id'), ...input });
  ctx.sendEmpty(204);
}

async function top(ctx: RouteContext): Promise<void> {
  const psArgs = ctx.query.text('ps_args');
  ctx.sendJson(200, await ctx.run(containerTop, { container: ctx.param('id'), psArgs }));
}

function waitCondition(ctx: RouteContext): WaitCondition {
  if (ctx.minor < 30) return 'not-running';
  const text = ctx.query.text('condition');
  if (text === '' || text === 'not-running') return 'not-running';
  if (text === 'next-exit' || text === 'removed') return text;
  throw invalidParameter(`invalid condition: ${quote(text)}`);
}

async function wait(ctx: RouteContext): Promise<void> {
  const condition = waitCondition(ctx);
  const stream = ctx.exchange.stream(200, 'application/json');
  // The head tells the client that its waiter stands; before API 1.30 none expected it early.
  const accepted = () => {
    if (ctx.minor >= 30) stream.flush();
  };
  try {
    const result = await ctx.run(containerWait, { container: ctx.param('id'), condition, accepted });
    await stream.write(Buffer.from(`${JSON.stringify(result)}\n`));
  } catch (error) {
    if (!stream.started) throw error;
    const failed = { StatusCode: -1, Error: { Message: messageOf(error) } };
    await stream.write(Buffer.from(`${JSON.stringify(failed)}\n`));
  }
  stream.finish();
}

async function logs(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const stdout = query.flag('stdout');
  const stderr = query.flag('stderr');
  if (!stdout && !stderr) throw invalidParameter('Bad parameters: you must choose at least one stream');
  let stream: ResponseStream | undefined;
  let framed = false;
  const open = (tty: boolean) => {
    framed = !tty;
    stream = ctx.exchange.stream(200, mediaTypeOf(tty, ctx.minor));
    return stream;
  };
  const userAgent = ctx.exchange.head.headers.get('user-agent') ?? '';
  try {
    await ctx.run(containerLogs, {
      container: ctx.param('id'),
      stdout,
      stderr,
      follow: query.flag('follow'),
      since: query.timestamp('since') ?? 0n,
      until: query.timestamp('until') ?? 0n,
      timestamps: query.flag('timestamps'),
      details: query.flag('details'),
      tail: tailOf(query.text('tail')),
      mergeFrames: /^(?:Docker|Berth)-Client\//.test(userAgent),
      open,
    });
  } catch (error) {
    if (stream === undefined || !stream.started) throw error;
    if (!stream.closed.aborted) {
      log.warn('logs broke off', { container: ctx.param('id'), err: error });
      const text = `Error grabbing logs: ${messageOf(error)}\n`;
      await stream.write(framed ? systemErrorFrame(text) : Buffer.from(text));
    }
  }
  if (stream === undefined) throw new Error('container.logs ended without opening its output');
  stream.finish();
}

/** As in dockerd: what is no number means all. */
function tailOf(text: string): number {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : -1;
}

async function attach(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const options = {
    container: ctx.param('id'),
    stream: query.flag('stream'),
    logs: query.flag('logs'),
    stdin: query.flag('stdin'),
    stdout: query.flag('stdout'),
    stderr: query.flag('stderr'),
    detachKeys: query.text('detachKeys'),
  };
  await hijackJob(ctx, async (connection) => {
    await ctx.run(containerAttach, { ...options, connection });
  });
}

export const containerRoutes: readonly Route[] = [
  route('GET', '/containers/json', 24, 'list containers', list),
  route('POST', '/containers/create', 24, 'create a container', create),
  route('GET', '/containers/{id}/json', 24, 'inspect a container', inspect),
  route('GET', '/containers/{id}/top', 24, 'list the processes of a container', top),
  route('GET', '/containers/{id}/logs', 24, 'read the logs of a container', logs),
  route('GET', '/containers/{id}/stats', 24, 'read the statistics of a container', stats),
  route('POST', '/containers/{id}/resize', 24, "resize a container's terminal", resize),
  route('POST', '/containers/{id}/start', 24, 'start a container', start),
  route('POST', '/containers/{id}/stop', 24, 'stop a container', stop),
  route('POST', '/containers/{id}/restart', 24, 'restart a container', restart),
  route('POST', '/containers/{id}/kill', 24, 'kill a container', kill),
  route('POST', '/containers/{id}/update', 24, 'update a container', update),
  route('POST', '/containers/{id}/rename', 24, 'rename a container', rename),
  route('POST', '/containers/{id}/pause', 24, 'pause a container', pause),
  route('POST', '/containers/{id}/unpause', 24, 'unpause a container', unpause),
  route('POST', '/containers/{id}/attach', 24, 'attach to a container', attach),
  route('GET', '/containers/{id}/attach/ws', 24, 'attach to a container by WebSocket', attachWebSocket),
  route('POST', '/containers/{id}/wait', 24, 'wait for a container', wait),
  notYet('GET', '/containers/{id}/checkpoints', 25, 'list the checkpoints of a container'),
  notYet('POST', '/containers/{id}/checkpoints', 25, 'checkpoint a container'),
  notYet('DELETE', '/containers/{id}/checkpoints/{checkpoint}', 25, 'remove a checkpoint'),
  route('GET', '/berth/containers/{id}/why', 24, 'tell what ended a container', async (ctx) =>
    ctx.sendJson(200, await ctx.run(containerWhy, { container: ctx.param('id') })),
  ),
  route('DELETE', '/containers/{id...}', 24, 'remove a container', remove),
];
