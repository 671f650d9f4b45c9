/** Routes of the builder: the classic `/build` with what `berth build` adds to it, and the cache. */
import {
  type BuildInput,
  buildCacheList,
  buildContextKept,
  buildPrune,
  cacheMountExport,
  cacheMountImport,
  cacheMountList,
  imageBuild,
  imageBuildCancel,
} from '#api/jobs/build.ts';
import { buildUpload, type SessionBuildInput, sessionBuild } from '#api/jobs/buildkit.ts';
import type { RegistryAuth } from '#api/types/build.ts';
import type { Ulimit } from '#api/types/host-config.ts';
import { invalidParameter, messageOf, notFound, notImplemented } from '#errdefs/errors.ts';
import { decodeFilters } from '#pkg/filters/filters.ts';
import { parseBytes } from '#pkg/units/size.ts';
import { log } from '#pkg/log/log.ts';
import type { Query } from '../query.ts';
import { type Route, type RouteContext, route } from '../route.ts';
import { streamJob } from './streaming.ts';

async function build(ctx: RouteContext): Promise<void> {
  const { query, exchange } = ctx;
  const type = exchange.head.headers.get('content-type') ?? '';
  const remote = query.text('remote');
  if (remote === '' && type !== '' && !/^application\/(?:x-)?tar\b|^application\/octet-stream\b/.test(type)) {
    throw invalidParameter(`Content-Type ${type} is not supported, please use application/x-tar`);
  }
  const progress = exchange.stream(200, 'application/json');
  try {
    if (query.text('version') === '2') await withSession(ctx, progress);
    else await ctx.run(imageBuild, { ...optionsOf(ctx), context: exchange.body, progress });
  } catch (error) {
    if (!progress.started) throw error;
    if (!progress.closed.aborted) log.info('a build has failed', { err: messageOf(error) });
    await progress.write(Buffer.from(`${JSON.stringify(failureOf(error))}\r\n`));
  }
  progress.finish();
}

/** Before the id of the build that the body of this request is for. */
const UPLOAD = 'upload-request:';

/** BuildKit's way: the client answers for its files, secrets and credentials in a session. */
async function withSession(ctx: RouteContext, progress: BuildInput['progress']): Promise<void> {
  const { query } = ctx;
  const buildId = query.text('buildid');
  if (buildId.startsWith(UPLOAD)) {
    await ctx.run(buildUpload, { build: buildId.slice(UPLOAD.length), tar: ctx.exchange.body });
    return;
  }
  const session = query.text('session');
  if (session === '') throw invalidParameter('a build by BuildKit needs a session');
  if (query.flag('squash')) throw notImplemented('squash is not supported with a build by BuildKit');
  const directories = { contextName: '', dockerfileName: '', directorySessions: {}, contextDirectory: '' };
  const outputs = sessionOutputs(query);
  await ctx.run(sessionBuild, { ...optionsOf(ctx), ...directories, session, outputs, progress });
}

function sessionOutputs(query: Query): SessionBuildInput['outputs'] {
  const value = jsonOf(query, 'outputs') ?? [];
  if (!Array.isArray(value)) throw invalidParameter('error reading outputs: not a list');
  return value.map((entry: unknown) => {
    const fields = fieldsOf(entry);
    const type = fields.get('Type');
    if (typeof type !== 'string') throw invalidParameter('error reading outputs: one has no type');
    const attributes: Record<string, string> = {};
    for (const [name, text] of fieldsOf(fields.get('Attrs') ?? {}))
      if (typeof text === 'string') attributes[name] = text;
    return { type, attributes };
  });
}

const fieldsOf = (value: unknown): ReadonlyMap<string, unknown> =>
  new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);

/** With the exit code of the command, which becomes the client's. */
function failureOf(error: unknown): { errorDetail: { code?: number; message: string }; error: string } {
  const message = messageOf(error);
  const code: unknown = error instanceof Error && 'exitCode' in error ? error.exitCode : undefined;
  return { errorDetail: { ...(typeof code === 'number' ? { code } : {}), message }, error: message };
}

