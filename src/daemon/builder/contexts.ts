/** Contexts of builds: an uploaded tar, and what an address leads to. Each is a directory of the build, gone with it. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { KeptContext } from '#builder/context/kept-contexts.ts';
import type { KeptTree } from '#builder/files/jobs.ts';
import type { BuildContext, WantedFiles } from '#builder/request.ts';
import { download } from '#builder/context/download.ts';
import { checkOut, parseGitSource } from '#builder/context/git.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { byteString, type ByteString } from '#pkg/archive/entry.ts';
import type { BodyInput } from '#pkg/http-body/lent.ts';
import { close, fstat, open, readAll } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';
import type { Services } from '../services.ts';

const FILE_BYTES_MAX = 8 << 20;

/** A directory whose root is open for as long as the build goes on. */
export function directoryContext(root: number): BuildContext {
  return {
    readFile: async (name) => {
      const fd = tryOpenInRoot(root, name, O.RDONLY | O.NONBLOCK);
      if (fd === undefined) return undefined;
      try {
        const { mode, size } = fstat(fd);
        if ((mode & S_IF.MT) !== S_IF.REG) throw invalidParameter(`${JSON.stringify(name)} is not a file`);
        if (size > FILE_BYTES_MAX)
          throw invalidParameter(`${JSON.stringify(name)} is larger than ${FILE_BYTES_MAX} bytes`);
        return readAll(fd, FILE_BYTES_MAX);
      } finally {
        close(fd);
      }
    },
    files: async () => ({ root }),
  };
}

export interface KeptFiles {
  /** Says which earlier context is compared with; '' keeps it for this build only. */
  readonly key: string;
  /** The archive has the changes of this generation only. */
  readonly changesOf?: string | undefined;
}

/** An uploaded tar as a tree that is kept. Errors: data-loss for what is no tar; conflict; those of a full disk. */
export async function keptContext(
  services: Services,
  tar: BodyInput,
  { key, changesOf }: KeptFiles,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<KeptBuildContext> {
  const { contexts } = services.builder.parts;
  // After it is used no more.
  stack.defer(() => contexts.shrink());
  const kept = stack.use(await contexts.receive({ key, changesOf }, services.archives, tar, signal));
  return new KeptBuildContext(services, kept, '', stack);
}

/** A kept tree, or a directory in it, as a context. Directories are made of it only for those who need one. */
export class KeptBuildContext implements BuildContext {
  readonly #services: Services;
  readonly #context: KeptContext;
  readonly #stack: AsyncDisposableStack;
  readonly #tree: KeptTree;
  #files: Promise<{ readonly root: number }> | undefined;

  constructor(services: Services, context: KeptContext, subtree: ByteString, stack: AsyncDisposableStack) {
    this.#services = services;
    this.#context = context;
    this.#stack = stack;
    const { generation, contents, index, seconds, delta } = context;
    this.#tree = { generation, contents, index: `/proc/self/fd/${index}`, seconds, subtree, delta };
  }

  get generation(): string {
    return this.#context.generation;
  }

  async kept(): Promise<KeptTree | undefined> {
    return this.#context.plain ? this.#tree : undefined;
  }

  below(directory: string): KeptBuildContext {
    return new KeptBuildContext(this.#services, this.#context, byteString(directory), this.#stack);
  }

  async readFile(name: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { files, contexts } = this.#services.builder.parts;
    const job = { kind: 'kept-read', kept: this.#tree, path: name, bytesMax: FILE_BYTES_MAX } as const;
    const found = await contexts.remembered(this.#tree.generation, ['read', this.#tree.subtree, name], () =>
      files.run<'kept-read'>(job, signal),
    );
    if (found !== 'tree') return found;
    // A link on the way to it.
    const { root } = await this.#make([], signal);
    return directoryContext(root).readFile(name, signal);
  }

  files({ ignore }: WantedFiles, signal: AbortSignal): Promise<{ readonly root: number }> {
    // One build has one ignore file: the first answer is for all.
    this.#files ??= this.#make(ignore, signal);
    return this.#files;
  }

  async #make(ignore: readonly string[], signal: AbortSignal): Promise<{ readonly root: number }> {
    const directory = temporaryDirectory(this.#services, this.#stack);
    const root = this.#stack.adopt(open(directory, O.PATH | O.DIRECTORY), close);
    const job = { kind: 'kept-files', kept: this.#tree, ignore, target: root } as const;
    await this.#services.builder.parts.files.run<'kept-files'>(job, signal);
    return { root };
  }
}

export function temporaryDirectory(services: Services, stack: AsyncDisposableStack): string {
  const directory = fs.mkdtempSync(path.join(services.builder.parts.temporary, 'context-'));
  // `COPY . /app` makes a directory like it; nobody else gets here, since the one above is closed.
  fs.chmodSync(directory, 0o755);
  // Deleting a large context is not waited for.
  stack.defer(() => void fs.promises.rm(directory, { recursive: true, force: true }).catch(() => undefined));
  return directory;
}

/** Errors: data-loss for what is no tar. */
export async function tarContext(
  services: Services,
  tar: AsyncIterable<Uint8Array>,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<number> {
  const directory = temporaryDirectory(services, stack);
  const root = stack.adopt(open(directory, O.PATH | O.DIRECTORY), close);
  await services.archives.unpack(
    // Files of a context belong to nobody: COPY says whose they become.
    { kind: 'unpack-into', root, scopeRoot: root, path: '', refuse: false, owner: { uid: 0, gid: 0 } },
    tar,
    { signal },
  );
  return root;
}

export interface RemoteContext {
  readonly root: number;
  /** The address was that of a Dockerfile. */
  readonly dockerfile: string | undefined;
}

/** git, or http(s) of a tar or a Dockerfile. Errors: unavailable, invalid-parameter naming the address. */
export async function remoteContext(
  services: Services,
  address: string,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<RemoteContext> {
  const git = parseGitSource(address);
  const directory = temporaryDirectory(services, stack);
  if (git !== undefined) {
    const { root } = await checkOut(git, directory, { keepGitDirectory: git.keepGitDirectory ?? false, signal });
    return { root: stack.adopt(root, close), dockerfile: undefined };
  }
  if (!/^https?:\/\//i.test(address))
    throw invalidParameter(`remote URL ${JSON.stringify(address)} could not be processed`);
  const file = path.join(directory, 'download');
  await download(address, file, { checksum: undefined, signal, tell: () => undefined });
  const start = Buffer.alloc(512);
  const fd = fs.openSync(file, 'r');
  const length = fs.readSync(fd, start, 0, start.length, 0);
  fs.closeSync(fd);
  if (isText(start.subarray(0, length))) {
    const empty = temporaryDirectory(services, stack);
    const root = stack.adopt(open(empty, O.PATH | O.DIRECTORY), close);
    return { root, dockerfile: fs.readFileSync(file, 'utf8') };
  }
  return { root: await tarContext(services, Bun.file(file).stream(), stack, signal), dockerfile: undefined };
}

/** A Dockerfile has no control characters but line ends and tabs; every archive has. */
const isText = (start: Buffer): boolean =>
  start.every((byte) => byte >= 32 || byte === 9 || byte === 10 || byte === 13);
