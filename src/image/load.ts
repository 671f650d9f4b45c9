/**
 * `load`: images from an archive. Layers are unpacked in parallel while the archive still arrives; then everything is
 * checked, then layers, blobs, images and names are recorded, so that a truncated, wrong or hostile archive leaves nothing.
 */
import { algorithmOf } from '#content/digest.ts';
import * as fs from 'node:fs';
import { digestOf } from '#content/content-store.ts';
import type { Platform } from '#content/descriptor.ts';
import type { ContentLease } from '#content/leases.ts';
import { dataLoss, notFound } from '#errdefs/errors.ts';
import type { LayerSource, PreparedLayer } from '#layer/register.ts';
import type { LayerLease } from '#layer/layer-store.ts';
import { familiarString } from '#reference/reference.ts';
import { readImages } from './archive-format.ts';
import type { ArchivedImage, ArchivedName } from './archived.ts';
import type { ImageStore } from './image-store.ts';
import { collectUnused, makeRoom } from './collect.ts';
import { formatPlatform, isPlatform } from './platform.ts';
import { barMessage, type Tell } from './progress.ts';
import { spoolArchive, type SpooledFile } from './spool.ts';
import { platformOfConfig, primaryOf } from './variants.ts';

const OPENING_BRACE = 0x7b;

export interface LoadInput {
  readonly archive: AsyncIterable<Uint8Array>;
  readonly quiet: boolean;
  /** Only these, of archives with several; empty: all. */
  readonly platforms?: readonly Platform[];
  /** Layers that are here already may be missing in the archive. */
  readonly partial?: boolean;
  readonly tell: Tell;
  readonly signal?: AbortSignal | undefined;
}

export interface LoadedImage {
  readonly id: string;
  /** Familiar names it was given. */
  readonly names: readonly string[];
}

/** Errors: data-loss for archives that are not what they say; system when the disk is full; cancelled. */
export async function loadImages(store: ImageStore, input: LoadInput): Promise<LoadedImage[]> {
  try {
    return await load(store, input);
  } catch (error) {
    // Layers of the images before the wrong one may be recorded already.
    await collectUnused(store);
    throw error;
  }
}

async function load(store: ImageStore, input: LoadInput): Promise<LoadedImage[]> {
  await makeRoom(store);
  await using early = new EarlyLayers(store, input.signal);
  await using spool = await spoolArchive(input.archive, {
    content: store.content,
    inflate: (file, to, options) => store.layers.inflate(file, to, options),
    signal: input.signal,
    arrived: (file) => early.offer(file),
    partial: input.partial,
  });
  const names = onlyPlatforms(readImages(spool), input.platforms ?? []);
  using lease = store.layers.lease();
  using contentLease = store.content.lease({ purpose: 'load' });
  const kept = new Map<string, string>();
  for (const { images } of names) {
    for (const image of images) await registerImage(store, image, { early, lease, contentLease, input, kept });
  }
  for (const { documents, extras } of names) {
    for (const bytes of documents.values()) await store.content.put(bytes, contentLease);
    await store.content.keep(
      extras
        .map(({ file, digest }) => ({ file: file.ingest.path, digest }))
        .filter(({ file, digest }) => fs.existsSync(file) && file !== store.content.path(digest)),
      contentLease,
    );
  }
  const named = names.map(({ target, images, references }) => ({
    target,
    images: images.map(({ configBytes, manifest }) => ({ config: configBytes, manifest })),
    references: [...references],
  }));
  const primaries = named.map(({ target, images }) => {
    const primary = primaryOf(store, target, images);
    return typeof primary === 'string' ? primary : primary === undefined ? '' : digestOf(primary.config);
  });
  await tellOfMovedNames(store, names, primaries, input.tell);
  await store.createNamed(named);
  const loaded = names.map(({ references }, i) => ({ id: primaries[i] ?? '', names: references.map(familiarString) }));
  for (const { id, names: given } of loaded) {
    const lines = given.length > 0 ? given.map((name) => `Loaded image: ${name}\n`) : [`Loaded image ID: ${id}\n`];
    for (const stream of lines) await input.tell({ stream });
  }
  return loaded;
}

