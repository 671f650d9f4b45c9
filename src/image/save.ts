/**
 * `save`: one tar that is a docker-archive and an OCI image layout at once, as Docker writes it since 25, so that every
 * Docker, podman, skopeo and containerd reads it. Blobs and manifests are copied as they were kept, so that digests stay;
 * but zstd layers of a single platform are written inflated, because Docker before 23 does not know them. Deterministic.
 */
import { digestOf } from '#content/content-store.ts';
import { isAttestation, MANIFEST_BYTES_MAX, MEDIA, type Platform } from '#content/descriptor.ts';
import { kindOf, notFound, systemError } from '#errdefs/errors.ts';
import type { LayerLease } from '#layer/layer-store.ts';
import type { Layer } from '#layer/records.ts';
import { canonicalString, familiarName, type Reference } from '#reference/reference.ts';
import { packAbsent } from './absent-blobs.ts';
import { ArchiveOutput, type ArchiveSink } from './archive-output.ts';
import type { Image } from './image.ts';
import type { ImageStore } from './image-store.ts';
import { formatPlatform, isPlatform } from './platform.ts';
import { type SelectedImage, selectImages } from './save-selection.ts';
import { documentOf, imageOfPlatform, targetOf, variantsOf } from './variants.ts';

export interface SaveInput extends ArchiveSink {
  /** Names, ids, or bare repositories (all their tags). */
  readonly names: readonly string[];
  /** Only these, of names with several; empty: all that are here. */
  readonly platforms?: readonly Platform[];
  /** Layers that the reader has already: they are left out of the file, and everything else says that they belong to it. */
  readonly without?: ReadonlySet<string>;
  /** Layers of which the reader has so many bytes: only the rest is written, as `<name>@<offset>`. */
  readonly from?: ReadonlyMap<string, number>;
}

/** A blob as it is written; `file` holds it, or zstd of it. */
interface SavedBlob {
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
  readonly file: string;
  readonly inflate: boolean;
}

interface Saved {
  /** Of manifests, indexes and configurations. */
  readonly small: Map<string, Buffer>;
  readonly blobs: Map<string, SavedBlob>;
  readonly lease: LayerLease;
}

