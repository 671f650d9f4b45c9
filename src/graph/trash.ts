/**
 * Images that were removed and can still be brought back: their records and names, by removal. Layers and blobs of what
 * lies here are kept as those of images are; when its time is over an entry goes, and the next collection takes them.
 */
import { dataLoss, notFound } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { HeldImage, ImageStore } from '#image/image-store.ts';
import type { ChainId } from '#layer/chain-id.ts';

const KIND = 'image-trash';

export interface TrashedImage {
  readonly id: string;
  readonly chainId: string | null;
  /** The image store's record, as it was. */
  readonly record: unknown;
  readonly manifests: readonly string[];
  readonly names: readonly { readonly name: string; readonly target: string | null }[];
}

export interface Removal {
  readonly id: string;
  /** ISO 8601. */
  readonly at: string;
  /** Until when it can be brought back. */
  readonly until: string;
  /** `rmi`, `prune`, `budget`, `auto-update`. */
  readonly reason: string;
  readonly images: readonly TrashedImage[];
}

export interface TrashOptions {
  readonly db: GraphDb;
  readonly now: () => Date;
  /** 0: nothing is kept. */
  readonly keepMs: () => number;
}

export class ImageTrash {
  readonly #options: TrashOptions;
  readonly #removals = new Map<string, Removal>();
  #counter = 0;

  constructor(options: TrashOptions) {
    this.#options = options;
    for (const { id, document } of options.db.list(KIND)) this.#removals.set(id, decode(id, document));
  }

  get enabled(): boolean {
    return this.#options.keepMs() > 0;
  }

  /** Newest first. */
  list(): Removal[] {
    return [...this.#removals.values()].sort((a, b) => (a.at === b.at ? (a.id < b.id ? 1 : -1) : a.at < b.at ? 1 : -1));
  }

  /** What one removal takes away; nothing when nothing is kept. */
  batch(reason: string): { add(image: TrashedImage): void } {
    const { db, now, keepMs } = this.#options;
    const started = now();
    const id = `${started.toISOString()}-${String(this.#counter++).padStart(6, '0')}`;
    return {
      add: (image) => {
        if (!this.enabled) return;
        const until = new Date(started.getTime() + keepMs()).toISOString();
        const before = this.#removals.get(id) ?? { id, at: started.toISOString(), until, reason, images: [] };
        const removal = { ...before, images: [...before.images, image] };
        this.#removals.set(id, removal);
        db.put(KIND, id, removal);
      },
    };
  }

  /** For the image store: what has to be kept as if it were an image. */
  *held(): Generator<HeldImage> {
    for (const { images } of this.#removals.values()) {
      for (const { id, chainId, manifests, names } of images) {
        const targets = names.flatMap(({ target }) => target ?? []);
        // as: an image's chainId is what was put in.
        yield { id, chainId: chainId === null ? undefined : (chainId as ChainId), manifests, targets };
      }
    }
  }

  /**
   * Brings back what a removal took: the newest, or the newest that an id, its beginning or a name (canonical) belongs
   * to. Names that mean something else by now stay with it. Errors: not-found.
   */
  undo(images: ImageStore, wanted: { readonly id: string; readonly name: string | undefined } | undefined): Restored {
    const removal = this.list().find(
      ({ images: gone }) =>
        wanted === undefined ||
        gone.some(
          ({ id, names }) =>
            id.startsWith(wanted.id) ||
            id.slice('sha256:'.length).startsWith(wanted.id) ||
            names.some(({ name }) => name === wanted.name),
        ),
    );
    if (removal === undefined) throw notFound('there is no removal of images that can be undone');
    const ids: string[] = [];
    const names: string[] = [];
    const taken: string[] = [];
    for (const image of removal.images) {
      const revived = images.revive(image.id, image.record, image.names);
      ids.push(image.id);
      names.push(...revived.names);
      taken.push(...revived.taken);
    }
    this.#forget(removal.id);
    return { ids, names, taken };
  }

  /** Removals whose time is over go, or all; their number. */
  expire(all = false): number {
    const now = this.#options.now().toISOString();
    const over = [...this.#removals.values()].filter(({ until }) => all || !this.enabled || until <= now);
    for (const { id } of over) this.#forget(id);
    return over.length;
  }

  /** Milliseconds until the next goes; undefined when nothing waits. */
  nextMs(): number | undefined {
    const next = [...this.#removals.values()].map(({ until }) => Date.parse(until)).sort((a, b) => a - b)[0];
    return next === undefined ? undefined : Math.max(0, next - this.#options.now().getTime());
  }

  #forget(id: string): void {
    this.#removals.delete(id);
    this.#options.db.delete(KIND, id);
  }
}

export interface Restored {
  readonly ids: readonly string[];
  /** Names that are back, familiar. */
  readonly names: readonly string[];
  /** Names that mean another image by now. */
  readonly taken: readonly string[];
}

function decode(id: string, document: unknown): Removal {
  const isRemoval =
    typeof document === 'object' &&
    document !== null &&
    'at' in document &&
    'until' in document &&
    'images' in document &&
    Array.isArray(document.images);
  if (!isRemoval) throw dataLoss(`Cannot read the removal of images ${id}: its record is damaged`);
  // as: written by `batch` with this shape.
  return document as unknown as Removal;
}
