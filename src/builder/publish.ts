/**
 * Images with manifests of their own: of several platforms behind an index, with attestations, with a wished
 * compression, types or annotations. They lie in the content store as a push will send them.
 */
import type { ContentLease } from '#content/leases.ts';
import { type Descriptor, MEDIA, type Platform } from '#content/descriptor.ts';
import { systemError } from '#errdefs/errors.ts';
import { formatPlatform } from '#image/platform.ts';
import { chainIdOf } from '#layer/chain-id.ts';
import type { LayerBlob } from '#layer/records.ts';
import { DEFAULT_COMPRESSION, type FinishedRun, type Finishing } from './finishing.ts';
import type { MadeImage } from './image.ts';
import type { BuildResult, ImageAnnotation } from './request.ts';

interface Manifested {
  readonly made: MadeImage;
  readonly finished: FinishedRun;
  readonly manifest: Descriptor;
  readonly platform: Platform;
}

export async function publish(
  means: Finishing,
  finished: readonly FinishedRun[],
  made: readonly MadeImage[],
): Promise<Pick<BuildResult, 'imageId' | 'descriptor' | 'images'>> {
  const { session } = means;
  const { content, images, request } = session;
  using lease = content.lease({ purpose: 'build image' });
  const entries: Manifested[] = [];
  for (const [index, image] of made.entries()) {
    const of = finished[index];
    if (of !== undefined) entries.push(await manifestOf(means, image, of, lease));
  }
  const [first] = entries;
  if (first === undefined) throw systemError('no image was made');
  const target = needsIndex(means, entries) ? await indexOf(means, entries, lease) : first.manifest;
  const { references } = request;
  const { ids } = await images.createNamed([
    { target, images: entries.map(({ made: { config }, manifest }) => ({ config, manifest })), references },
  ]);
  const [firstReference] = references;
  const imageId = (firstReference === undefined ? undefined : images.lookup(firstReference)) ?? ids[0] ?? '';
  return {
    imageId,
    descriptor: target,
    images: entries.map(({ platform, manifest }, index) => ({
      platform: formatPlatform(platform),
      imageId: ids[index] ?? '',
      manifest,
    })),
  };
}

function needsIndex({ session }: Finishing, entries: readonly Manifested[]): boolean {
  const { attestations, annotations } = session.request.imageWish;
  if (entries.length > 1 || attestations.sbom || attestations.provenance !== undefined) return true;
  return annotations.some(({ level }) => level !== 'manifest' && level !== 'index-descriptor');
}

/** By how a layer's tar is kept: Docker's type and the OCI's. */
const layerTypes: Readonly<Record<LayerBlob['compression'], readonly [docker: string, oci: string]>> = {
  plain: [MEDIA.dockerLayer, MEDIA.layer],
  gzip: [MEDIA.dockerLayerGzip, MEDIA.layerGzip],
  zstd: [MEDIA.layerZstd, MEDIA.layerZstd],
};

/** What has attestations or annotations is the OCI's: Docker's types know neither. */
function isOci({ session }: Finishing, blobs: readonly LayerBlob[]): boolean {
  const { ociTypes, attestations, annotations } = session.request.imageWish;
  if (attestations.sbom || attestations.provenance !== undefined || annotations.length > 0) return true;
  return ociTypes ?? blobs.some(({ compression }) => compression === 'zstd');
}

async function manifestOf(
  means: Finishing,
  made: MadeImage,
  finished: FinishedRun,
  lease: ContentLease,
): Promise<Manifested> {
  const { layers, backend, content, request, signal } = means.session;
  const wish = request.imageWish.compression ?? DEFAULT_COMPRESSION;
  const blobs: LayerBlob[] = [];
  for (const { blob, diffId } of layers.chain(chainIdOf(made.diffIds)).reverse()) {
    lease.add(blob.digest);
    blobs.push(await backend.compress(blob, { ...wish, diffId }, lease, signal));
  }
  const oci = isOci(means, blobs) ? 1 : 0;
  const config = { mediaType: [MEDIA.dockerConfig, MEDIA.config][oci], ...(await content.put(made.config, lease)) };
  const platform = platformOf(made);
  const annotations = annotationsOf(request.imageWish.annotations, 'manifest', platform);
  const mediaType = [MEDIA.dockerManifest, MEDIA.manifest][oci] ?? MEDIA.manifest;
  const document = {
    schemaVersion: 2,
    mediaType,
    config,
    layers: blobs.map(({ digest, size, compression }) => ({ mediaType: layerTypes[compression][oci], digest, size })),
    ...(annotations === undefined ? {} : { annotations }),
  };
  const stored = await content.put(Buffer.from(JSON.stringify(document, null, 2)), lease);
  const about = annotationsOf(request.imageWish.annotations, 'manifest-descriptor', platform);
  const manifest = { mediaType, ...stored, platform, ...(about === undefined ? {} : { annotations: about }) };
  return { made, finished, manifest, platform };
}

function platformOf({ platform: { os, architecture, variant } }: MadeImage): Platform {
  return { architecture, os, ...(variant === undefined || variant === '' ? {} : { variant }) };
}

function annotationsOf(
  annotations: readonly ImageAnnotation[],
  level: ImageAnnotation['level'],
  platform: Platform | undefined,
): Readonly<Record<string, string>> | undefined {
  const wanted = annotations.filter(
    (entry) =>
      entry.level === level &&
      (entry.platform === undefined || platform === undefined || entry.platform === formatPlatform(platform)),
  );
  return wanted.length === 0 ? undefined : Object.fromEntries(wanted.map(({ key, value }) => [key, value]));
}

async function indexOf(means: Finishing, entries: readonly Manifested[], lease: ContentLease): Promise<Descriptor> {
  const { content, request } = means.session;
  const { attestations, annotations } = request.imageWish;
  const manifests: Descriptor[] = entries.map(({ manifest }) => manifest);
  if (attestations.sbom || attestations.provenance !== undefined) {
    const { attest } = await import('./attest/attest.ts');
    for (const { manifest, finished, platform } of entries) {
      manifests.push(await attest(means, finished, { manifest, platform }, lease));
    }
  }
  const allDocker = manifests.every((entry) => entry.mediaType === MEDIA.dockerManifest);
  const mediaType = allDocker ? MEDIA.dockerIndex : MEDIA.index;
  const own = annotationsOf(annotations, 'index', undefined);
  const document = {
    schemaVersion: 2,
    mediaType,
    manifests,
    ...(own === undefined ? {} : { annotations: own }),
  };
  const stored = await content.put(Buffer.from(JSON.stringify(document, null, 2)), lease);
  return { mediaType, ...stored };
}
