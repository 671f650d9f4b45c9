/**
 * A build whose files, secrets and agent are those of a client's session, told as BuildKit tells it. It becomes the same
 * request to the builder as every other.
 */
import type { SessionBuildInput } from '#api/jobs/buildkit.ts';
import type { Session, Sessions } from '#builder/buildkit/session.ts';
import type { Definition } from '#builder/buildkit/llb.ts';
import { statusResponse } from '#builder/buildkit/status-messages.ts';
import { type StatusMessage, Trace } from '#builder/buildkit/trace.ts';
import { ignoreFileNames, ignorePatterns } from '#builder/dockerfile/ignore.ts';
import { failOnWarnings } from '#builder/dockerfile/lint.ts';
import { invalidParameter, notFound, notImplemented } from '#errdefs/errors.ts';
import type { BuildContext, BuildRequest, LoginSource, NamedContext } from '#builder/request.ts';
import type { Arrivals } from '#pkg/arrivals/arrivals.ts';
import { encode } from '#pkg/protobuf/protobuf.ts';
import { credentials } from '#builder/buildkit/session-methods.ts';
import { nameOf, requestOf } from '../builder/build.ts';
import { cacheSourcesOf } from '../builder/cache/cache-sources.ts';
import { parseCacheSpec } from '../builder/cache/cache-spec.ts';
import { cacheTargetsOf, type StoreLocal } from '../builder/cache/cache-targets.ts';
import { directoryContext, remoteContext, tarContext, temporaryDirectory } from '../builder/contexts.ts';
import { familiarName } from '#reference/reference.ts';
import { encodeLogin } from '../builder/logins.ts';
import type { RunningBuilds } from '../builder/running.ts';
import type { Services } from '../services.ts';
import { close } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';
import { type Checked, checkDockerfile } from './check.ts';
import { buildFailure, withExcerpt } from './failures.ts';
import { describeSteps } from './describe-steps.ts';
import { graphFiles, type Told } from './graph-files.ts';
import { isOciLayout, loadOciLayout } from './oci-layout.ts';
import { outputsOf } from './outputs.ts';
import { readFiles, sessionContext, type Transfer, withIgnoreFile } from './session-context.ts';
import { sessionAgent } from './ssh-agent.ts';
import { isSessionAddress, uploaded } from './session-upload.ts';
import { takeUpload, type Upload } from './uploads.ts';

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

/** Contexts that are graphs of the client, by the keys of inputs; `context` and `dockerfile` take the place of directories. */
export type Graphs = ReadonlyMap<string, Definition>;

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

interface Reading {
  readonly services: Services;
  readonly session: Session;
  readonly stack: AsyncDisposableStack;
  readonly trace: Trace;
  readonly uploads: Arrivals<Upload>;
  readonly sessions: Sessions;
  readonly input: Omit<SessionBuildInput, 'progress'>;
  readonly graphs: Graphs;
}