function optionsOf({ query, exchange, minor }: RouteContext): Omit<BuildInput, 'context' | 'progress'> {
  const integer = (name: string): number => query.integer(name) ?? 0;
  const { headers } = exchange.head;
  const isolation = query.text('isolation');
  if (isolation !== '' && isolation !== 'default') {
    throw invalidParameter(`Unsupported isolation: ${JSON.stringify(isolation)}`);
  }
  return {
    dockerfile: query.text('dockerfile'),
    remote: query.text('remote'),
    tags: query.all('t'),
    quiet: query.flag('q'),
    noCache: query.flag('nocache'),
    noCacheStages: listOf(query, 'nocachefilter'),
    pull: query.flag('pull'),
    remove: query.flag('rm') || query.flag('forcerm') || !query.has('rm'),
    args: argsOf(query),
    labels: textsOf(query, 'labels'),
    target: query.text('target'),
    platform: minor >= 32 ? query.text('platform') : '',
    networkMode: query.text('networkmode'),
    extraHosts: listOf(query, 'extrahosts'),
    securityOptions: securityOf(query),
    memory: integer('memory'),
    memorySwap: integer('memswap'),
    cpuShares: integer('cpushares'),
    cpuPeriod: integer('cpuperiod'),
    cpuQuota: integer('cpuquota'),
    cpusetCpus: query.text('cpusetcpus'),
    cpusetMems: query.text('cpusetmems'),
    shmSize: integer('shmsize'),
    ulimits: ulimitsOf(query),
    cgroupParent: query.text('cgroupparent'),
    cacheFrom: listOf(query, 'cachefrom'),
    cacheTo: listOf(query, 'cacheto'),
    imageOptions: textsOf(query, 'imageoptions'),
    annotations: listOf(query, 'annotations'),
    attests: listOf(query, 'attests'),
    pushByDigest: listOf(query, 'pushbydigest'),
    squash: query.flag('squash'),
    buildId: query.text('buildid'),
    auths: authsOf(headers.get('x-registry-config') ?? ''),
    secrets: secretsOf(headers.get('x-berth-secrets') ?? ''),
    contexts: textsOf(query, 'contexts'),
    ssh: textsOf(query, 'ssh'),
    allow: listOf(query, 'allow'),
    binds: query.all('volume'),
    kept: query.text('kept') === '' ? undefined : { key: query.text('kept'), changesOf: query.text('changesof') },
    format: query.text('format') === 'events' ? 'events' : 'classic',
  };
}

/** A JSON value of the query; undefined when there is none. Errors: invalid-parameter naming it. */
function jsonOf(query: Query, name: string): unknown {
  const text = query.text(name);
  if (text === '' || text === 'null') return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalidParameter(`error reading ${name}: ${messageOf(cause)}`, { cause });
  }
}

function objectOf(query: Query, name: string): [string, unknown][] {
  const value = jsonOf(query, name);
  if (value === undefined) return [];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidParameter(`error reading ${name}: not an object`);
  }
  return Object.entries(value);
}

function textsOf(query: Query, name: string): Record<string, string> {
  return Object.fromEntries(
    objectOf(query, name).map(([key, value]) => {
      if (typeof value !== 'string')
        throw invalidParameter(`error reading ${name}: ${JSON.stringify(key)} is no string`);
      return [key, value];
    }),
  );
}

function argsOf(query: Query): Record<string, string | null> {
  return Object.fromEntries(
    objectOf(query, 'buildargs').map(([key, value]) => {
      if (typeof value === 'string' || value === null) return [key, value];
      throw invalidParameter(`error reading build args: ${JSON.stringify(key)} is no string`);
    }),
  );
}

/** A JSON list, or the name several times. */
function listOf(query: Query, name: string): string[] {
  const all = query.all(name);
  const [only = ''] = all;
  if (all.length !== 1 || !only.startsWith('[')) return all.filter((value) => value !== '' && value !== 'null');
  const value = jsonOf(query, name);
  if (Array.isArray(value) && value.every((entry): entry is string => typeof entry === 'string')) return value;
  throw invalidParameter(`error reading ${name}: not a list of strings`);
}

