/**
 * Removes what no image needs. Layers go at once (their directories are renamed away), blobs some time later, so that
 * pulling again what was just removed finds them.
 */
import type { Layer } from '#layer/records.ts';
import type { ImageStore } from './image-store.ts';

/** Removes layers that no image and no container needs; the removed ones, topmost first. */
export async function collectUnused(store: ImageStore): Promise<Layer[]> {
  const needed = [...store.parts()].flatMap(({ chainId }) => (chainId === undefined ? [] : [chainId]));
  const removed = await store.layers.collect(needed);
  store.content.collectSoon();
  return removed;
}
