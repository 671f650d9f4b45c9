/** `POST /build`: context, Dockerfile and options become a request to the builder; its progress becomes lines of JSON. */
import * as fs from 'node:fs';
import type { BuildInput } from '#api/jobs/build.ts';
import { ClassicTeller } from '#builder/print/classic.ts';
import { OrderedProgress } from '#builder/print/ordered.ts';
import type { BuildContext, BuildRequest, BuildResult, NamedContext } from '#builder/request.ts';
import { ignoreFileNames, ignorePatterns } from '#builder/dockerfile/ignore.ts';
import { forbidden, invalidParameter, notFound } from '#errdefs/errors.ts';
import { parseSecurityOptions } from '#container/security-opt.ts';
import { formatPlatform, parsePlatform } from '#image/platform.ts';
import { close } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { openInRoot } from '#sys/safe-path.ts';
import { familiarName, familiarString, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import { decodeCredentials } from '#registry/credentials.ts';
import { locationsOf } from '../image/where.ts';
import type { Services } from '../services.ts';
import { parseCacheSpec } from './cache/cache-spec.ts';
import { cacheSourcesOf } from './cache/cache-sources.ts';
import { cacheTargetsOf } from './cache/cache-targets.ts';
import { imageWishOf } from './image-wish.ts';
import { givenLogins } from './logins.ts';
import { directoryContext, keptContext, remoteContext } from './contexts.ts';
import { eventProgress } from './events.ts';
import { keptKey, tarKey } from './kept-key.ts';
import type { RunningBuilds } from './running.ts';

/** Where `berth build` puts further contexts in its tar. */
export const CONTEXTS_PREFIX = '.berth-contexts';

export async function buildImage(
  services: Services,
  running: RunningBuilds,
  input: BuildInput,
  jobSignal: AbortSignal,
): Promise<void> {
  const references = input.tags.filter((tag) => tag !== '').map(nameOf);
  using build = running.begin(input.buildId);
  const signal = AbortSignal.any([jobSignal, build.signal]);
  await using stack = new AsyncDisposableStack();
  const { context, remoteDockerfile, generation } = await contextOf(services, input, references, stack, signal);
  const dockerfile = await dockerfileOf(input, context.context, remoteDockerfile, signal);
  const ignore = await ignoreOf(context.context, dockerfile.name, signal);
  const request = requestOf(services, input, { context, dockerfile, ignore, references });
  const told = teller(input);
  if (generation !== undefined) told.kept(generation);
  try {
    const result = await services.builder.buildImage(request, { progress: told.progress, signal });
    if ((input.pushByDigest ?? []).length > 0) await pushDigest(services, input, request, result, signal);
    told.finish(result, references);
  } catch (error) {
    told.failed(error);
    throw error;
  } finally {
    await told.settled();
  }
}

/** Under its digest alone, which needs a manifest of its own. */
async function pushDigest(
  services: Services,
  { pushByDigest = [] }: BuildInput,
  { logins }: BuildRequest,
  { descriptor }: BuildResult,
  signal: AbortSignal,
): Promise<void> {
  const { pushByDigest: push } = await import('#distribution/build-cache.ts');
  if (descriptor === undefined) throw invalidParameter('push-by-digest needs a manifest: say oci-mediatypes=true');
  const distribution = await services.distribution();
  for (const name of pushByDigest) {
    const reference = parseReference(name);
    locationsOf(services.registriesConf(), reference);
    const credentials = decodeCredentials(await logins.login(reference.domain, signal));
    const repository = await distribution.repository(reference, credentials, signal);
    await push(distribution.means, repository, descriptor.digest);
  }
}

/** Errors: invalid-parameter. */
export function nameOf(tag: string): Reference {
  const reference = withDefaultTag(parseReference(tag));
  if (reference.digest !== undefined) throw invalidParameter('build tag cannot contain a digest');
  return reference;
}

interface Contexts {
  readonly context: BuildContext;
  readonly named: ReadonlyMap<string, NamedContext>;
}

interface FoundContext {
  readonly context: Contexts;
  readonly remoteDockerfile: string | undefined;
  /** What a client that keeps account calls what it has sent. */
  readonly generation: string | undefined;
}

async function contextOf(
  services: Services,
  input: BuildInput,
  references: readonly Reference[],
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<FoundContext> {
  if (input.remote === 'client-session')
    throw invalidParameter('a build with a session needs BuildKit: the version must be 2');
  if (input.remote !== '') {
    const { root, dockerfile } = await remoteContext(services, input.remote, stack, signal);
    const below = (directory: string): BuildContext =>
      directoryContext(stack.adopt(openInRoot(root, directory, O.PATH | O.DIRECTORY), close));
    const context = { context: directoryContext(root), named: namedContexts(input, below) };
    return { context, remoteDockerfile: dockerfile, generation: undefined };
  }
  const [first] = references;
  const files =
    input.kept === undefined
      ? { key: tarKey(first === undefined ? '' : familiarName(first), input.dockerfile) }
      : { key: keptKey(input.kept.key), changesOf: input.kept.changesOf || undefined };
  const kept = await keptContext(services, input.context, files, stack, signal);
  const context = { context: kept, named: namedContexts(input, (directory) => kept.below(directory)) };
  return { context, remoteDockerfile: undefined, generation: input.kept === undefined ? undefined : kept.generation };
}

function namedContexts(input: BuildInput, below: (directory: string) => BuildContext): Map<string, NamedContext> {
  const named = new Map<string, NamedContext>();
  for (const [name, value] of Object.entries(input.contexts)) {
    named.set(name.toLowerCase(), namedContext(name, value, below));
  }
  return named;
}

function namedContext(name: string, value: string, below: (directory: string) => BuildContext): NamedContext {
  if (value.startsWith('docker-image://')) return { kind: 'image', reference: value.slice('docker-image://'.length) };
  if (value !== '') throw invalidParameter(`unsupported context ${JSON.stringify(value)} for ${name}`);
  return { kind: 'files', context: below(`${CONTEXTS_PREFIX}/${encodeURIComponent(name)}`) };
}

async function dockerfileOf(
  input: BuildInput,
  context: BuildContext,
  remote: string | undefined,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly text: string }> {
  if (remote !== undefined) return { name: 'Dockerfile', text: remote };
  const named = input.dockerfile === '' ? 'Dockerfile' : input.dockerfile;
  let bytes = await context.readFile(named, signal);
  if (bytes === undefined && named === 'Dockerfile') bytes = await context.readFile('dockerfile', signal);
  if (bytes === undefined) throw notFound(`Cannot locate specified Dockerfile: ${named}`);
  if (bytes.length === 0) throw invalidParameter(`the Dockerfile (${named}) cannot be empty`);
  return { name: named, text: Buffer.from(bytes).toString() };
}

async function ignoreOf(context: BuildContext, dockerfile: string, signal: AbortSignal): Promise<readonly string[]> {
  for (const name of ignoreFileNames(dockerfile)) {
    const bytes = await context.readFile(name, signal);
    if (bytes !== undefined) return ignorePatterns(Buffer.from(bytes).toString());
  }
  return [];
}

interface Found {
  readonly context: Contexts;
  readonly dockerfile: BuildRequest['dockerfile'];
  readonly ignore: readonly string[];
  readonly references: readonly Reference[];
}

export function requestOf(
  services: Services,
  input: BuildInput,
  { context, dockerfile, ignore, references }: Found,
): BuildRequest {
  const given = Object.entries(input.args).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
  const args = Object.fromEntries(given);
  const allow = new Set<'network.host' | 'security.insecure'>();
  for (const name of input.allow) {
    if (name !== 'network.host' && name !== 'security.insecure') throw invalidParameter(`invalid entitlement: ${name}`);
    if (services.settings.builder.refusedEntitlements.has(name)) {
      throw forbidden(`granting entitlement ${name} is not allowed by build daemon configuration`);
    }
    allow.add(name);
  }
  const { secrets } = input;
  // Also where no step asks for a container.
  parseSecurityOptions(input.securityOptions);
  const logins = givenLogins(input.auths);
  const platforms = platformsOf(input.platform);
  const caches = cacheTargetsOf(services, (input.cacheTo ?? []).map(parseCacheSpec), logins);
  return {
    id: input.buildId,
    dockerfile,
    context: context.context,
    ignore: [...ignore, CONTEXTS_PREFIX],
    named: context.named,
    args,
    labels: input.labels,
    target: input.target,
    platform: platforms[0] ?? '',
    platforms,
    pull: input.pull,
    noCache: input.noCache,
    noCacheStages: input.noCacheStages,
    networkMode: input.networkMode === '' ? 'default' : input.networkMode,
    extraHosts: input.extraHosts,
    securityOptions: input.securityOptions,
    limits: {
      memoryBytes: input.memory,
      memorySwapBytes: input.memorySwap,
      cpuShares: input.cpuShares,
      cpuPeriodUs: input.cpuPeriod,
      cpuQuotaUs: input.cpuQuota,
      cpusetCpus: input.cpusetCpus,
      cpusetMems: input.cpusetMems,
      shmSizeBytes: input.shmSize,
      ulimits: input.ulimits,
      cgroupParent: input.cgroupParent,
    },
    binds: input.binds,
    allow,
    logins,
    secrets: { secret: async (id) => secrets.get(id) },
    ssh: sshOf(input.ssh),
    squash: input.squash,
    sourceDateEpoch: epochOf(args['SOURCE_DATE_EPOCH']),
    references,
    image: true,
    imageWish: imageWishOf({
      options: input.imageOptions ?? {},
      annotations: input.annotations ?? [],
      attests: input.attests ?? [],
      source: input.remote,
    }),
    exporters: [],
    cacheSources: cacheSourcesOf(services, input.cacheFrom.map(parseCacheSpec), {
      logins,
      // The classic builder knows caches in images that are here, and says nothing of others.
      hereFirst: input.format === 'classic' ? 'only' : 'yes',
    }),
    cacheTargets: caches.targets,
    inlineCache: caches.inline || isTrue(args['BUILDKIT_INLINE_CACHE']),
  };
}

const isTrue = (text: string | undefined): boolean => text === '1' || text === 'true';

/** `linux/amd64,linux/arm64`, each once. */
function platformsOf(text: string): string[] {
  const given = text.split(',').filter((platform) => platform !== '');
  if (given.length < 2) return given;
  return [...new Set(given.map((platform) => formatPlatform(parsePlatform(platform))))];
}

/** Sockets of agents on this host, named by who may do everything here anyway: it is the engine's socket that was asked. */
function sshOf(sockets: Readonly<Record<string, string>>): BuildRequest['ssh'] {
  return {
    socket: async (id) => {
      const path = sockets[id];
      if (path === undefined) return undefined;
      if (!fs.statSync(path, { throwIfNoEntry: false })?.isSocket()) {
        throw invalidParameter(`ssh agent ${id}: ${path} is not a socket of this host`);
      }
      return { path, [Symbol.asyncDispose]: async () => undefined };
    },
  };
}

function epochOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,12}$/.test(text)) throw invalidParameter(`invalid SOURCE_DATE_EPOCH: ${text}`);
  return Number(text);
}

