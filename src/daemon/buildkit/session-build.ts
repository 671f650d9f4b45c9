/**
 * A build whose files, secrets and agent are those of a client's session, told as BuildKit tells it. It becomes the same
 * request to the builder as every other.
 */
import type { SessionBuildInput } from '#api/jobs/buildkit.ts';
import type { Session, Sessions } from '#builder/buildkit/session.ts';
import { statusResponse } from '#builder/buildkit/status-messages.ts';
import { type StatusMessage, Trace } from '#builder/buildkit/trace.ts';
import { failOnWarnings } from '#builder/dockerfile/lint.ts';
import type { BuildRequest, LoginSource, NamedContext } from '#builder/request.ts';
import type { Arrivals } from '#pkg/arrivals/arrivals.ts';
import { encode } from '#pkg/protobuf/protobuf.ts';
import { credentials } from '#builder/buildkit/session-methods.ts';
import { nameOf, requestOf } from '../builder/build.ts';
import { cacheSourcesOf } from '../builder/cache/cache-sources.ts';
import { parseCacheSpec } from '../builder/cache/cache-spec.ts';
import { cacheTargetsOf, type StoreLocal } from '../builder/cache/cache-targets.ts';
import { temporaryDirectory } from '../builder/contexts.ts';
import { encodeLogin } from '../builder/logins.ts';
import type { RunningBuilds } from '../builder/running.ts';
import type { Services } from '../services.ts';
import { type Checked, checkDockerfile } from './check.ts';
import { buildFailure, withExcerpt } from './failures.ts';
import { describeSteps } from './describe-steps.ts';
import { outputsOf } from './outputs.ts';
import { sessionAgent } from './ssh-agent.ts';
import { type Graphs, readSources } from './sources.ts';
import type { Upload } from './uploads.ts';

export interface SessionBuilds {
  readonly services: Services;
  readonly running: RunningBuilds;
  readonly sessions: Sessions;
  readonly uploads: Arrivals<Upload>;
}

/** `POST /build?version=2`. */
export async function buildWithSession(
  builds: SessionBuilds,
  input: SessionBuildInput,
  jobSignal: AbortSignal,
): Promise<void> {
  let writing: Promise<void> = Promise.resolve();
  const write = (line: unknown): void => {
    writing = input.progress.write(Buffer.from(`${JSON.stringify(line)}\r\n`));
  };
  const tell = (message: StatusMessage): void => {
    const aux = encode(statusResponse, message).toString('base64');
    write({ id: 'moby.buildkit.trace', aux });
  };
  const trace = new Trace(input.buildId, tell);
  try {
    const { imageId } = await runSessionBuild(builds, input, trace, jobSignal);
    if (imageId !== '') write({ id: 'moby.image.id', aux: { ID: imageId } });
  } catch (error) {
    throw withExcerpt(error);
  } finally {
    await writing;
  }
}

export interface SessionBuilt {
  /** '' when no image was asked for. */
  readonly imageId: string;
  /** What exporters say of the image. */
  readonly response: ReadonlyMap<string, string>;
}

/** Errors: those of builds, in BuildKit's words. */
export async function runSessionBuild(
  { services, running, sessions, uploads }: SessionBuilds,
  input: Omit<SessionBuildInput, 'progress'>,
  trace: Trace,
  jobSignal: AbortSignal,
  graphs: Graphs = new Map(),
): Promise<SessionBuilt> {
  using build = running.begin(input.buildId);
  const signal = AbortSignal.any([jobSignal, build.signal]);
  const references = input.tags.filter((tag) => tag !== '').map(nameOf);
  await using stack = new AsyncDisposableStack();
  try {
    const session = await sessions.get(input.session, signal);
    const { source, context, dockerfile, ignore } = await readSources(
      { services, sessions, session, stack, trace, uploads, input, graphs },
      signal,
      (found) => describeSteps(trace, services, found, input),
    );
    const checked = checkDockerfile(services, dockerfile, { args: input.args, ignore });
    tellWarnings(trace, checked);
    failOnWarnings(checked.options, checked.warnings);
    const named = new Map<string, NamedContext>();
    for (const [name, value] of Object.entries(input.contexts))
      named.set(name.toLowerCase(), await source.named(name, value, signal));
    const plain = {
      quiet: false,
      remove: true,
      squash: false,
      binds: [],
      output: undefined,
      format: 'classic',
    } as const;
    const found = { context: { context, named }, dockerfile, ignore, references };
    const logins: LoginSource = { login: (registry, ended) => sessionLogin(session, registry, ended) };
    const outputs = outputsOf({ services, session, trace, logins, references }, input.outputs);
    const { exporters, image } = outputs;
    const caches = sessionCaches(services, session, input, logins);
    const request: BuildRequest = {
      ...requestOf(services, { ...input, ...plain, context: nothing(), progress: nowhere }, found),
      logins,
      ...caches.parts,
      secrets: session,
      ssh: sessionAgent(session, () => temporaryDirectory(services, stack)),
      image,
      exporters,
    };
    const result = await services.builder.buildImage(request, { progress: trace, signal });
    const response = new Map([...(await outputs.deliver(result, signal)), ...caches.response]);
    return { imageId: result.imageId, response };
  } catch (error) {
    throw buildFailure(error, trace.failedAt);
  }
}

