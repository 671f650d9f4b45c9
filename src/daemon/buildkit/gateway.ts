/**
 * BuildKit's bridge: a client that runs the frontend itself, as buildx does, asks by it for the build that its Solve
 * is about, and says what the result is. The frontend that it asks is ours.
 */
import * as methods from '#builder/buildkit/gateway-methods.ts';
import { type Definition, definitionOf, resultOf } from '#builder/buildkit/llb.ts';
import { Trace } from '#builder/buildkit/trace.ts';
import { BerthError, invalidParameter, messageOf, notFound, notImplemented } from '#errdefs/errors.ts';
import { kindOfCode } from '#pkg/grpc/status.ts';
import { type Handler, unary } from '#pkg/grpc/server.ts';
import type { Headers } from '#pkg/http2/stream.ts';
import { asStatus } from './failures.ts';
import { graphFiles, type Told } from './graph-files.ts';
import { workersOf } from './facts.ts';
import { type FrontendBuild, inputOf } from './frontend-options.ts';
import { checkSessionBuild, runSessionBuild, type SessionBuilds } from './session-build.ts';
import type { Graphs } from './sources.ts';
import type { History } from './history.ts';
import { answerRequest, requestNamed } from './requests.ts';
import type { Solve, Solves, SolveRequest } from './solves.ts';

export interface ControlParts extends SessionBuilds {
  readonly solves: Solves;
  readonly history: History;
}

/** What a client asks of a frontend. */
export interface FrontendRequest {
  readonly frontend: string;
  readonly options: ReadonlyMap<string, string>;
  /** Results of other builds, by the names that options give them. */
  readonly inputs: ReadonlyMap<string, Definition | undefined>;
}

const FRONTEND_CAPS = [
  'solve.base',
  'solve.inlinereturn',
  'return',
  'proto.refarray',
  'reference.output',
  'frontend.inputs',
  'frontend.caps',
  'gateway.solve.metadata',
  'gateway.solve.evaluate',
  'gateway.evaluate',
  'readfile',
  'statfile',
];

/** Of graphs those that stand for a result of ours, or lead to files; what exporters can do is told here, too. */
const LLB_CAPS = [
  ...['source.git', 'source.git.keepgitdir', 'source.git.fullurl', 'source.git.checksum', 'source.http'],
  ...['source.http.checksum', 'file.base', 'platform', 'meta.description', 'meta.ignorecache', 'meta.exportcache'],
  ...['source.image', 'source.local', 'source.local.unique', 'source.local.sessionid', 'constraints'],
  ...['exporter.image.annotations', 'exporter.image.attestations', 'exporter.multiple', 'exporter.sourcedateepoch'],
];

const enabled = (ids: readonly string[]) => ids.map((id) => ({ id, enabled: true }));

export function gatewayHandlers(parts: ControlParts): readonly Handler[] {
  const { solves } = parts;
  return [
    unary(methods.ping, async () => ({
      frontendCaps: enabled(FRONTEND_CAPS),
      llbCaps: enabled(LLB_CAPS),
      workers: workersOf(parts.services),
    })),
    unary(methods.frontendSolve, async (request, { metadata, signal }) => {
      const solve = await solves.get(buildIdOf(metadata), signal);
      if (request.final) {
        solve.finish();
        return {};
      }
      const asFiles = request.definition;
      if (asFiles !== undefined && asFiles.operations.length > 0) {
        const both = AbortSignal.any([signal, solve.signal]);
        const root = await graphFiles(parts.services, asFiles, solve.held, toldBy(solve), both);
        return resultMessage(solves.keepFiles(solve, root), request, asFiles);
      }
      const { frontend, options, frontendInputs: inputs } = request;
      const asked = options.get('requestid') ?? '';
      const both = AbortSignal.any([signal, solve.signal]);
      try {
        if (asked !== '') {
          const answers = await runRequest(parts, solve, asked, { frontend, options, inputs });
          return { result: { oldRef: '', ref: undefined, metadata: answers } };
        }
        const imageId = await runSolve(parts, solve, { frontend, options, inputs }, both);
        const image = once(async () => imageId || imageOf(parts, solve, { frontend, options, inputs }));
        return resultMessage(solves.keep(solve, image), request);
      } catch (error) {
        solve.failure = asStatus(error);
        throw solve.failure;
      }
    }),
    unary(methods.evaluate, async () => ({})),
    unary(methods.frontendReturn, async ({ error }, { metadata, signal }) => {
      const solve = await solves.get(buildIdOf(metadata), signal);
      if (error === undefined || error.code === 0) solve.finish();
      else solve.fail(solve.failure ?? new BerthError(kindOfCode(error.code), error.message));
      return {};
    }),
  ];
}

