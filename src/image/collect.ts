/**
 * Removes what no image needs. Layers go at once (their directories are renamed away), blobs some time later, so that
 * pulling again what was just removed finds them.
 */
import * as fs from 'node:fs';
import type { Layer } from '#layer/records.ts';
import type { ImageStore } from './image-store.ts';

/** Removes layers that no image and no container needs; the removed ones, topmost first. */
export async function collectUnused(store: ImageStore): Promise<Layer[]> {
  const needed = [...store.parts()].flatMap(({ chainId }) => (chainId === undefined ? [] : [chainId]));
  const removed = await store.layers.collect(needed);
  store.content.collectSoon();
  return removed;
}

/** A disk with less room than either of these is short of it. */
const ROOM_BYTES = 1 << 30;
const ROOM_SHARE = 0.05;

/**
 * On a disk that is short of room, what was removed and only waits to be deleted goes now: whoever has just removed an
 * image for the sake of another finds its room.
 */
export async function makeRoom({ content, layers }: ImageStore): Promise<void> {
  const { bavail, blocks, bsize } = fs.statfsSync(content.root);
  if (bavail * bsize >= Math.max(ROOM_BYTES, blocks * bsize * ROOM_SHARE)) return;
  content.collect();
  await Promise.all([content.deleted(), layers.emptyTrash()]);
}
