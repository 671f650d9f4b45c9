/**
 * The files that a client's graph leads to, as a directory of the build: repositories, downloads, and copies between
 * them. Graphs that do more are refused by the name of what they do.
 */
import * as path from 'node:path';
import { download } from '#builder/context/download.ts';
import { checkOut, gitSource } from '#builder/context/git.ts';
import { type CopyAction, type Graph, graphOf, kindOfOperation, type Operation } from '#builder/buildkit/graph.ts';
import type { Definition } from '#builder/buildkit/llb.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';
import { temporaryDirectory } from '../builder/contexts.ts';
import type { Services } from '../services.ts';

/** A step of the progress around `work`. */
export type Told = <T>(title: string, work: () => Promise<T>) => Promise<T>;

/** Open root (O_PATH), until the stack ends. Errors: not-implemented naming an operation; those of sources. */
export function graphFiles(
  services: Services,
  definition: Definition,
  stack: AsyncDisposableStack,
  told: Told,
  signal: AbortSignal,
): Promise<number> {
  const graph = graphOf(definition);
  const files = new GraphFiles(services, graph, stack, told, signal);
  return files.output(graph.result.digest, graph.result.index);
}

class GraphFiles {
  readonly #services: Services;
  readonly #graph: Graph;
  readonly #stack: AsyncDisposableStack;
  readonly #told: Told;
  readonly #signal: AbortSignal;
  /** By operations: a directory for each output. */
  readonly #made = new Map<string, Promise<ReadonlyMap<number, number>>>();

  constructor(services: Services, graph: Graph, stack: AsyncDisposableStack, told: Told, signal: AbortSignal) {
    this.#services = services;
    this.#graph = graph;
    this.#stack = stack;
    this.#told = told;
    this.#signal = signal;
  }

  async output(digest: string, index: number): Promise<number> {
    let made = this.#made.get(digest);
    if (made === undefined) {
      const operation = this.#graph.operations.get(digest);
      // Digests name what comes before, so there are no circles.
      if (operation === undefined) throw invalidParameter(`the graph has no operation ${digest}`);
      made = this.#make(operation);
      made.catch(() => undefined);
      this.#made.set(digest, made);
    }
    const root = (await made).get(index);
    if (root === undefined) throw invalidParameter(`operation ${digest} has no output ${index}`);
    return root;
  }

