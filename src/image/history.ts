/** `history`: what an image was made of, newest first. */
import type { ImageHistoryItem } from '#api/types/image.ts';
import type { Platform } from '#content/descriptor.ts';
import { dataLoss } from '#errdefs/errors.ts';
import type { ImageStore } from './image-store.ts';

/** Errors: not-found; data-loss when the configuration tells of more layers than there are. */
export function imageHistory(store: ImageStore, nameOrId: string, platform?: Platform): ImageHistoryItem[] {
  const image = store.resolve(nameOrId, platform);
  const layers = store.layers.chain(image.chainId).reverse();
  const rows: ImageHistoryItem[] = [];
  let next = 0;
  for (const entry of image.config.history) {
    let size = 0;
    if (entry.empty_layer !== true) {
      const layer = layers[next++];
      if (layer === undefined) throw dataLoss('too many non-empty layers in History section');
      size = layer.size;
    }
    rows.push({
      Comment: entry.comment ?? '',
      Created: entry.created === undefined ? 0 : Math.floor(Date.parse(entry.created) / 1000),
      CreatedBy: entry.created_by ?? '',
      Id: '<missing>',
      Size: size,
      Tags: null,
    });
  }
  rows.reverse();
  // Ids are known of the image itself and of the images it was made from here.
  let id: string | undefined = image.id;
  for (const row of rows) {
    if (id === undefined || !store.has(id)) break;
    const { tags, parent } = store.get(id);
    row.Id = id;
    row.Tags = tags.length === 0 ? null : [...tags];
    id = parent;
  }
  return rows;
}