/** Errors: not-found when nothing is left. */
function onlyPlatforms(names: readonly ArchivedName[], platforms: readonly Platform[]): readonly ArchivedName[] {
  if (platforms.length === 0) return names;
  const wanted = ({ config }: ArchivedImage): boolean =>
    platforms.some((platform) => isPlatform(platform, platformOfConfig(config)));
  const left = names
    .map((name) => ({ ...name, images: name.images.filter(wanted) }))
    .filter(({ images }) => images.length > 0);
  if (left.length > 0) return left;
  throw notFound(`the archive has no image for ${platforms.map(formatPlatform).join(', ')}`);
}

/** Docker says which image loses its name. */
async function tellOfMovedNames(
  store: ImageStore,
  names: readonly ArchivedName[],
  ids: readonly string[],
  tell: Tell,
): Promise<void> {
  for (const [i, { references }] of names.entries()) {
    for (const reference of references) {
      const old = store.lookup(reference);
      if (old === undefined || old === ids[i]) continue;
      const name = familiarString(reference);
      const stream = `The image ${name} already exists, renaming the old one with ID ${old} to empty string\n`;
      await tell({ stream });
    }
  }
}

interface Registration {
  readonly early: EarlyLayers;
  readonly lease: LayerLease;
  readonly contentLease: ContentLease;
  readonly input: LoadInput;
  /** Where a spooled file's content is now that it was kept. */
  readonly kept: Map<string, string>;
}

async function registerImage(store: ImageStore, image: ArchivedImage, registration: Registration): Promise<void> {
  const { early, lease, contentLease, input, kept } = registration;
  const sources: LayerSource[] = [];
  for (const [i, { file, digest }] of image.layers.entries()) {
    const diffId = image.config.rootfs.diff_ids[i];
    if (diffId === undefined) throw dataLoss('invalid manifest, layers length mismatch');
    const prepared = await early.take(file);
    const spooled = file.ingest.path;
    // Archives are hashed by sha256; of another digest the configuration's, of what is inside, decides.
    const blobDigest = digest === undefined || algorithmOf(digest) !== 'sha256' ? undefined : digest;
    sources.push({ diffId, blobDigest, file: kept.get(spooled) ?? spooled, prepared });
  }
  const layers = await store.layers.register(sources, {
    lease,
    signal: input.signal,
    keep: async (files) => {
      // What was here already stays where it is.
      await store.content.keep(
        files.filter(({ file, digest }) => file !== store.content.path(digest)),
        contentLease,
      );
      for (const { file, digest } of files) kept.set(file, store.content.path(digest));
    },
  });
  if (input.quiet) return;
  for (const { diffId, tarSize } of layers) {
    await input.tell(barMessage('Loading layer', diffId.slice('sha256:'.length, 19), tarSize, tarSize));
  }
}

/** Layers that are being unpacked before the manifest has told what they are. */
class EarlyLayers implements AsyncDisposable {
  readonly #store: ImageStore;
  readonly #begun = new Map<SpooledFile, Promise<PreparedLayer>>();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #taken: PreparedLayer[] = [];

  constructor(store: ImageStore, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
  }

  /** Begins with a file that may be a layer. */
  offer(file: SpooledFile): void {
    const digest = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(file.name)?.[1];
    if (digest !== undefined && this.#store.content.has(`sha256:${digest}`)) return;
    // JSON is no layer; names without `.tar` are of documents (`<hex>.json`, `VERSION`, `repositories`).
    if (file.firstByte === OPENING_BRACE || (digest === undefined && !file.name.endsWith('.tar'))) return;
    const begun = this.#store.layers.prepare(file.ingest.path, { signal: this.#signal });
    // A failure is looked at when somebody takes the layer; a blob that is JSON is nobody's.
    begun.catch(() => undefined);
    this.#begun.set(file, begun);
  }

  /** The work on a file, once; undefined when there is none. Errors: the layer's. */
  async take(file: SpooledFile): Promise<PreparedLayer | undefined> {
    const begun = this.#begun.get(file);
    if (begun === undefined) return undefined;
    const prepared = await begun;
    this.#begun.delete(file);
    this.#taken.push(prepared);
    return prepared;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    const left = await Promise.allSettled(this.#begun.values());
    for (const outcome of left) if (outcome.status === 'fulfilled') await outcome.value[Symbol.asyncDispose]();
    for (const prepared of this.#taken) await prepared[Symbol.asyncDispose]();
  }
}