/** A manifest or index that names lead to. */
interface Top {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Everything is looked up before the first byte. Errors: not-found, invalid-parameter; cancelled. */
export async function saveImages(store: ImageStore, input: SaveInput): Promise<void> {
  using lease = store.layers.lease();
  using contentLease = store.content.lease({ purpose: 'save' });
  const { saved, dockerManifest, descriptors, repositories } = lookUp(store, input, lease);
  for (const digest of saved.blobs.keys()) contentLease.add(digest);
  for (const digest of input.without ?? []) saved.blobs.delete(digest);
  const wanted = store.layers.list().filter(({ blob }) => saved.blobs.has(blob.digest));
  await packAbsent(store, wanted, contentLease, input.signal);
  const output = new ArchiveOutput(input);
  await output.directory('blobs/');
  await output.directory('blobs/sha256/');
  for (const digest of [...saved.blobs.keys(), ...saved.small.keys()].sort((a, b) => (a < b ? -1 : 1))) {
    const bytes = saved.small.get(digest);
    const blob = saved.blobs.get(digest);
    if (bytes !== undefined) await output.file(blobName(digest), bytes);
    else if (blob !== undefined) await output.blob(blobName(digest), blob, input.from?.get(digest));
  }
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  await output.file('index.json', json({ schemaVersion: 2, mediaType: MEDIA.index, manifests: descriptors }));
  await output.file('manifest.json', json(dockerManifest));
  await output.file('oci-layout', json({ imageLayoutVersion: '1.0.0' }));
  if (Object.keys(repositories).length > 0) await output.file('repositories', json(repositories));
  await output.end();
}

/** The layers that a save of these would write, each once. Errors: not-found, invalid-parameter. */
export function savedLayers(
  store: ImageStore,
  input: Pick<SaveInput, 'names' | 'platforms'>,
): { readonly digest: string; readonly size: number }[] {
  using lease = store.layers.lease();
  const { saved } = lookUp(store, input, lease);
  return [...saved.blobs.values()]
    .filter(({ digest }) => !saved.small.has(digest))
    .map(({ digest, size }) => ({ digest, size }));
}

interface LookedUp {
  readonly saved: Saved;
  readonly dockerManifest: unknown[];
  readonly descriptors: unknown[];
  readonly repositories: Record<string, Record<string, string>>;
}

function lookUp(store: ImageStore, input: Pick<SaveInput, 'names' | 'platforms'>, lease: LayerLease): LookedUp {
  const selected = onePlatformOf(store, selectImages(store, input.names), input.platforms ?? []);
  const saved: Saved = { small: new Map(), blobs: new Map(), lease };
  const dockerManifest: unknown[] = [];
  const descriptors: unknown[] = [];
  const repositories: Record<string, Record<string, string>> = {};
  for (const { image, given, references } of selected) {
    if (image.chainId !== undefined) lease.add(image.chainId);
    const whole = wantsWhole(input.platforms ?? []) ? wholeIndex(store, image, given, saved) : undefined;
    const { top, stack } = whole ?? single(store, image, saved);
    dockerManifest.push(dockerEntry(image, references, stack));
    descriptors.push(...indexEntries(top, references));
    for (const reference of references) {
      if (reference.tag === undefined || image.chainId === undefined) continue;
      (repositories[familiarName(reference)] ??= {})[reference.tag] = image.chainId.slice('sha256:'.length);
    }
  }
  return { saved, dockerManifest, descriptors, repositories };
}

const wantsWhole = (platforms: readonly Platform[]): boolean => platforms.length === 0;

/** Errors: not-found when a platform is not here. */
function onePlatformOf(
  store: ImageStore,
  selected: readonly SelectedImage[],
  platforms: readonly Platform[],
): readonly SelectedImage[] {
  if (platforms.length === 0) return selected;
  return selected.flatMap((entry) =>
    platforms.map((platform) => {
      const { image } = entry;
      const found = isPlatform(platform, image.platform) ? image : exported(store, entry, platform);
      if (found.chainId === undefined && found.id !== image.id)
        throw notFound(`no layers for ${formatPlatform(platform)}`);
      return { ...entry, image: found };
    }),
  );
}

/** Errors: system in Docker's words. */
function exported(store: ImageStore, { given, image }: SelectedImage, platform: Platform): Image {
  try {
    return imageOfPlatform(store, given, image, platform);
  } catch (error) {
    if (kindOf(error) !== 'not-found') throw error;
    throw systemError(`no suitable export target found for platform ${formatPlatform(platform)}`, { cause: error });
  }
}

/** The index that a name stands for with all of it that is here; undefined when it is none, or not wholly kept. */
function wholeIndex(
  store: ImageStore,
  image: Image,
  given: string,
  saved: Saved,
): { readonly top: Top; readonly stack: readonly SavedBlob[] } | undefined {
  const target = targetOf(store, given, image);
  if (target === undefined || documentOf(store, target)?.kind !== 'index') return undefined;
  const here = variantsOf(store, target).filter(
    ({ descriptor, image: variant }) => variant !== undefined || isAttestation(descriptor),
  );
  const mine = { small: new Map<string, Buffer>(), blobs: new Map<string, SavedBlob>() };
  let stack: SavedBlob[] | undefined;
  for (const { descriptor, image: variant } of here) {
    const blobs = keptBlobs(store, descriptor.digest);
    if (blobs === undefined) {
      if (variant === undefined) continue;
      return undefined;
    }
    for (const blob of blobs.all) mine.blobs.set(blob.digest, blob);
    mine.small.set(descriptor.digest, store.content.read(descriptor.digest, MANIFEST_BYTES_MAX));
    if (variant?.chainId !== undefined) saved.lease.add(variant.chainId);
    if (variant?.id === image.id) stack = blobs.layers;
  }
  if (stack === undefined) return undefined;
  const bytes = addIndexes(store, target, mine.small);
  for (const [digest, small] of mine.small) saved.small.set(digest, small);
  for (const [digest, blob] of mine.blobs) saved.blobs.set(digest, blob);
  const { mediaType } = store.content.document(target) ?? { mediaType: MEDIA.index };
  return { top: { mediaType, digest: target, size: bytes.length }, stack };
}

/** The index and those nested in it. */
function addIndexes(store: ImageStore, digest: string, small: Map<string, Buffer>): Buffer {
  const bytes = store.content.read(digest, MANIFEST_BYTES_MAX);
  small.set(digest, bytes);
  const document = store.content.document(digest);
  if (document?.kind === 'index') {
    for (const child of document.manifests) {
      if (!small.has(child.digest) && documentOf(store, child.digest)?.kind === 'index')
        addIndexes(store, child.digest, small);
    }
  }
  return bytes;
}

/** What a manifest names, as files; undefined when something is not kept. */
function keptBlobs(store: ImageStore, digest: string): { all: SavedBlob[]; layers: SavedBlob[] } | undefined {
  const { content } = store;
  const manifest = documentOf(store, digest);
  if (manifest?.kind !== 'manifest') return undefined;
  const all = [...manifest.layers, manifest.config].map(({ mediaType, digest: blob, size }) => ({
    digest: blob,
    size,
    mediaType,
    file: content.path(blob),
    inflate: false,
  }));
  if (all.some((blob) => content.size(blob.digest) !== blob.size)) return undefined;
  return { all, layers: all.slice(0, -1) };
}

/** One platform: by its own manifest when that can be written as it is, else by one that is made here. */
function single(
  store: ImageStore,
  image: Image,
  saved: Saved,
): { readonly top: Top; readonly stack: readonly SavedBlob[] } {
  const config = store.configBytes(image.id);
  saved.small.set(image.id, config);
  for (const digest of [...image.manifests].reverse()) {
    const kept = keptBlobs(store, digest);
    if (kept === undefined || kept.layers.some(({ mediaType }) => mediaType.endsWith('zstd'))) continue;
    for (const blob of kept.layers) saved.blobs.set(blob.digest, blob);
    const bytes = store.content.read(digest, MANIFEST_BYTES_MAX);
    saved.small.set(digest, bytes);
    const document = store.content.document(digest);
    // An image is known by sha256, whatever its manifest calls the configuration by.
    if (document?.kind === 'manifest') saved.small.set(document.config.digest, config);
    const mediaType = document?.mediaType ?? MEDIA.manifest;
    return { top: { mediaType, digest, size: bytes.length }, stack: kept.layers };
  }
  const stack = store.layers
    .chain(image.chainId)
    .reverse()
    .map((layer) => savedLayer(store, layer));
  for (const blob of stack) saved.blobs.set(blob.digest, blob);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      config: { mediaType: MEDIA.config, digest: image.id, size: config.length },
      layers: stack.map(descriptorOf),
    }),
  );
  const digest = digestOf(manifest);
  saved.small.set(digest, manifest);
  return { top: { mediaType: MEDIA.manifest, digest, size: manifest.length }, stack };
}

