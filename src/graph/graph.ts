/**
 * What refers to what: names → images → layers ← containers, and both → blobs. Everything that nothing leads to is
 * garbage. Looked up anew each time instead of counted: a count can be wrong, a look-up cannot.
 */
import { collectUnused } from '#image/collect.ts';
import type { ImageStore } from '#image/image-store.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import { log } from '#pkg/log/log.ts';

export class Graph {
  readonly #images: ImageStore;
  readonly #layers: LayerStore;

  constructor(images: ImageStore, layers: LayerStore) {
    this.#images = images;
    this.#layers = layers;
  }

  /** Removes layers and blobs that nothing needs; the ChainIds of removed layers, topmost first. */
  async collect(): Promise<string[]> {
    const removed = await collectUnused(this.#images);
    return removed.map((layer) => layer.chainId);
  }

  /** At start-up, before the first change: what a crash left half-made goes. */
  async reconcile(): Promise<void> {
    await this.#layers.reconcile();
    const removed = await this.collect();
    if (removed.length > 0) log.info('removed layers that no image needs', { count: removed.length });
  }
}
