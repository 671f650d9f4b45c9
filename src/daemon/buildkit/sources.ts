/** Where the parts of a build with a session come from; each transfer is a step in its progress. */
import type { SessionBuildInput } from '#api/jobs/buildkit.ts';
import type { Definition } from '#builder/buildkit/llb.ts';
import type { Session, Sessions } from '#builder/buildkit/session.ts';
import type { Trace } from '#builder/buildkit/trace.ts';
import { ignoreFileNames, ignorePatterns } from '#builder/dockerfile/ignore.ts';
import type { BuildContext, BuildRequest, NamedContext } from '#builder/request.ts';
import { invalidParameter, notFound, notImplemented } from '#errdefs/errors.ts';
import type { Arrivals } from '#pkg/arrivals/arrivals.ts';
import { familiarName } from '#reference/reference.ts';
import { close } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';
import { nameOf } from '../builder/build.ts';
import { directoryContext, remoteContext, tarContext } from '../builder/contexts.ts';
import type { Services } from '../services.ts';
import { graphFiles, type Told } from './graph-files.ts';
import { isOciLayout, loadOciLayout } from './oci-layout.ts';
import { readFiles, sessionContext, type Transfer, withIgnoreFile } from './session-context.ts';
import { isSessionAddress, uploaded } from './session-upload.ts';
import { takeUpload, type Upload } from './uploads.ts';

/** Contexts that are graphs of the client, by the keys of inputs; `context` and `dockerfile` take the place of directories. */
export type Graphs = ReadonlyMap<string, Definition>;

export interface Reading {
  readonly services: Services;
  readonly session: Session;
  readonly stack: AsyncDisposableStack;
  readonly trace: Trace;
  readonly uploads: Arrivals<Upload>;
  readonly sessions: Sessions;
  readonly input: Omit<SessionBuildInput, 'progress'>;
  readonly graphs: Graphs;
}

export async function readSources(
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