function securityOf(query: Query): string[] {
  return listOf(query, 'securityopt');
}

function ulimitsOf(query: Query): Ulimit[] {
  const value = jsonOf(query, 'ulimits');
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalidParameter('error reading ulimit settings: not a list');
  return value.map((entry: unknown) => {
    const read = (name: string): unknown =>
      typeof entry === 'object' && entry !== null ? Reflect.get(entry, name) : undefined;
    const [Name, Soft, Hard] = [read('Name'), read('Soft'), read('Hard')];
    if (typeof Name !== 'string' || typeof Soft !== 'number' || typeof Hard !== 'number') {
      throw invalidParameter('error reading ulimit settings: an entry has no name or limits');
    }
    return { Name, Soft, Hard };
  });
}

function headerJson(text: string, what: string): [string, unknown][] {
  if (text === '') return [];
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64').toString());
    return typeof value === 'object' && value !== null ? Object.entries(value) : [];
  } catch (cause) {
    throw invalidParameter(`invalid ${what}: not base64 of JSON`, { cause });
  }
}

function authsOf(header: string): Record<string, RegistryAuth> {
  // as: the fields are read one by one where they are used, and each is checked there.
  return Object.fromEntries(
    headerJson(header, 'X-Registry-Config').map(([host, auth]) => [host, auth as RegistryAuth]),
  );
}

/** In a header, so that they are in no log of requests and on no disk. */
function secretsOf(header: string): Map<string, Uint8Array> {
  return new Map(
    headerJson(header, 'X-Berth-Secrets').flatMap(([id, value]) =>
      typeof value === 'string' ? [[id, Buffer.from(value, 'base64')] as const] : [],
    ),
  );
}

async function prune(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const bytes = (...names: string[]): number | undefined => {
    const text = names.map((name) => query.text(name)).find((value) => value !== '' && value !== '0');
    return text === undefined ? undefined : parseBytes(text);
  };
  ctx.sendJson(
    200,
    await ctx.run(buildPrune, {
      all: query.flag('all'),
      filters: decodeFilters(query.text('filters')),
      reservedSpace: bytes('reserved-space', 'keep-storage'),
      maxUsedSpace: bytes('max-used-space'),
      minFreeSpace: bytes('min-free-space'),
    }),
  );
}

export const buildRoutes: readonly Route[] = [
  route('POST', '/build', 24, 'build an image', build),
  route('POST', '/build/cancel', 39, 'cancel a build', async (ctx) => {
    await ctx.run(imageBuildCancel, { id: ctx.query.text('id') });
    ctx.sendEmpty(200);
  }),
  route('POST', '/build/prune', 31, 'remove build cache', prune),
  route('GET', '/berth/build/contexts/{key}', 24, 'a kept context', async (ctx) => {
    const kept = await ctx.run(buildContextKept, { key: ctx.param('key') });
    if (kept === undefined) throw notFound('no context is kept under this key');
    ctx.sendJson(200, { Generation: kept.generation });
  }),
  route('GET', '/berth/build/cache', 24, 'list the build cache', async (ctx) => {
    ctx.sendJson(200, await ctx.run(buildCacheList, undefined));
  }),
  route('GET', '/berth/build/cache-mounts', 24, 'list the directories of cache mounts', async (ctx) => {
    ctx.sendJson(200, await ctx.run(cacheMountList, undefined));
  }),
  route('GET', '/berth/build/cache-mounts/export', 24, 'export a cache mount', async (ctx) => {
    const output = ctx.exchange.stream(200, 'application/x-tar');
    await streamJob(output, () => ctx.run(cacheMountExport, { id: ctx.query.text('id'), output }));
  }),
  route('POST', '/berth/build/cache-mounts/import', 24, 'import a cache mount', async (ctx) => {
    await ctx.run(cacheMountImport, { id: ctx.query.text('id'), archive: ctx.exchange.body });
    ctx.sendEmpty(204);
  }),
];