/** Caches of registries, and of the client's directories; `response`: what it is to know of those that were written. */
function sessionCaches(
  services: Services,
  session: Session,
  input: Pick<SessionBuildInput, 'cacheFrom' | 'cacheTo'>,
  logins: LoginSource,
) {
  const response = new Map<string, string>();
  const storeLocal: StoreLocal = async (directory, push, signal) => {
    const { storeSessionCache } = await import('./session-cache.ts');
    response.set('cache.manifest', await storeSessionCache(services, session, directory, push, signal));
  };
  const loadLocal = async (directory: string, digest: string, signal: AbortSignal) => {
    const { loadSessionCache } = await import('./session-cache.ts');
    return loadSessionCache(services, session, directory, digest, signal);
  };
  const options = { logins, hereFirst: 'yes', loadLocal } as const;
  const { targets: cacheTargets } = cacheTargetsOf(
    services,
    (input.cacheTo ?? []).map(parseCacheSpec),
    logins,
    storeLocal,
  );
  const cacheSources = cacheSourcesOf(services, input.cacheFrom.map(parseCacheSpec), options);
  return { parts: { cacheSources, cacheTargets }, response };
}

/** What the client is logged in with. The hub has its API's name there; a secret without a name is a refresh token. */
async function sessionLogin(session: Session, registry: string, signal: AbortSignal): Promise<string> {
  if (!session.supports(credentials)) return '';
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  const { username, secret } = await session.ask(credentials, { host }, signal);
  if (secret === '') return '';
  return encodeLogin(username === '' ? { identitytoken: secret } : { username, password: secret });
}

/** The rules of the Dockerfile alone. */
export async function checkSessionBuild(
  { services, sessions, uploads }: SessionBuilds,
  input: Omit<SessionBuildInput, 'progress'>,
  trace: Trace,
  signal: AbortSignal,
  graphs: Graphs = new Map(),
): Promise<Checked> {
  await using stack = new AsyncDisposableStack();
  try {
    const session = await sessions.get(input.session, signal);
    const { dockerfile, ignore } = await readSources(
      { services, sessions, session, stack, trace, uploads, input, graphs },
      signal,
    );
    return checkDockerfile(services, dockerfile, { args: input.args, ignore });
  } catch (error) {
    throw buildFailure(error, undefined);
  }
}

/** As BuildKit tells them: with the lines of the file. */
function tellWarnings(trace: Trace, { file, warnings }: Checked): void {
  const info = { filename: file.source.name, data: Buffer.from(file.source.text), language: 'Dockerfile' };
  for (const { rule, detail, url, range } of warnings) {
    const { start, end } = range;
    const ranges = [{ start: { line: start.line, character: 0 }, end: { line: end.line, character: 0 } }];
    trace.warn({ short: Buffer.from(`${rule}: ${detail} (line ${start.line})`), url, info, ranges });
  }
}

/** Progress goes out by the trace. */
const nowhere = { write: async () => undefined, flush: () => undefined, closed: new AbortController().signal };

/** The files of a context that is not uploaded. */
async function* nothing(): AsyncGenerator<Uint8Array> {}