/** Steps of graphs in the progress of their Solve. */
function toldBy(solve: Solve): Told {
  const trace = new Trace(solve.request.ref, (message) => solve.tell(message));
  return async (title, work) => {
    trace.vertex({ id: title, name: title, instruction: '', number: 0, total: 0, stage: '', inputs: [] });
    trace.started(title);
    try {
      const result = await work();
      trace.ended(title, 'done', {});
      return result;
    } catch (error) {
      trace.ended(title, 'failed', { error: messageOf(error) });
      throw error;
    }
  };
}

/** `graph`: what others are to begin with; by default, one that stands for the result. */
function resultMessage(
  id: string,
  wanted: { readonly resultReturn: boolean; readonly referenceReturn: boolean },
  graph: Definition = definitionOf(id),
) {
  if (!wanted.resultReturn) return { ref: id };
  const metadata = new Map<string, Uint8Array>();
  if (!wanted.referenceReturn) return { result: { oldRef: id, ref: undefined, metadata } };
  return { result: { oldRef: '', ref: { id, definition: graph }, metadata } };
}

function buildIdOf(metadata: Headers): string {
  const id = metadata.get(methods.BUILD_ID);
  if (id === undefined) throw invalidParameter(`no ${methods.BUILD_ID} in the call`);
  return id;
}

/** Errors: not-implemented. */
export function requireNoGraph(definition: Definition | undefined): void {
  if (definition === undefined || definition.operations.length === 0) return;
  throw notImplemented('builds from LLB are not there: only Dockerfiles are');
}

/** The image that was made; '' when none was asked for. */
export async function runSolve(
  { solves, ...parts }: ControlParts,
  solve: Solve,
  asked: FrontendRequest,
  signal: AbortSignal,
): Promise<string> {
  const { request } = solve;
  const input = inputOf(await frontendBuild(request, asked, solves));
  const trace = new Trace(request.ref, (message) => solve.tell(message));
  const { imageId, response } = await runSessionBuild(parts, input, trace, signal, graphsOf(asked));
  solve.response = response;
  return imageId;
}

/** Of a build that was to make none, because another begins with it: all of its steps are in the cache. */
async function imageOf({ solves, ...parts }: ControlParts, solve: Solve, asked: FrontendRequest): Promise<string> {
  const build = {
    ...(await frontendBuild(solve.request, asked, solves)),
    exporters: [{ type: 'image', attrs: new Map() }],
  };
  const input = { ...inputOf(build), noCache: false, noCacheStages: [], cacheTo: [], buildId: '' };
  const unseen = new Trace(solve.request.ref, () => undefined);
  return (await runSessionBuild(parts, input, unseen, solve.signal, graphsOf(asked))).imageId;
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= work());
}

/** What a client asks of the frontend besides an image. Errors: not-implemented naming it. */
async function runRequest(parts: ControlParts, solve: Solve, what: string, asked: FrontendRequest) {
  const name = requestNamed(what);
  const input = inputOf(await frontendBuild(solve.request, asked, parts.solves));
  const trace = new Trace(solve.request.ref, (message) => solve.tell(message));
  return answerRequest(
    parts.services,
    name,
    input,
    await checkSessionBuild(parts, input, trace, solve.signal, graphsOf(asked)),
  );
}

async function frontendBuild(request: SolveRequest, asked: FrontendRequest, solves: Solves): Promise<FrontendBuild> {
  const { exporters, exporter, exporterAttrs } = request;
  // Clients of today send both.
  const old = exporter === '' ? [] : [{ type: exporter, attrs: exporterAttrs }];
  return {
    ref: request.ref,
    session: request.session,
    frontend: asked.frontend,
    options: await withInputs(asked, solves),
    exporters: exporters.length > 0 ? exporters : old,
    cacheExports: request.cache?.exports ?? [],
    cacheImports: request.cache?.imports ?? [],
    entitlements: request.entitlements,
  };
}

/** Inputs that are no results of ours, by their keys. */
function graphsOf({ inputs }: FrontendRequest): Graphs {
  return new Map(
    [...inputs].flatMap(([key, definition]) =>
      definition === undefined || definition.operations.length === 0 || resultOf(definition) !== undefined
        ? []
        : [[key, definition] as const],
    ),
  );
}

/** `context:NAME` = `input:KEY` becomes the image that the build behind the input has made. */
async function withInputs({ options, inputs }: FrontendRequest, solves: Solves): Promise<ReadonlyMap<string, string>> {
  const out = new Map(options);
  for (const [name, value] of options) {
    if (!name.startsWith('context:') || !value.startsWith('input:')) continue;
    const key = value.slice('input:'.length);
    const definition = inputs.get(key);
    if (definition === undefined) throw notFound(`the input ${JSON.stringify(key)} of ${name} was not sent`);
    const result = resultOf(definition);
    // A graph that leads to files is one of the build's contexts.
    if (result === undefined) continue;
    out.set(name, `docker-image://${await solves.resultOf(result).image()}`);
  }
  return out;
}