  async #make(operation: Operation): Promise<ReadonlyMap<number, number>> {
    const { source, file } = operation;
    if (source !== undefined) {
      const { identifier } = source;
      if (identifier.startsWith('git://')) return new Map([[0, await this.#git(source)]]);
      if (/^https?:\/\//.test(identifier)) return new Map([[0, await this.#http(source)]]);
    }
    if (file !== undefined && file.actions.every((action) => action.copy !== undefined)) {
      return this.#copies(operation, file.actions);
    }
    const { actions = [] } = file ?? {};
    const other = { ...operation, file: { actions: actions.filter((action) => action.copy === undefined) } };
    throw notImplemented(`builds from LLB with ${kindOfOperation(other)} are not there: only Dockerfiles are`);
  }

  async #git({ identifier, attrs }: NonNullable<Operation['source']>): Promise<number> {
    const [address = '', fragment = ''] = identifier.slice('git://'.length).split(/#(.*)/s);
    const url = attrs.get('git.fullurl') ?? `https://${address}`;
    if (!/^(?:https?|git|ssh):\/\//.test(url) && !/^[\w.-]+@[\w.-]+:(?!\/\/)/.test(url))
      throw invalidParameter(`invalid git address ${JSON.stringify(url)}`);
    const keepGitDirectory = attrs.get('git.keepgitdir') === 'true';
    const given = gitSource(url, fragment);
    const found = { ...given, checksum: attrs.get('git.checksum') ?? given.checksum };
    return this.#told(`[internal] load git source ${url}${fragment === '' ? '' : `#${fragment}`}`, async () => {
      const { root } = await checkOut(found, this.#directory().name, { keepGitDirectory, signal: this.#signal });
      return this.#stack.adopt(root, close);
    });
  }

  async #http({ identifier, attrs }: NonNullable<Operation['source']>): Promise<number> {
    const name = attrs.get('http.filename') ?? path.posix.basename(new URL(identifier).pathname);
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0'))
      throw invalidParameter(`invalid name of a file ${JSON.stringify(name)}`);
    return this.#told('[internal] load remote build context', async () => {
      const { name: directory, root } = this.#directory();
      const checksum = attrs.get('http.checksum');
      const options = { checksum, signal: this.#signal, tell: () => undefined };
      await download(identifier, path.join(directory, name), options);
      return root;
    });
  }

  async #copies(
    { inputs }: Operation,
    actions: NonNullable<Operation['file']>['actions'],
  ): Promise<ReadonlyMap<number, number>> {
    const outputs = new Map<number, number>();
    const roots: number[] = [];
    for (const { digest, index } of inputs) roots.push(await this.output(digest, index));
    const rootOf = (at: number): number => {
      const root = roots[at];
      if (root === undefined) throw invalidParameter(`a copy from input ${at}, which is not there`);
      return root;
    };
    for (const { input, second, output, copy } of actions) {
      const { root } = this.#directory();
      if (input >= 0) await this.#place(rootOf(input), root, { sources: ['/'], wildcards: false }, '/');
      if (copy !== undefined) await this.#copy(rootOf(second), root, copy);
      roots.push(root);
      if (output >= 0) outputs.set(output, root);
    }
    return outputs;
  }

  async #copy(from: number, to: number, action: CopyAction): Promise<void> {
    const { source, destination, wildcards, exclude } = action;
    if (action.owner !== undefined || action.mode > 0 || action.include.length > 0)
      throw notImplemented('copies with owners, modes or patterns are not there in builds from LLB');
    const signal = this.#signal;
    if (action.unpack) {
      const file = tryOpenInRoot(from, source, O.RDONLY | O.NONBLOCK);
      if (file === undefined) throw invalidParameter(`${JSON.stringify(source)}: not found`);
      const tar = Bun.file(`/proc/self/fd/${this.#stack.adopt(file, close)}`).stream();
      const owner = { uid: 0, gid: 0 };
      const job = { kind: 'unpack-into', root: to, scopeRoot: to, path: destination, refuse: false, owner } as const;
      await this.#services.archives.unpack(job, tar, { signal });
      return;
    }
    const directory = wildcards ? undefined : tryOpenInRoot(from, source, O.PATH | O.DIRECTORY);
    if (directory !== undefined) close(directory);
    const isWhole = directory !== undefined && !action.contentsOfDirectory;
    const below = isWhole ? path.posix.join(destination, path.posix.basename(source)) : destination;
    await this.#place(from, to, { sources: [source], wildcards, exclude }, below);
  }

  async #place(
    from: number,
    to: number,
    what: { readonly sources: readonly string[]; readonly wildcards: boolean; readonly exclude?: readonly string[] },
    destination: string,
  ): Promise<void> {
    const job = {
      kind: 'place',
      selection: { exclude: [], ...what, root: from, ignore: [], parents: false },
      target: to,
      destination: path.posix.join('/', destination),
      intoDirectory: destination.endsWith('/'),
      owner: { uid: 0, gid: 0 },
      mode: undefined,
      timeNs: undefined,
      parentOwner: { uid: 0, gid: 0 },
    } as const;
    await this.#services.builder.parts.files.place(job, this.#signal);
  }

  #directory(): { readonly name: string; readonly root: number } {
    const name = temporaryDirectory(this.#services, this.#stack);
    return { name, root: this.#stack.adopt(open(name, O.PATH | O.DIRECTORY), close) };
  }
}
