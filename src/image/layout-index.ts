/**
 * The content store's index.json: every name with what it stands for, so that skopeo, podman and others read images out
 * of the store (`skopeo copy oci:/var/lib/berth/content:docker.io/library/busybox:latest …`). Images that came without a
 * manifest get one. The file is derived: it is written some time after names have changed, and anew at every start.
 */
import * as path from 'node:path';
import { digestOf } from '#content/content-store.ts';
import { type Descriptor, MEDIA } from '#content/descriptor.ts';
import { messageOf } from '#errdefs/errors.ts';
import { writeFileAside } from '#pkg/atomicfile/atomicfile.ts';
import { log } from '#pkg/log/log.ts';
import { canonicalString } from '#reference/reference.ts';
import type { ImageStore } from './image-store.ts';
import { storedDescriptor } from './manifest-summary.ts';

const AFTER_CHANGE_MS = 300;

export class LayoutIndex implements Disposable {
  readonly #store: ImageStore;
  /** Manifests that were made for the file alone: what is pushed or saved is not made from them. */
  #made = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(store: ImageStore) {
    this.#store = store;
    store.content.addRoots((mark) => {
      for (const digest of this.#made) mark(digest);
    });
    store.onChange(() => this.#changed());
    this.#changed();
  }

  async write(): Promise<void> {
    const made = new Map<string, Buffer>();
    const manifests = this.#store.names().flatMap(({ reference, id }) => {
      const target = this.#store.target(reference);
      const known = target === undefined ? undefined : storedDescriptor(this.#store, target);
      const descriptor = known ?? this.#manifestOf(id, made);
      if (descriptor === undefined) return [];
      const name = canonicalString(reference);
      return [{ ...descriptor, annotations: { 'org.opencontainers.image.ref.name': name } }];
    });
    const dropped = [...this.#made].some((digest) => !made.has(digest));
    this.#made = new Set(made.keys());
    using lease = this.#store.content.lease({ purpose: 'index.json' });
    for (const bytes of made.values()) await this.#store.content.put(bytes, lease);
    // The collection after a removal may have come before: until now this file named them.
    if (dropped) this.#store.content.collectSoon();
    const index = { schemaVersion: 2, mediaType: MEDIA.index, manifests };
    const file = path.join(this.#store.content.root, 'index.json');
    await writeFileAside(file, Buffer.from(JSON.stringify(index)), { mode: 0o644, durable: false });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  /** The image's, or one that is made from its layers as they are kept; undefined when they are not. */
  #manifestOf(id: string, made: Map<string, Buffer>): Descriptor | undefined {
    for (const digest of [...this.#store.get(id).manifests].reverse()) {
      const known = storedDescriptor(this.#store, digest);
      if (known !== undefined) return known;
    }
    const own = makeManifest(this.#store, id);
    if (own !== undefined) made.set(own.descriptor.digest, own.bytes);
    return own?.descriptor;
  }

  #changed(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#writing
        .then(() => this.write())
        .catch((error: unknown) => {
          log.warn('index.json of the content store could not be written', { err: messageOf(error) });
        });
    }, AFTER_CHANGE_MS);
    this.#timer.unref();
  }
}

function makeManifest(
  store: ImageStore,
  id: string,
): { readonly descriptor: Descriptor; readonly bytes: Buffer } | undefined {
  const { content } = store;
  const image = store.get(id);
  const layers = store.layers.chain(image.chainId).reverse();
  if (layers.some(({ blob }) => content.size(blob.digest) !== blob.size)) return undefined;
  const types = { plain: MEDIA.layer, gzip: MEDIA.layerGzip, zstd: MEDIA.layerZstd } as const;
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      config: { mediaType: MEDIA.config, digest: id, size: content.size(id) ?? 0 },
      layers: layers.map(({ blob }) => ({ mediaType: types[blob.compression], digest: blob.digest, size: blob.size })),
    }),
  );
  const descriptor = { mediaType: MEDIA.manifest, digest: digestOf(bytes), size: bytes.length };
  return { descriptor, bytes };
}
