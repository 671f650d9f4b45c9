/** What is behind a name, manifest by manifest: platforms and attestations, here or not. */
import type { ImageManifestSummary } from '#api/types/image.ts';
import { type Descriptor, isAttestation } from '#content/descriptor.ts';
import type { Image } from './image.ts';
import type { ImageStore } from './image-store.ts';
import { documentOf, targetOf, variantsOf } from './variants.ts';

export type ContainersOf = (imageId: string) => readonly string[];

/** Of what an image's names stand for; nothing when it never had a manifest. */
export function manifestSummaries(store: ImageStore, image: Image, containersOf: ContainersOf): ImageManifestSummary[] {
  const target = targetOf(store, image.tags[0] ?? image.digests[0] ?? image.id, image);
  return variantsOf(store, target).map(({ descriptor, image: variant }) => {
    const content = contentSize(store, descriptor);
    const summary: ImageManifestSummary = {
      ID: descriptor.digest,
      Descriptor: wireDescriptor(descriptor),
      Available: variant !== undefined || (isAttestation(descriptor) && store.content.has(descriptor.digest)),
      Size: { Content: content, Total: content + (variant?.size ?? 0) },
      Kind: isAttestation(descriptor) ? 'attestation' : platformIsKnown(descriptor, variant) ? 'image' : 'unknown',
    };
    if (summary.Kind === 'attestation') {
      summary.AttestationData = { For: descriptor.annotations?.['vnd.docker.reference.digest'] ?? '' };
    } else if (summary.Kind === 'image') {
      const platform = variant?.platform ?? descriptor.platform ?? { os: '', architecture: '' };
      summary.ImageData = {
        Platform: wirePlatform(platform),
        Containers: variant === undefined ? [] : [...containersOf(variant.id)],
        Size: { Unpacked: variant?.size ?? 0 },
      };
    }
    return summary;
  });
}

/** The descriptor of what an image's names stand for. */
export function targetDescriptor(store: ImageStore, given: string, image: Image): Descriptor | undefined {
  const digest = targetOf(store, given, image);
  return digest === undefined ? undefined : storedDescriptor(store, digest);
}

/** Of a manifest or index; undefined when it is not here. */
export function storedDescriptor(store: ImageStore, digest: string): Descriptor | undefined {
  const document = documentOf(store, digest);
  if (document === undefined) return undefined;
  return { mediaType: document.mediaType, digest, size: store.content.size(digest) ?? 0 };
}

export function wireDescriptor({ mediaType, digest, size, platform, annotations }: Descriptor) {
  return {
    mediaType,
    digest,
    size,
    ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
    ...(platform === undefined ? {} : { platform: wirePlatform(platform) }),
  };
}

function wirePlatform(platform: NonNullable<Descriptor['platform']>) {
  const { os, architecture, variant } = platform;
  return {
    architecture,
    os,
    ...(platform['os.version'] === undefined ? {} : { 'os.version': platform['os.version'] }),
    ...(variant === undefined ? {} : { variant }),
  };
}

const platformIsKnown = ({ platform }: Descriptor, image: Image | undefined): boolean =>
  image !== undefined || (platform !== undefined && platform.os !== 'unknown');

/** Bytes of the manifest and of the blobs it names, as far as they are here. */
function contentSize(store: ImageStore, { digest }: Descriptor): number {
  const document = documentOf(store, digest);
  if (document?.kind !== 'manifest') return 0;
  return [digest, document.config.digest, ...document.layers.map((layer) => layer.digest)].reduce(
    (sum, blob) => sum + (store.content.size(blob) ?? 0),
    0,
  );
}
