/** What becomes of the states that a build has reached: files, images, an index, caches elsewhere. */
import { systemError } from '#errdefs/errors.ts';
import { chainIdOf, type DiffId } from '#layer/chain-id.ts';
import { familiarString } from '#reference/reference.ts';
import type { BuildRun } from './build-run.ts';
import type { FinishedRun, Finishing } from './finishing.ts';
import { type MadeImage, makeImage } from './image.ts';
import { formatPlatform } from './platform.ts';
import type { BuildResult, ImageWish } from './request.ts';
import { type BuildSession, rootOf } from './session.ts';
import { exportedDigest } from './steps/ensure.ts';

export async function finish(means: Finishing, runs: readonly BuildRun[]): Promise<BuildResult> {
  const { session } = means;
  const { request, backend, signal } = session;
  const finished = await Promise.all(runs.map(async (run): Promise<FinishedRun> => ({ run, state: await run.run() })));
  const [first] = finished;
  if (first === undefined) throw systemError('a build of no platform');
  for (const { run, state } of finished) {
    if (request.exporters.length > 0) await session.chains.need(state.on);
    for (const exporter of request.exporters) {
      const of = { platform: formatPlatform(run.platform), isOneOfMany: finished.length > 1 };
      await exporter.export(rootOf(session, state.on), state.config.config, signal, of);
    }
  }
  const { config } = first.state.config;
  const unusedArgs = unusedArgsOf(means);
  let result: BuildResult = { imageId: '', descriptor: undefined, images: [], config, unusedArgs };
  if (request.image) {
    const made: MadeImage[] = [];
    for (const { run, state } of finished) {
      const image = await makeImage(run.session, state, run.captures, means.lease);
      // What is squashed has none of the steps' layers.
      made.push(request.inlineCache && !request.squash ? await withCache(means, image, { run, state }) : image);
    }
    result = { ...result, ...(await record(means, finished, made)) };
    backend.built(result.imageId, request.references.map(familiarString));
  }
  rememberStacks(session, finished);
  if (request.cacheTargets.length > 0) {
    const { exportCaches } = await import('./cache/export-cache.ts');
    await exportCaches(means, finished);
  }
  return result;
}

async function withCache(means: Finishing, image: MadeImage, finished: FinishedRun): Promise<MadeImage> {
  const { inlineCacheOf } = await import('./cache/export-cache.ts');
  const document: unknown = JSON.parse(image.config.toString());
  const field = await inlineCacheOf(means, finished);
  return { ...image, config: Buffer.from(JSON.stringify(Object.assign({}, document, field))) };
}

async function record(
  means: Finishing,
  finished: readonly FinishedRun[],
  made: readonly MadeImage[],
): Promise<Pick<BuildResult, 'imageId' | 'descriptor' | 'images'>> {
  const { images, request } = means.session;
  const [only] = made;
  if (made.length === 1 && only !== undefined && !wantsManifest(request.imageWish)) {
    const { ids } = await images.create([{ image: { config: only.config }, references: request.references }]);
    const [imageId] = ids;
    if (imageId === undefined) throw systemError('no image was made');
    const platform = formatPlatform({ ...only.platform, variant: only.platform.variant ?? '' });
    return { imageId, descriptor: undefined, images: [{ platform, imageId, manifest: undefined }] };
  }
  const { publish } = await import('./publish.ts');
  return publish(means, finished, made);
}

function wantsManifest({ compression, ociTypes, annotations, attestations }: ImageWish): boolean {
  if (compression !== undefined || ociTypes === true || annotations.length > 0) return true;
  return attestations.sbom || attestations.provenance !== undefined;
}

/** What a cache elsewhere had is found without it as long as an image keeps the layers. */
function rememberStacks({ cache, layers, now }: BuildSession, finished: readonly FinishedRun[]): void {
  for (const { run } of finished) {
    for (const { steps } of run.traced()) {
      for (const { state } of steps) {
        const { below, key, created } = state;
        const chainId = chainIdOf(below);
        // Steps without files of their own count too: what stands on them is found by them.
        if (state.layers.length > 0 || chainId === undefined) continue;
        if (layers.get(chainId) === undefined) continue;
        const diffIds: readonly DiffId[] = below;
        cache.recordStack(exportedDigest(run.session, key), { diffIds, createdAt: created ?? now().toISOString() });
      }
    }
  }
}

/** Arguments of the client that no ARG of a built stage names. */
function unusedArgsOf({ session, file, plan }: Finishing): readonly string[] {
  const named = new Set(
    [...file.globalArgs, ...plan.stages.flatMap(({ stage }) => stage.instructions)].flatMap((instruction) =>
      instruction.keyword === 'ARG' ? instruction.args.map(({ name }) => name) : [],
    ),
  );
  return Object.keys(session.request.args).filter((name) => !named.has(name) && !isPredefined(name));
}

/** Proxies, platforms and what steers the builder need no ARG. */
function isPredefined(name: string): boolean {
  return /^(?:(?:http|https|ftp|no|all)_proxy|(?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT)|BUILDKIT_\w+|SOURCE_DATE_EPOCH)$/i.test(
    name,
  );
}
