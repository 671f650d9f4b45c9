/**
 * How an image came about, as SLSA's provenance: what it was made from, of which definition, when. `min` says neither
 * values of build arguments nor the Dockerfile; `max` says both. Values of secrets are in neither: the builder never
 * asks for one here.
 */
import { randomUUID } from 'node:crypto';
import type { Platform } from '#content/descriptor.ts';
import { formatPlatform } from '#image/platform.ts';
import type { FinishedRun, Finishing } from '../finishing.ts';
import type { UsedImage } from '../base-images.ts';
import type { ProvenanceWish } from '../request.ts';

const BUILD_TYPE = 'https://mobyproject.org/buildkit@v1';
const METADATA = 'https://mobyproject.org/buildkit@v1#metadata';

interface Parts {
  readonly materials: readonly unknown[];
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, unknown>>;
  readonly started: string;
  readonly finished: string;
  readonly id: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly entryPoint: string;
}

export async function provenanceOf(
  means: Finishing,
  finished: FinishedRun,
  wish: ProvenanceWish,
  platform: Platform,
): Promise<{ readonly type: string; readonly predicate: unknown }> {
  const parts = await partsOf(means, finished, wish, platform);
  if (wish.version === 'v1') return { type: 'https://slsa.dev/provenance/v1', predicate: version1(parts, wish) };
  return { type: 'https://slsa.dev/provenance/v0.2', predicate: version02(parts, wish) };
}

async function partsOf(
  { session, file, startedAt }: Finishing,
  { run }: FinishedRun,
  wish: ProvenanceWish,
  platform: Platform,
): Promise<Parts> {
  const { request, backend } = session;
  const materials = (await run.usedImages()).map((used) => materialOf(used));
  const isMax = wish.mode === 'max';
  const args: Record<string, string> = {};
  if (request.target !== '') args['target'] = request.target;
  if (request.dockerfile.name !== 'Dockerfile') args['filename'] = request.dockerfile.name;
  if (request.platforms.length > 1) args['platform'] = request.platforms.join(',');
  else if (request.platform !== '') args['platform'] = request.platform;
  if (request.noCache) args['no-cache'] = '';
  if (isMax) {
    for (const [name, value] of Object.entries(request.args)) args[`build-arg:${name}`] = value;
    for (const [name, value] of Object.entries(request.labels)) args[`label:${name}`] = value;
  }
  const source = Buffer.from(file.source.text).toString('base64');
  const steps = run.traced().map(({ stage, steps: made }) => ({
    name: stage.from.stage ?? String(stage.index),
    from: stage.from.text,
    instructions: stage.instructions.map(({ text }) => text),
    states: made.map(({ state }) => state.origin),
  }));
  return {
    materials,
    parameters: {
      frontend: 'dockerfile.v0',
      args,
      locals: wish.source === '' ? [{ name: 'context' }, { name: 'dockerfile' }] : [],
    },
    environment: { platform: formatPlatform({ ...backend.platform, variant: backend.platform.variant || undefined }) },
    started: startedAt.toISOString(),
    finished: session.now().toISOString(),
    id: randomUUID(),
    details: {
      builtFor: formatPlatform(platform),
      ...(isMax
        ? { source: { infos: [{ filename: file.source.name, language: 'Dockerfile', data: source }] }, stages: steps }
        : {}),
    },
    entryPoint: request.dockerfile.name,
  };
}

function materialOf({ reference, platform, image }: UsedImage): unknown {
  const [known] = image.digests.flatMap((name) => /@sha256:([0-9a-f]{64})$/.exec(name)?.[1] ?? []);
  // One that was never in a registry is known by its own id.
  const sha256 = known ?? image.id.slice('sha256:'.length);
  const at = reference.lastIndexOf(':');
  const hasTag = at > reference.lastIndexOf('/');
  const name = hasTag ? reference.slice(0, at) : reference;
  const tag = hasTag ? reference.slice(at + 1) : 'latest';
  const [bare = name] = name.split('@');
  return {
    uri: `pkg:docker/${bare}@${tag}?platform=${encodeURIComponent(platform)}`,
    digest: { sha256 },
  };
}

function version02(parts: Parts, wish: ProvenanceWish): unknown {
  return {
    builder: { id: wish.builderId },
    buildType: BUILD_TYPE,
    materials: parts.materials,
    invocation: {
      configSource: { ...(wish.source === '' ? {} : { uri: wish.source }), entryPoint: parts.entryPoint },
      parameters: parts.parameters,
      environment: parts.environment,
    },
    metadata: {
      buildInvocationID: parts.id,
      buildStartedOn: parts.started,
      buildFinishedOn: parts.finished,
      // The network and local files of the client are not among the materials.
      completeness: { parameters: wish.mode === 'max', environment: true, materials: false },
      reproducible: wish.reproducible,
      [METADATA]: parts.details,
    },
  };
}

function version1(parts: Parts, wish: ProvenanceWish): unknown {
  return {
    buildDefinition: {
      buildType: 'https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md',
      externalParameters: {
        configSource: { ...(wish.source === '' ? {} : { uri: wish.source }), path: parts.entryPoint },
        request: parts.parameters,
      },
      internalParameters: { builderPlatform: parts.environment['platform'] },
      resolvedDependencies: parts.materials,
    },
    runDetails: {
      builder: { id: wish.builderId },
      metadata: {
        invocationId: parts.id,
        startedOn: parts.started,
        finishedOn: parts.finished,
        buildkit_metadata: parts.details,
        buildkit_reproducible: wish.reproducible,
        buildkit_completeness: { request: wish.mode === 'max', resolvedDependencies: false },
      },
    },
  };
}
