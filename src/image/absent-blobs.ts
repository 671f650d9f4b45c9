/**
 * Tars of layers that a build has measured and not written: most images are run where they were built, and never need
 * one. Whoever does asks here first; from then on it is kept like any other.
 */
import * as fs from 'node:fs';
import type { ContentStore } from '#content/content-store.ts';
import type { ContentLease } from '#content/leases.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import type { Layer } from '#layer/records.ts';

interface Stores {
  readonly content: ContentStore;
  readonly layers: LayerStore;
}

const isAbsent = ({ content }: Stores, { blob }: Layer): boolean =>
  blob.compression === 'plain' && !content.has(blob.digest);

/** Preconditions: the layers are leased. Errors: data-loss when a layer's files are not what they were; cancelled. */
export async function packAbsent(
  stores: Stores,
  layers: Iterable<Layer>,
  lease: ContentLease,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const layer of layers) {
    if (!isAbsent(stores, layer)) continue;
    using scratch = stores.content.scratch();
    await stores.layers.packAgain(layer, scratch.path, signal);
    const handle = await fs.promises.open(scratch.path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await stores.content.keep([{ file: scratch.path, digest: layer.blob.digest }], lease);
  }
}
