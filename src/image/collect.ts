/** Removes what no image needs: layers that no container has either, and blobs of neither. */
import type { Layer } from '#layer/records.ts';
import type { ImageStore } from './image-store.ts';

/** The removed layers, topmost first. */
export async function collectUnused(store: ImageStore): Promise<Layer[]> {
  const needed = store.list().flatMap(({ chainId }) => (chainId === undefined ? [] : [chainId]));
  const removed = await store.layers.collect(needed);
  collectBlobs(store);
  return removed;
}

/** Synchronous: nobody adds a blob between the look and the removal. */
function collectBlobs(store: ImageStore): void {
  const needed = new Set<string>();
  for (const image of store.list()) needed.add(image.id);
  for (const layer of store.layers.list()) needed.add(layer.blob.digest);
  for (const digest of store.content.list()) if (!needed.has(digest)) store.content.remove(digest);
}