function savedLayer(store: ImageStore, layer: Layer): SavedBlob {
  const { blob, diffId, tarSize } = layer;
  if (!store.content.has(blob.digest) && store.content.has(diffId)) {
    return { digest: diffId, size: tarSize, mediaType: MEDIA.layer, file: store.content.path(diffId), inflate: false };
  }
  const file = store.content.path(blob.digest);
  if (blob.compression === 'zstd') {
    return { digest: layer.diffId, size: layer.tarSize, mediaType: MEDIA.layer, file, inflate: true };
  }
  const mediaType = blob.compression === 'gzip' ? MEDIA.layerGzip : MEDIA.layer;
  return { digest: blob.digest, size: blob.size, mediaType, file, inflate: false };
}

const descriptorOf = ({ digest, size, mediaType }: SavedBlob) => ({ mediaType, digest, size });

const blobName = (digest: string): string => `blobs/${digest.replace(':', '/')}`;

function dockerEntry(image: Image, references: readonly Reference[], stack: readonly SavedBlob[]): unknown {
  return {
    Config: blobName(image.id),
    // As Docker: null when the image was saved by its id.
    RepoTags: references.length === 0 ? null : references.map((r) => `${familiarName(r)}:${r.tag ?? ''}`),
    Layers: stack.map(({ digest }) => blobName(digest)),
    LayerSources: Object.fromEntries(
      stack.map((blob, i) => [String(image.config.rootfs.diff_ids[i]), descriptorOf(blob)] as const),
    ),
  };
}

function indexEntries(top: Top, references: readonly Reference[]): unknown[] {
  if (references.length === 0) return [top];
  return references.map((reference) => ({
    ...top,
    annotations: {
      'io.containerd.image.name': canonicalString(reference),
      'org.opencontainers.image.ref.name': reference.tag ?? '',
    },
  }));
}
