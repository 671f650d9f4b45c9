/**
 * `load`: images from an archive. Layers are unpacked in parallel while the archive still arrives; then everything is
 * checked, then layers, blobs, images and names are recorded, so that a truncated, wrong or hostile archive leaves nothing.
 */
import { digestOf } from '#content/content-store.ts';
import { dataLoss } from '#errdefs/errors.ts';
import type { LayerSource, PreparedLayer } from '#layer/register.ts';
import type { LayerLease } from '#layer/layer-store.ts';
import { familiarString } from '#reference/reference.ts';
import { type ArchivedImage, readImages } from './archive-format.ts';
import type { ImageStore } from './image-store.ts';
import { collectUnused } from './collect.ts';
import { barMessage, type Tell } from './progress.ts';
import { spoolArchive, type SpooledFile } from './spool.ts';

const OPENING_BRACE = 0x7b;

export interface LoadInput {
  readonly archive: AsyncIterable<Uint8Array>;
  readonly quiet: boolean;
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
  await using early = new EarlyLayers(store, input.signal);
  await using spool = await spoolArchive(input.archive, {
    content: store.content,
    inflate: (file, to, options) => store.layers.inflate(file, to, options),
    signal: input.signal,
    arrived: (file) => early.offer(file),
  });
  const images = readImages(spool);
  using lease = store.layers.lease();
  const kept = new Map<string, string>();
  for (const image of images) await registerImage(store, image, { early, lease, input, kept });
  await tellOfMovedNames(store, images, input.tell);
  const { ids } = store.create(
    images.map(({ configBytes, references }) => ({ image: { config: configBytes }, references })),
  );
  const loaded = images.map(({ references }, i) => ({ id: ids[i] ?? '', names: references.map(familiarString) }));
  for (const { id, names } of loaded) {
    const lines = names.length > 0 ? names.map((name) => `Loaded image: ${name}\n`) : [`Loaded image ID: ${id}\n`];
    for (const stream of lines) await input.tell({ stream });
  }
  return loaded;
}

/** Docker says which image loses its name. */
async function tellOfMovedNames(store: ImageStore, images: readonly ArchivedImage[], tell: Tell): Promise<void> {
  for (const { configBytes, references } of images) {
    const id = digestOf(configBytes);
    for (const reference of references) {
      const old = store.lookup(reference);
      if (old === undefined || old === id) continue;
      const name = familiarString(reference);
      const stream = `The image ${name} already exists, renaming the old one with ID ${old} to empty string\n`;
      await tell({ stream });
    }
  }
}

interface Registration {
  readonly early: EarlyLayers;
  readonly lease: LayerLease;
  readonly input: LoadInput;
  /** Where a spooled file's content is now that it was kept. */
  readonly kept: Map<string, string>;
}

async function registerImage(store: ImageStore, image: ArchivedImage, registration: Registration): Promise<void> {
  const { early, lease, input, kept } = registration;
  const sources: LayerSource[] = [];
  for (const [i, { file, digest }] of image.layers.entries()) {
    const diffId = image.config.rootfs.diff_ids[i];
    if (diffId === undefined) throw dataLoss('invalid manifest, layers length mismatch');
    const prepared = await early.take(file);
    const spooled = file.ingest.path;
    sources.push({ diffId, blobDigest: digest, file: kept.get(spooled) ?? spooled, prepared });
  }
  const layers = await store.layers.register(sources, {
    lease,
    signal: input.signal,
    keep: (files) => {
      store.content.keep(files);
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
