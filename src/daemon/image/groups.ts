/** Images as people count them: a name with all its platforms is one. */
import type { BudgetImage } from '#graph/budget.ts';
import type { Image } from '#image/image.ts';
import { imagesOf, namedVariants } from '#image/variants.ts';
import type { Services } from '../services.ts';
import { usersOf } from './remove.ts';

export interface ImageGroup extends BudgetImage {
  readonly image: Image;
}

export function imageGroups(services: Services): ImageGroup[] {
  const { images, graph } = services;
  const variants = namedVariants(images);
  return images
    .list()
    .filter(({ id, tags, digests }) => tags.length + digests.length > 0 || !variants.has(id))
    .map((image) => {
      const targets = new Set(images.references(image.id).map((reference) => images.target(reference)));
      const members = new Map([[image.id, image]]);
      for (const target of targets) for (const variant of imagesOf(images, target)) members.set(variant.id, variant);
      const all = [...members.values()];
      return {
        image,
        id: image.id,
        tags: image.tags,
        usedMs: Math.max(...all.map(({ id, arrived }) => graph.marks.lastUsed(id) ?? arrived.getTime())),
        arrivedMs: image.arrived.getTime(),
        layers: all.flatMap(({ chainId }) => services.layers.chain(chainId).map((layer) => layer.chainId)),
        kept: keptBecause(services, all),
      };
    });
}

function keptBecause(services: Services, members: readonly Image[]): BudgetImage['kept'] {
  const { images, graph } = services;
  if (members.some(({ id }) => usersOf(services, id).length > 0)) return 'container';
  if (members.some(({ id }) => graph.marks.isLocked(id))) return 'locked';
  return members.some(({ id }) => images.children(id).length > 0) ? 'parent' : undefined;
}

/** Bytes of files and of the kept tar, by layer. */
export function layerSizes(services: Pick<Services, 'layers' | 'images'>): Map<string, number> {
  const { content } = services.images;
  return new Map(
    services.layers.list().map(({ chainId, size, blob }) => [chainId, size + (content.size(blob.digest) ?? 0)]),
  );
}