interface Told {
  kept(generation: string): void;
  readonly progress: BuildRequestProgress;
  finish(result: BuildResult, references: readonly Reference[]): void;
  failed(error: unknown): void;
  settled(): Promise<void>;
}

type BuildRequestProgress = Parameters<Services['builder']['buildImage']>[1]['progress'];

function teller(input: BuildInput): Told {
  let writing = Promise.resolve();
  const write = (line: unknown): void => {
    const bytes = Buffer.from(`${JSON.stringify(line)}\r\n`);
    writing = input.progress.write(bytes);
  };
  const settled = async (): Promise<void> => writing;
  const kept = (generation: string): void => write({ context: { generation } });
  if (input.format === 'events') return { ...eventProgress(write), kept, settled };
  const classic = new ClassicTeller({ quiet: input.quiet, write });
  const progress = new OrderedProgress(classic);
  return {
    progress,
    kept,
    finish: ({ imageId, unusedArgs }, references) => {
      progress.flush();
      if (unusedArgs.length > 0) {
        write({ stream: `[Warning] One or more build-args [${unusedArgs.join(' ')}] were not consumed\n` });
      }
      if (imageId !== '') write({ aux: { ID: imageId } });
      if (input.quiet) {
        write({ stream: `${imageId}\n` });
        return;
      }
      write({ stream: `Successfully built ${imageId.slice('sha256:'.length, 'sha256:'.length + 12)}\n` });
      for (const reference of references) write({ stream: `Successfully tagged ${familiarString(reference)}\n` });
    },
    failed: () => {
      progress.flush();
      classic.sayAll();
    },
    settled,
  };
}
