/**
 * Images and their names. An image is its configuration (a blob) and a record; its id is the configuration's digest. A
 * reference is an edge from the one parent `references`, so a name means at most one image and an image knows its names.
 *
 * Invariants: an image's layers are recorded before it; configuration blobs are on the disk before the record; names of
 * a removed image go in the same transaction.
 */
import { kindOf, messageOf, notFound } from '#errdefs/errors.ts';
import { type ContentStore, digestOf } from '#content/content-store.ts';
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
import { decodeImageRecord, encodeImageRecord, IMAGE_KIND, type ImageRecord } from './records.ts';

const REFERENCES = 'references';

export interface Image {
  /** `sha256:…`: the digest of the configuration. */
  readonly id: string;
  readonly config: ImageConfigFile;
  /** Undefined for an image without layers. */
  readonly chainId: ChainId | undefined;
  /** Bytes of all its layers' files. */
  readonly size: number;
  /** Undefined when the configuration does not say. */
  readonly created: Date | undefined;
  /** The image it was made from here, if any: only `commit` and the builder know. */
  readonly parent: string | undefined;
  readonly lastTagged: Date | undefined;
  /** Familiar `name:tag`, sorted. */
  readonly tags: readonly string[];
  /** Familiar `name@digest`, sorted. */
  readonly digests: readonly string[];
}

export interface NewImage {
  readonly config: Uint8Array;
  readonly parent?: string;
}

export interface ImageStoreOptions {
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly db: GraphDb;
  readonly now: () => Date;
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

  private constructor(options: ImageStoreOptions) {
    this.#options = options;
  }

  /** Reads all records and configurations; a damaged image is told and left out, so that loading it again repairs it. */
  static open(options: ImageStoreOptions): ImageStore {
    const store = new ImageStore(options);
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

  list(): Image[] {
    return [...this.#images].map(([id, known]) => this.#imageOf(id, known));
  }

  /** By name (`latest` when there is no tag), id, or a unique beginning of an id. Errors: not-found, invalid-parameter. */
  resolve(nameOrId: string): Image {
    const text = nameOrId;
    const full = isHexId(text) ? `sha256:${text}` : text;
    if (isDigest(full)) {
      if (this.#images.has(full)) return this.get(full);
      throw noSuchImage(full);
    }
    const reference = withDefaultTag(parseReference(text));
    const named = this.lookup(reference);
    if (named !== undefined) return this.get(named);
    const byPrefix = this.#byPrefix(text);
    if (byPrefix !== undefined) return this.get(byPrefix);
    throw noSuchImage(familiarString(reference));
  }

  /** The image that a name means. Of `name:tag@digest` the digest decides. */
  lookup(reference: Reference): string | undefined {
    const wanted = reference.digest === undefined ? withDefaultTag(reference) : withDigest(reference, reference.digest);
    return this.#options.db.child(REFERENCES, canonicalString(wanted));
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
   * Preconditions: the layers are recorded, and leased until this returns.
   */
  create(images: readonly { readonly image: NewImage; readonly references: readonly Reference[] }[]): {
    readonly ids: string[];
  } {
    const { content, db, now } = this.#options;
    const made: { id: string; record: ImageRecord; bytes: Uint8Array }[] = [];
    const ids: string[] = [];
    for (const { image } of images) {
      // Before anything is recorded: a configuration that cannot be read must not become an image.
      const chainId = chainIdOf(decodeImageConfig(image.config).rootfs.diff_ids);
      if (chainId !== undefined) this.#options.layers.chain(chainId);
      const id = digestOf(image.config);
      ids.push(id);
      if (this.#images.has(id) || made.some((m) => m.id === id)) continue;
      content.put(image.config);
      const parent = image.parent;
      made.push({
        id,
        record: { parent, lastTagged: undefined, createdHere: now().toISOString() },
        bytes: image.config,
      });
    }
    db.transaction(
      () => {
        for (const { id, record } of made) db.put(IMAGE_KIND, id, encodeImageRecord(record));
        for (const [i, { references }] of images.entries()) {
          const id = ids[i];
          if (id === undefined) continue;
          for (const reference of references) this.#point(reference, id);
        }
      },
      { durable: true },
    );
    for (const { id, record, bytes } of made) this.#remember(id, record, bytes);
    for (const [i, { references }] of images.entries()) {
      const id = ids[i];
      if (id !== undefined && references.length > 0) this.#touch(id);
    }
    failpoint('load.image-recorded');
    return { ids };
  }

  /** Gives an image a further name; the name leaves the image that had it. Errors: not-found. */
  tag(id: string, reference: Reference): void {
    if (!this.#images.has(id)) throw noSuchImage(id);
    this.#options.db.transaction(() => this.#point(withDefaultTag(reference), id), { durable: true });
    this.#touch(id);
  }

  /** Takes a name away. Errors: not-found. */
  untag(reference: Reference): void {
    const { db } = this.#options;
    const name = canonicalString(withDefaultTag(reference));
    if (db.child(REFERENCES, name) === undefined) throw noSuchImage(familiarString(reference));
    db.unlink(REFERENCES, name);
  }

  /** Forgets an image and its names. Its layers and blobs are the graph's to collect. */
  delete(id: string): void {
    const { db } = this.#options;
    db.transaction(() => {
      for (const edge of db.parents(id)) if (edge.parent === REFERENCES) db.unlink(REFERENCES, edge.name);
      db.delete(IMAGE_KIND, id);
    });
    this.#images.delete(id);
  }

  /** The configuration's bytes as they came. */
  configBytes(id: string): Buffer {
    return this.#options.content.read(id, CONFIG_BYTES_MAX);
  }

  #point(reference: Reference, id: string): void {
    const { db } = this.#options;
    const name = canonicalString(reference);
    if (db.child(REFERENCES, name) === id) return;
    db.unlink(REFERENCES, name);
    db.link(REFERENCES, name, id);
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

export const noSuchImage = (name: string) => notFound(`No such image: ${name}`);