async function readSources(
  reading: Reading,
  signal: AbortSignal,
  found: (dockerfile: BuildRequest['dockerfile']) => void = () => undefined,
) {
  const source = new Source(reading);
  const context = await source.context(signal);
  const dockerfile = await source.dockerfile(context, reading.input.dockerfile, signal);
  found(dockerfile);
  const ignore = await source.ignore(context, dockerfile.name, signal);
  return { source, context, dockerfile, ignore };
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

/** Where the parts of a build come from; each transfer is a step in the progress. */
class Source {
  readonly #reading: Reading;

  constructor(reading: Reading) {
    this.#reading = reading;
  }

  /** That of the session, or what an address leads to. */
  async context(signal: AbortSignal) {
    const { services, stack, uploads, input } = this.#reading;
    const { remote, buildId, contextName, contextDirectory } = input;
    const graph = await this.#graph('context', signal);
    if (graph !== undefined) return graph;
    if (remote === 'upload-request') {
      return this.#step('[internal] load uploaded build context', async () => {
        const unpack = (tar: AsyncIterable<Uint8Array>) => tarContext(services, tar, stack, signal);
        return directoryContext(await takeUpload(uploads, buildId, unpack, signal));
      });
    }
    if (isSessionAddress(remote)) {
      return this.#step('[internal] load remote build context', async () => {
        const tar = uploaded(this.#reading.session, remote, signal);
        return directoryContext(await tarContext(services, tar, stack, signal));
      });
    }
    if (remote === '' || remote === 'client-session')
      return this.#directory(contextName === '' ? 'context' : contextName, '[internal] load build context');
    return this.#step(`[internal] load remote build context`, async () => {
      const { root, dockerfile } = await remoteContext(services, remote, stack, signal);
      const context = directoryContext(contextDirectory === '' ? root : below(root, contextDirectory, stack));
      if (dockerfile === undefined) return context;
      return { ...context, readFile: async (name) => (name === 'Dockerfile' ? Buffer.from(dockerfile) : undefined) };
    });
  }

  /** Errors: not-implemented naming the context; those of images. */
  async named(name: string, value: string, ended: AbortSignal): Promise<NamedContext> {
    if (value.startsWith('docker-image://')) return { kind: 'image', reference: value.slice('docker-image://'.length) };
    if (isOciLayout(value)) {
      const { services, session, input } = this.#reading;
      const { platform } = input;
      if (platform.includes(',')) throw notImplemented(`${value} of several platforms is not there: build one by one`);
      const load = () => loadOciLayout(services, session, { context: value, platform }, ended);
      return { kind: 'image', reference: await this.#step(`[context ${name}] load from client`, load) };
    }
    const graph = value.startsWith('input:') ? await this.#graph(value.slice('input:'.length), ended) : undefined;
    if (graph !== undefined) return { kind: 'files', context: graph };
    if (!value.startsWith('local:')) throw notImplemented(`unsupported context ${JSON.stringify(value)} for ${name}`);
    const directory = value.slice('local:'.length);
    const context = this.#directory(directory, `[context ${name}] load from client`);
    const ignore = (signal: AbortSignal) =>
      this.#step(
        `[context ${name}] load .dockerignore`,
        (told) => context.readFile('.dockerignore', signal, told.bytes),
        directory,
      );
    return { kind: 'files', context: withIgnoreFile(context, ignore) };
  }

  /** The client shares the Dockerfile's directory under a name of its own; an address has it in its files. */
  async dockerfile(context: BuildContext, asked: string, signal: AbortSignal) {
    const name = asked === '' ? 'Dockerfile' : asked;
    return this.#step(
      `[internal] load build definition from ${name}`,
      async (told) => {
        const own = await this.#own(name, told.bytes, signal);
        const graph = await this.#graph('dockerfile', signal);
        const bytes =
          (await graph?.readFile(name, signal)) ??
          own.get(name) ??
          (asked === '' ? own.get('dockerfile') : undefined) ??
          (await context.readFile(name, signal));
        if (bytes === undefined) throw notFound(`failed to read dockerfile: open ${name}: no such file or directory`);
        if (bytes.length === 0) throw invalidParameter(`the Dockerfile (${name}) cannot be empty`);
        return { name, text: Buffer.from(bytes).toString() };
      },
      'dockerfile',
    );
  }

  async ignore(context: BuildContext, dockerfile: string, signal: AbortSignal): Promise<readonly string[]> {
    return this.#step('[internal] load .dockerignore', async (told) => {
      const [special = '', common = ''] = ignoreFileNames(dockerfile);
      const own = await this.#own(dockerfile, () => undefined, signal);
      const bytes = own.get(special) ?? (await context.readFile(common, signal, told.bytes));
      return bytes === undefined ? [] : ignorePatterns(Buffer.from(bytes).toString());
    });
  }

  readonly #graphs = new Map<string, Promise<BuildContext>>();

  /** The files of a graph that the client has sent; undefined when there is none of that key. */
  #graph(key: string, signal: AbortSignal): Promise<BuildContext> | undefined {
    const { services, stack, graphs } = this.#reading;
    const definition = graphs.get(key);
    if (definition === undefined) return undefined;
    let found = this.#graphs.get(key);
    if (found === undefined) {
      const told: Told = (title, work) => this.#step(title, work);
      found = graphFiles(services, definition, stack, told, signal).then(directoryContext);
      this.#graphs.set(key, found);
    }
    return found;
  }

  #ofDockerfile: Promise<ReadonlyMap<string, Uint8Array>> | undefined;

  /** The Dockerfile and the ignore file of its own, as the client shares them. */
  #own(name: string, told: (bytes: number) => void, signal: AbortSignal): Promise<ReadonlyMap<string, Uint8Array>> {
    const { dockerfileName } = this.#reading.input;
    const directory = dockerfileName === '' ? 'dockerfile' : dockerfileName;
    const paths = [name, ...ignoreFileNames(name).slice(0, 1), ...(name === 'Dockerfile' ? ['dockerfile'] : [])];
    this.#ofDockerfile ??= readFiles({ sessionOf: this.#sessionOf(directory) }, directory, paths, told, signal);
    return this.#ofDockerfile;
  }

  #sessionOf(directory: string): (signal: AbortSignal) => Promise<Session> {
    const { sessions, session, input } = this.#reading;
    const other = input.directorySessions[directory];
    return async (signal) => (other === undefined || other === input.session ? session : sessions.get(other, signal));
  }

  #directory(name: string, title: string): BuildContext {
    const { services, stack, input } = this.#reading;
    const [first = ''] = input.tags;
    const build = [input.dockerfile, input.target, first === '' ? '' : familiarName(nameOf(first))];
    const files = { services, sessionOf: this.#sessionOf(name), stack, build };
    return sessionContext(files, name, (work) => this.#step(title, work, name));
  }

  async #step<T>(title: string, work: (transfer: Transfer) => Promise<T>, what = 'context'): Promise<T> {
    const { trace } = this.#reading;
    trace.vertex({ id: title, name: title, instruction: '', number: 0, total: 0, stage: '', inputs: [] });
    trace.started(title);
    let count = 0;
    const status = (total: number | undefined) => trace.status(title, `transferring ${what}:`, count, total);
    try {
      const result = await work({
        bytes: (more) => {
          const before = count;
          count += more;
          // A line per megabyte, not per packet.
          if (before >> 20 !== count >> 20) status(undefined);
        },
      });
      if (count > 0) status(count);
      trace.ended(title, 'done', {});
      return result;
    } catch (error) {
      trace.ended(title, 'failed', { error: error instanceof Error ? error.message : String(error) });
      throw error;
    }
  }
}

/** Errors: not-found. */
function below(root: number, directory: string, stack: AsyncDisposableStack): number {
  const fd = tryOpenInRoot(root, directory, O.PATH | O.DIRECTORY);
  if (fd === undefined) throw notFound(`the context has no directory ${JSON.stringify(directory)}`);
  return stack.adopt(fd, close);
}
