/** Images by the layers that they share. */
import type { ImageTreeLayer } from '#api/types/image-upkeep.ts';
import type { Image } from '#image/image.ts';
import { formatPlatform } from '#image/platform.ts';
import type { Services } from '../services.ts';

/** Parents before children; of one image, or of all with ''. Errors: not-found. */
export function imageTree(services: Services, name: string): ImageTreeLayer[] {
  const { images, layers, graph } = services;
  const shown = name === '' ? images.list() : [images.resolve(name)];
  const rows = new Map<string, ImageTreeLayer>();
  for (const image of shown) {
    const chain = layers.chain(image.chainId).reverse();
    const steps = stepsOf(image);
    for (const [i, { chainId, parent, size }] of chain.entries()) {
      if (rows.has(chainId)) continue;
      rows.set(chainId, { ChainId: chainId, Parent: parent ?? '', Size: size, CreatedBy: steps[i] ?? '', Images: [] });
    }
  }
  for (const image of images.list()) {
    if (image.chainId === undefined) continue;
    rows.get(image.chainId)?.Images.push({
      Id: image.id,
      Names: [...image.tags],
      Platform: formatPlatform(image.platform),
      Locked: graph.marks.isLocked(image.id),
    });
  }
  return [...rows.values()];
}

/** What made each layer, bottom first. */
function stepsOf({ config }: Image): string[] {
  return config.history.filter((entry) => entry.empty_layer !== true).map((entry) => entry.created_by ?? '');
}
