/**
 * What refers to what: names → images → layers ← containers, and both → blobs. Everything that nothing leads to is
 * garbage. Looked up anew each time instead of counted: a count can be wrong, a look-up cannot. Removed images may lie in
 * the trash for a while (trash.ts), locks and uses are kept by image (marks.ts).
 */
import type { GraphDb } from '#graphdb/graphdb.ts';
import { collectUnused } from '#image/collect.ts';
import type { ImageStore } from '#image/image-store.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import { log } from '#pkg/log/log.ts';
import { ImageMarks } from './marks.ts';
import { ImageTrash } from './trash.ts';

export interface GraphOptions {
  readonly images: ImageStore;
  readonly layers: LayerStore;
  readonly db: GraphDb;
  /** How long removed images can be brought back; 0: not at all. */
  readonly trashMs: () => number;
}

export class Graph {
  readonly #images: ImageStore;
  readonly #layers: LayerStore;
  readonly trash: ImageTrash;
  readonly marks: ImageMarks;

  constructor({ images, layers, db, trashMs }: GraphOptions) {
    this.#images = images;
    this.#layers = layers;
    this.trash = new ImageTrash({ db, now: images.now, keepMs: trashMs });
    this.marks = new ImageMarks(db, images.now);
    images.addHolder(() => this.trash.held());
  }

  /** Removes layers that nothing needs, and blobs soon; the ChainIds of removed layers, topmost first. */
  async collect(): Promise<string[]> {
    const removed = await collectUnused(this.#images);
    return removed.map((layer) => layer.chainId);
  }

  /** At start-up, before the first change: what a crash left half-made goes. */
  async reconcile(): Promise<void> {
    this.trash.expire();
    const here = new Set([...this.#images.parts()].map(({ id }) => id));
    this.marks.keepOnly((id) => here.has(id));
    await this.#layers.reconcile();
    const removed = await this.collect();
    if (removed.length > 0) log.info('removed layers that no image needs', { count: removed.length });
  }
}
