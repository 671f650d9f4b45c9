/**
 * The manifest that an image is pushed by: the one it came with, when all its blobs are here as it names them or in the
 * registry already, so that its digest stays what it was; else one of Docker's schema 2 (what every registry takes), made
 * of its layers.
 */
import { digestOf } from '#content/content-store.ts';
import { type Descriptor, type Manifest, MEDIA } from '#content/descriptor.ts';
import { dataLoss } from '#errdefs/errors.ts';
import type { Image } from '#image/image.ts';
import type { ImageStore } from '#image/image-store.ts';
import type { Layer } from '#layer/records.ts';

export interface PushManifest {
  readonly bytes: Buffer;
  readonly descriptor: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly PushLayer[];
}

export interface PushLayer {
  readonly layer: Layer;
  readonly descriptor: Descriptor;
}

/** A manifest that the image came with. */
export interface KeptManifest extends PushManifest {
  /** Layers that are here, unpacked, but came as another blob. */
  readonly missing: readonly Descriptor[];
}

/** `prefer`: the manifest that the name stands for, which comes first; then the youngest first. */
export function keptManifests(store: ImageStore, image: Image, prefer: string | undefined): KeptManifest[] {
  const kept: KeptManifest[] = [];
  const stack = store.layers.chain(image.chainId).reverse();
  const candidates = [...(prefer === undefined ? [] : [prefer]), ...[...image.manifests].reverse()];
  for (const digest of new Set(candidates)) {
    const document = store.content.document(digest);
    if (document?.kind !== 'manifest' || document.config.digest !== image.id) continue;
    const layers = pairLayers(document, stack);
    if (layers === undefined) continue;
    const size = store.content.size(digest);
    if (size === undefined) continue;
    const bytes = store.content.read(digest, size);
    kept.push({
      bytes,
      descriptor: { mediaType: document.mediaType, digest, size },
      config: document.config,
      layers,
      missing: document.layers.filter((layer) => !store.content.has(layer.digest)),
    });
  }
  return kept;
}

function pairLayers(manifest: Manifest, stack: readonly Layer[]): PushLayer[] | undefined {
  if (manifest.layers.length !== stack.length) return undefined;
  const layers: PushLayer[] = [];
  for (const [i, descriptor] of manifest.layers.entries()) {
    const layer = stack[i];
    if (layer === undefined) return undefined;
    layers.push({ layer, descriptor });
  }
  return layers;
}

/** Preconditions: every layer's blob is compressed. */
export function makeManifest(store: ImageStore, image: Image): PushManifest {
  const stack = store.layers.chain(image.chainId).reverse();
  // Docker's types have none for zstd.
  const isOci = stack.some(({ blob }) => blob.compression === 'zstd');
  const size = store.content.size(image.id);
  if (size === undefined) throw dataLoss(`the configuration of image ${image.id} is missing`);
  const config = { mediaType: isOci ? MEDIA.config : MEDIA.dockerConfig, digest: image.id, size };
  const layers = stack.map((layer) => ({
    layer,
    descriptor: { mediaType: typeOf(layer, isOci), digest: layer.blob.digest, size: layer.blob.size },
  }));
  const mediaType = isOci ? MEDIA.manifest : MEDIA.dockerManifest;
  const document = { schemaVersion: 2, mediaType, config, layers: layers.map(({ descriptor }) => descriptor) };
  // Docker's own indentation: the same image has the same digest wherever it was pushed from.
  const bytes = Buffer.from(JSON.stringify(document, null, 3));
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, config, layers };
}

/** By how a layer's tar is kept: Docker's type and the OCI's. */
const layerTypes: Readonly<Record<Layer['blob']['compression'], readonly [docker: string, oci: string]>> = {
  plain: [MEDIA.dockerLayer, MEDIA.layer],
  gzip: [MEDIA.dockerLayerGzip, MEDIA.layerGzip],
  zstd: [MEDIA.layerZstd, MEDIA.layerZstd],
};

function typeOf({ blob }: Layer, isOci: boolean): string {
  return layerTypes[blob.compression][isOci ? 1 : 0];
}
