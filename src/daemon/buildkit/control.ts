/**
 * BuildKit's control API on a connection that came in by POST /grpc: what buildx's docker driver asks for. A build is
 * begun by the frontend's Solve and ends the client's own.
 */
import { randomUUID } from 'node:crypto';
import type { Connection } from '#api/jobs/streams.ts';
import type { BuildCache } from '#api/types/build.ts';
import * as methods from '#builder/buildkit/control-methods.ts';
import { Trace } from '#builder/buildkit/trace.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { type Handler, serve, streaming, unary } from '#pkg/grpc/server.ts';
import { Http2Connection } from '#pkg/http2/connection.ts';
import { type Headers, valuesOf } from '#pkg/http2/stream.ts';
import { buildCache } from '../builder/list.ts';
import { pruneBuilds } from '../builder/prune.ts';
import { checkResult } from './check.ts';
import { type FrontendBuild, inputOf } from './frontend-options.ts';
import { checkSessionBuild, runSessionBuild, type SessionBuilds } from './session-build.ts';
import type { Solve, Solves, SolveRequest } from './solves.ts';

export interface ControlParts extends SessionBuilds {
  readonly solves: Solves;
}

/** Serves the connection until the client ends it or the signal does. */
export async function serveControl(parts: ControlParts, connection: Connection, signal: AbortSignal): Promise<void> {
  const bytes = {
    input: connection.input,
    write: (chunk: Uint8Array) => connection.write(chunk),
    end: () => connection.end(),
  };
  const http2 = new Http2Connection(bytes, serve(handlersOf(parts)));
  const close = () => http2.close();
  signal.addEventListener('abort', close);
  await http2.run();
  signal.removeEventListener('abort', close);
}

function handlersOf(parts: ControlParts): readonly Handler[] {
  return [...buildHandlers(parts), ...factHandlers(parts)];
}

function buildHandlers(parts: ControlParts): readonly Handler[] {
  const { solves, sessions } = parts;
  return [
    unary(methods.solve, async (request, { signal }) => {
      if (request.ref === '') throw invalidParameter('a build needs a ref');
      const solve = solves.begin(request, signal);
      try {
        // Without a frontend the client runs it, and asks by the bridge for what it needs.
        if (request.definition.length > 0) throw notImplemented('builds from LLB are not there: only Dockerfiles are');
        if (request.frontend !== '') await runSolve(parts, solve, request.frontend, request.frontendAttrs, signal);
        return { exporterResponse: await untilAborted(solve.outcome, signal) };
      } catch (error) {
        solve.fail(error);
        throw error;
      } finally {
        solve.end();
        solves.forget(request.ref);
      }
    }),
    streaming(methods.status, async ({ requests, send, signal }) => {
      for await (const { ref } of requests()) {
        const solve = await solves.get(ref, signal);
        for await (const message of solve.messages()) await send(message);
        return;
      }
    }),
    streaming(methods.session, async (call) => {
      const header = (name: string) => call.metadata.get(`x-docker-expose-session-${name}`) ?? '';
      const open = sessions.open({
        id: header('uuid'),
        name: header('name'),
        sharedKey: header('sharedkey'),
        methods: valuesOf(call.metadata, 'x-docker-expose-session-grpc-method'),
      });
      const ended = new AbortController();
      const input = (async function* () {
        for await (const { data } of call.requests()) yield data;
      })();
      await open({ input, write: (data) => call.send({ data }), end: () => ended.abort() }, call.signal);
    }),
    unary(methods.ping, async () => ({})),
    unary(methods.frontendSolve, async (request, { metadata, signal }) => {
      const solve = await solves.get(buildIdOf(metadata), signal);
      // The second time it says only that this is the result.
      if (request.final) {
        solve.finish();
        return {};
      }
      if (request.definition.length > 0) throw notImplemented('builds from LLB are not there: only Dockerfiles are');
      const asked = request.options.get('requestid') ?? '';
      if (asked !== '') return { result: { metadata: await runRequest(parts, solve, asked, request) } };
      try {
        await runSolve(parts, solve, request.frontend, request.options, AbortSignal.any([signal, solve.signal]));
      } catch (error) {
        solve.fail(error);
        throw error;
      }
      return { ref: randomUUID() };
    }),
  ];
}

function buildIdOf(metadata: Headers): string {
  const id = metadata.get(methods.BUILD_ID);
  if (id === undefined) throw invalidParameter(`no ${methods.BUILD_ID} in the call`);
  return id;
}

async function runSolve(
  parts: ControlParts,
  solve: Solve,
  frontend: string,
  options: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const { request } = solve;
  const input = inputOf(frontendBuild(request, frontend, options));
  const trace = new Trace(request.ref, (message) => solve.tell(message));
  const imageId = await runSessionBuild(parts, input, trace, signal);
  const response = new Map<string, string>();
  if (imageId !== '') {
    response.set('containerimage.digest', imageId);
    response.set('containerimage.config.digest', imageId);
    if (input.tags.length > 0) response.set('image.name', input.tags.join(','));
  }
  solve.response = response;
  if (request.frontend !== '') solve.finish();
}

/** What a client asks of the frontend besides an image. Errors: not-implemented naming it. */
async function runRequest(
  parts: ControlParts,
  solve: Solve,
  asked: string,
  { frontend, options }: { readonly frontend: string; readonly options: ReadonlyMap<string, string> },
) {
  if (asked !== 'frontend.lint') throw notImplemented(`the frontend's ${JSON.stringify(asked)} is not there`);
  const input = inputOf(frontendBuild(solve.request, frontend, options));
  const trace = new Trace(solve.request.ref, (message) => solve.tell(message));
  return checkResult(await checkSessionBuild(parts, input, trace, solve.signal));
}

function frontendBuild(request: SolveRequest, frontend: string, options: ReadonlyMap<string, string>): FrontendBuild {
  const { exporters, exporter, exporterAttrs } = request;
  // Clients of today send both.
  const old = exporter === '' ? [] : [{ type: exporter, attrs: exporterAttrs }];
  return {
    ref: request.ref,
    session: request.session,
    frontend,
    options,
    exporters: exporters.length > 0 ? exporters : old,
    cacheExports: request.cache?.exports ?? [],
    cacheImports: request.cache?.imports ?? [],
    entitlements: request.entitlements,
  };
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const gone = Promise.withResolvers<never>();
  const abort = () => gone.reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([work, gone.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function factHandlers({ services }: ControlParts): readonly Handler[] {
  const { build } = services;
  const version = { package: 'berth', version: build.version, revision: build.commit };
  const { platform } = services.builder.parts.backend;
  return [
    unary(methods.listWorkers, async () => ({
      record: [{ id: services.daemonId, labels: new Map(), platforms: [platform], version }],
    })),
    unary(methods.info, async () => ({ version })),
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
