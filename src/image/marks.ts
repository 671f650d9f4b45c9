/** What images need of the content store. */
import type { ContentStore } from '#content/content-store.ts';
import { isAttestation, isImageManifest } from '#content/descriptor.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import { documentOf } from './variants.ts';

const DEPTH_MAX = 6;

interface MarkedStore {
  readonly content: ContentStore;
  readonly layers: Pick<LayerStore, 'list'>;
  parts(): Iterable<{
    readonly id: string;
    readonly manifests: readonly string[];
    readonly targets: readonly string[];
  }>;
  targets(): string[];
  mayDrop(digest: string): boolean;
}

/** Configurations, manifests, indexes with all of them that is here, and the tars that layers came as. */
export function markImages(store: MarkedStore, mark: (digest: string) => void): void {
  const tree = (digest: string, depth: number, isStatement = false): void => {
    mark(digest);
    if (depth > DEPTH_MAX) return;
    const document = documentOf(store, digest);
    if (document === undefined) return;
    if (document.kind === 'index') {
      for (const child of document.manifests)
        if (store.content.has(child.digest)) tree(child.digest, depth + 1, isAttestation(child));
      return;
    }
    mark(document.config.digest);
    // The tars of an image's layers are the layer records' to say: they may be dropped.
    if (isStatement || !isImageManifest(document)) for (const layer of document.layers) mark(layer.digest);
  };
  for (const { id, manifests, targets } of store.parts()) {
    for (const target of targets) tree(target, 0);
    mark(id);
    for (const digest of manifests) mark(digest);
  }
  for (const target of store.targets()) tree(target, 0);
  for (const { blob } of store.layers.list()) if (!store.mayDrop(blob.digest)) mark(blob.digest);
}
