/**
 * Images and their names. An image is its configuration (a blob) and a record; its id is the configuration's digest. A
 * reference is an edge from the one parent `references`, so a name means at most one image and an image knows its names.
 *
 * What a name was pulled, loaded or built as is its target: the digest of a manifest, or of an index with one manifest a
 * platform. The edge leads to the image of the platform that serves this host best; the other platforms are images too,
 * found through the index (variants.ts).
 *
 * Invariants: an image's layers are recorded before it; configuration blobs are on the disk before the record; names of
 * a removed image go in the same transaction.
 */
import { type ContentStore, digestOf } from '#content/content-store.ts';
import type { Descriptor, Platform } from '#content/descriptor.ts';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { type ChainId, chainIdOf } from '#layer/chain-id.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import {
  canonicalString,
  familiarString,
  isDigest,
  isHexId,
  parseReference,
  type Reference,
  withDefaultTag,
  withDigest,
} from '#reference/reference.ts';
import { CONFIG_BYTES_MAX, decodeImageConfig, type ImageConfigFile } from './config.ts';
import { type CreatedImage, type Image, type NamedImages, noSuchImage } from './image.ts';
import { markImages } from './marks.ts';
import { decodeImageRecord, encodeImageRecord, IMAGE_KIND, type ImageRecord } from './records.ts';
import { imageOfPlatform, platformOfConfig, primaryOf } from './variants.ts';

const REFERENCES = 'references';
/** name:tag → digest of its manifest or index; a name with a digest says it itself. */
const TARGETS = 'targets';
/** Of one image: pushed to and pulled from many places it may have some. */
const MANIFESTS_MAX = 20;

export interface ImageStoreOptions {
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly db: GraphDb;
  readonly now: () => Date;
  /** What a name as people write it may mean beside itself (aliases, registries to search), in order. */
  readonly candidates?: (text: string) => readonly Reference[];
  /** Whether the archive of a layer may go although the layer stays: it can be had again. */
  readonly mayDrop?: (digest: string) => boolean;
}

/** What an image needs of the other stores. */
export interface HeldImage {
  readonly id: string;
  readonly chainId: ChainId | undefined;
  readonly manifests: readonly string[];
  /** Of names that are not the image store's own. */
  readonly targets: readonly string[];
}

interface Known {
  readonly config: ImageConfigFile;
  readonly chainId: ChainId | undefined;
  readonly size: number;
  record: ImageRecord;
}

export class ImageStore {
  readonly #options: ImageStoreOptions;
  readonly #images = new Map<string, Known>();
  readonly #byManifest = new Map<string, string>();
  readonly #listeners: (() => void)[] = [];
  readonly #holders: (() => Iterable<HeldImage>)[] = [];

  private constructor(options: ImageStoreOptions) {
    this.#options = options;
  }

  /** Reads all records and configurations; a damaged image is told and left out, so that loading it again repairs it. */
  static open(options: ImageStoreOptions): ImageStore {
    const store = new ImageStore(options);
    options.content.addRoots((mark) => markImages(store, mark));
    for (const { id, document } of options.db.list(IMAGE_KIND)) {
      try {
        store.#remember(id, decodeImageRecord(id, document), options.content.read(id, CONFIG_BYTES_MAX));
      } catch (error) {
        if (kindOf(error) !== 'data-loss' && kindOf(error) !== 'not-found') throw error;
        log.error('an image is damaged and is left out: load it again', { image: id, err: messageOf(error) });
        options.content.remove(id);
      }
    }
    return store;
  }

  /** See `ImageStoreOptions.mayDrop`. */
  mayDrop(digest: string): boolean {
    return this.#options.mayDrop?.(digest) ?? false;
  }

  get content(): ContentStore {
    return this.#options.content;
  }

  get layers(): LayerStore {
    return this.#options.layers;
  }

  get now(): () => Date {
    return this.#options.now;
  }

  /** Errors: not-found `No such image: X`. */
  get(id: string): Image {
    const known = this.#images.get(id);
    if (known === undefined) throw noSuchImage(id);
    return this.#imageOf(id, known);
  }

  has(id: string): boolean {
    return this.#images.has(id);
  }

  /** What each image is made of, and what else is kept like an image; without asking for names. */
  *parts(): Generator<HeldImage> {
    for (const [id, { chainId, record }] of this.#images) {
      yield { id, chainId, manifests: record.manifests, targets: [] };
    }
    for (const holder of this.#holders) yield* holder();
  }

  /** Somebody else whose layers and blobs are kept as those of images. To be called before the first collection. */
  addHolder(holder: () => Iterable<HeldImage>): void {
    this.#holders.push(holder);
  }

  /** For whoever wants to bring the image back. Errors: not-found. */
  recordOf(id: string): unknown {
    const known = this.#images.get(id);
    if (known === undefined) throw noSuchImage(id);
    return encodeImageRecord(known.record);
  }

  /**
   * Brings back an image that was deleted, with those of its names that are free. Preconditions: its layers and blobs
   * were held since. Errors: not-found, data-loss.
   */
  revive(
    id: string,
    record: unknown,
    wanted: readonly { readonly name: string; readonly target: string | null }[],
  ): { readonly names: readonly string[]; readonly taken: readonly string[] } {
    const { content, db } = this.#options;
    const decoded = decodeImageRecord(id, record);
    const bytes = content.read(id, CONFIG_BYTES_MAX);
    const free = wanted.filter(({ name }) => db.child(REFERENCES, name) === undefined);
    db.transaction(
      () => {
        db.put(IMAGE_KIND, id, encodeImageRecord(decoded));
        for (const { name, target } of free) this.#point(parseReference(name), id, target ?? undefined);
      },
      { durable: true },
    );
    this.#remember(id, decoded, bytes);
    this.#changed();
    const familiar = (list: typeof wanted): string[] => list.map(({ name }) => familiarString(parseReference(name)));
    return { names: familiar(free), taken: familiar(wanted.filter((entry) => !free.includes(entry))) };
  }

  list(): Image[] {
    return [...this.#images].map(([id, known]) => this.#imageOf(id, known));
  }

  /**
   * By name (`latest` when there is no tag), id, a unique beginning of an id, or digest of a manifest; of a name with
   * several platforms the given one. Errors: not-found, invalid-parameter.
   */
  resolve(nameOrId: string, platform?: Platform): Image {
    const image = this.#resolve(nameOrId);
    return platform === undefined ? image : imageOfPlatform(this, nameOrId, image, platform);
  }

  #resolve(text: string): Image {
    const full = isHexId(text) ? `sha256:${text}` : text;
    if (isDigest(full)) {
      const id = this.#images.has(full) ? full : this.withManifest(full)?.id;
      if (id !== undefined) return this.get(id);
      throw noSuchImage(full);
    }
    const reference = withDefaultTag(parseReference(text));
    const named = this.lookup(reference);
    if (named !== undefined) return this.get(named);
    for (const candidate of this.#options.candidates?.(text) ?? []) {
      const found = this.lookup(candidate);
      if (found !== undefined) return this.get(found);
    }
    const byPrefix = this.#byPrefix(text);
    if (byPrefix !== undefined) return this.get(byPrefix);
    throw noSuchImage(familiarString(reference));
  }

  /** The image that a name means. Of `name:tag@digest` the digest decides. */
  lookup(reference: Reference): string | undefined {
    const wanted = reference.digest === undefined ? withDefaultTag(reference) : withDigest(reference, reference.digest);
    return this.#options.db.child(REFERENCES, canonicalString(wanted));
  }

  /** Digest of the manifest or index that a name stands for; undefined when it has none. */
  target(reference: Reference): string | undefined {
    if (reference.digest !== undefined) return reference.digest;
    return this.#options.db.child(TARGETS, canonicalString(withDefaultTag(reference)));
  }

  /** Every digest that a name stands for. */
  targets(): string[] {
    const { db } = this.#options;
    const digests = new Set(db.children(TARGETS).map((edge) => edge.child));
    for (const { name } of db.children(REFERENCES)) {
      const at = name.indexOf('@');
      if (at >= 0) digests.add(name.slice(at + 1));
    }
    return [...digests];
  }

  /** Every name there is, in order of their text, with the image it means. */
  names(): { readonly reference: Reference; readonly id: string }[] {
    const { db } = this.#options;
    return db.children(REFERENCES).map(({ name, child }) => ({ reference: parseReference(name), id: child }));
  }

  /** The image that a manifest describes, if it is here. */
  withManifest(digest: string): Image | undefined {
    const id = this.#byManifest.get(digest);
    return id === undefined ? undefined : this.get(id);
  }

  /** All names of an image, in order of their text. */
  references(id: string): Reference[] {
    return this.#options.db
      .parents(id)
      .filter((edge) => edge.parent === REFERENCES)
      .map((edge) => parseReference(edge.name));
  }

  children(id: string): string[] {
    return [...this.#images].filter(([, known]) => known.record.parent === id).map(([child]) => child);
  }

  /**
   * Records images and names at once, durably. An image that exists stays as it is; a name moves to its new image.
   * The disk is not waited for on this thread. Preconditions: the layers are recorded, and leased until this is over.
   */
  async create(images: readonly CreatedImage[]): Promise<{ readonly ids: string[] }> {
    const { content, db } = this.#options;
    using lease = content.lease({ purpose: 'create an image' });
    for (const { image } of images) {
      // Before anything is kept: a configuration that cannot be read must not become an image.
      decodeImageConfig(image.config);
      await content.put(image.config, lease);
    }
    const ids = this.#create(images);
    await db.flush();
    failpoint('load.image-recorded');
    this.#changed();
    return { ids };
  }

  #create(images: readonly CreatedImage[]): string[] {
    const { db, now } = this.#options;
    const made: { id: string; record: ImageRecord; bytes: Uint8Array }[] = [];
    const ids: string[] = [];
    for (const { image } of images) {
      const chainId = chainIdOf(decodeImageConfig(image.config).rootfs.diff_ids);
      if (chainId !== undefined) this.#options.layers.chain(chainId);
      const id = digestOf(image.config);
      ids.push(id);
      const earlier = made.find((m) => m.id === id);
      const known = earlier?.record ?? this.#images.get(id)?.record;
      const manifests = withManifest(known?.manifests ?? [], image.manifest);
      if (earlier !== undefined) earlier.record = { ...earlier.record, manifests };
      else if (known !== undefined && manifests === known.manifests) continue;
      else {
        const fresh = { parent: image.parent, lastTagged: undefined, createdHere: now().toISOString() };
        made.push({ id, record: { ...(known ?? fresh), manifests }, bytes: image.config });
      }
    }
    db.transaction(() => {
      for (const { id, record } of made) db.put(IMAGE_KIND, id, encodeImageRecord(record));
      for (const [i, { image, references, target = image.manifest?.digest }] of images.entries()) {
        const id = ids[i];
        if (id === undefined) continue;
        for (const reference of references) this.#point(reference, id, target);
      }
    });
    for (const { id, record, bytes } of made) this.#remember(id, record, bytes);
    for (const [i, { references }] of images.entries()) {
      const id = ids[i];
      if (id !== undefined && references.length > 0) this.#touch(id);
    }
    return ids;
  }

  /** Records what a name was pulled, loaded or built as; the ids in the order of `images`. As `create` otherwise. */
  async createNamed(named: readonly NamedImages[]): Promise<{ readonly ids: string[] }> {
    const created: CreatedImage[] = [];
    const stayed: CreatedImage[] = [];
    for (const { target, images, references } of named) {
      const primary = primaryOf(this, target, images);
      for (const image of images) {
        created.push({ image, references: image === primary ? references : [], target: target?.digest });
      }
      // The best platform of this index is here already, and stays what the names mean.
      if (typeof primary === 'string') {
        stayed.push({ image: { config: this.configBytes(primary) }, references, target: target?.digest });
      }
    }
    const { ids } = await this.create([...created, ...stayed]);
    return { ids: ids.slice(0, created.length) };
  }

  /**
   * Gives an image a further name; the name leaves the image that had it. `target`: what the name stands for where that
   * is more than this image (an index). On the disk after `settled`. Errors: not-found.
   */
  tag(id: string, reference: Reference, target?: string): void {
    if (!this.#images.has(id)) throw noSuchImage(id);
    this.#options.db.transaction(() => this.#point(withDefaultTag(reference), id, target));
    this.#touch(id);
    this.#changed();
  }

  /** All that was recorded until now is on the disk; it is not waited for on this thread. */
  settled(): Promise<void> {
    return this.#options.db.flush();
  }

  /** Takes a name away. Errors: not-found. */
  untag(reference: Reference): void {
    const { db } = this.#options;
    const name = canonicalString(withDefaultTag(reference));
    if (db.child(REFERENCES, name) === undefined) throw noSuchImage(familiarString(reference));
    db.transaction(() => {
      db.unlink(REFERENCES, name);
      db.unlink(TARGETS, name);
    });
    this.#changed();
  }

  /** Forgets an image and its names. Its layers and blobs are the graph's to collect. */
  delete(id: string): void {
    const { db } = this.#options;
    db.transaction(() => {
      for (const edge of db.parents(id)) {
        if (edge.parent !== REFERENCES) continue;
        db.unlink(REFERENCES, edge.name);
        db.unlink(TARGETS, edge.name);
      }
      db.delete(IMAGE_KIND, id);
    });
    for (const digest of this.#images.get(id)?.record.manifests ?? []) this.#byManifest.delete(digest);
    this.#images.delete(id);
    this.#changed();
  }

  /** Called after names or images have changed. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The configuration's bytes as they came. */
  configBytes(id: string): Buffer {
    return this.#options.content.read(id, CONFIG_BYTES_MAX);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  #point(reference: Reference, id: string, target: string | undefined): void {
    const { db } = this.#options;
    const name = canonicalString(reference);
    if (db.child(REFERENCES, name) !== id) {
      db.unlink(REFERENCES, name);
      db.link(REFERENCES, name, id);
    }
    if (reference.digest !== undefined || db.child(TARGETS, name) === target) return;
    db.unlink(TARGETS, name);
    if (target !== undefined) db.link(TARGETS, name, target);
  }

  #touch(id: string): void {
    const known = this.#images.get(id);
    if (known === undefined) return;
    known.record = { ...known.record, lastTagged: this.#options.now().toISOString() };
    this.#options.db.put(IMAGE_KIND, id, encodeImageRecord(known.record));
  }

  #remember(id: string, record: ImageRecord, bytes: Uint8Array): void {
    const config = decodeImageConfig(bytes);
    const chainId = chainIdOf(config.rootfs.diff_ids);
    this.#images.set(id, { config, chainId, size: this.#options.layers.chainSize(chainId), record });
    for (const digest of record.manifests) this.#byManifest.set(digest, id);
  }

  #imageOf(id: string, known: Known): Image {
    const references = this.references(id);
    const names = (isDigestReference: boolean): string[] =>
      references.filter((r) => (r.digest !== undefined) === isDigestReference).map(familiarString);
    const { created } = known.config;
    return {
      id,
      config: known.config,
      chainId: known.chainId,
      size: known.size,
      created: created === undefined ? undefined : new Date(created),
      parent: known.record.parent,
      lastTagged: known.record.lastTagged === undefined ? undefined : new Date(known.record.lastTagged),
      arrived: new Date(known.record.createdHere),
      platform: platformOfConfig(known.config),
      manifests: known.record.manifests,
      tags: names(false),
      digests: names(true),
    };
  }

  /** Errors: not-found when more than one image begins so. */
  #byPrefix(text: string): string | undefined {
    const prefix = text.startsWith('sha256:') ? text.slice('sha256:'.length) : text;
    if (!/^[0-9a-f]{1,64}$/.test(prefix)) return undefined;
    const found = [...this.#images.keys()].filter((id) => id.startsWith(`sha256:${prefix}`));
    return found.length === 1 ? found[0] : undefined;
  }
}

/** The same list when it has the manifest already. */
function withManifest(manifests: readonly string[], manifest: Descriptor | undefined): readonly string[] {
  if (manifest === undefined || manifests.includes(manifest.digest)) return manifests;
  return [...manifests, manifest.digest].slice(-MANIFESTS_MAX);
}
