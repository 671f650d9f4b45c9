/** `rmi` with what the daemon knows: which containers have the image, what is locked, and whom to tell. */
import type { ImageDeleteItem } from '#api/types/image.ts';
import type { Platform } from '#content/descriptor.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import type { ImageTrash } from '#graph/trash.ts';
import type { ImageStore } from '#image/image-store.ts';
import { type ImageUser, removeImage } from '#image/remove.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';

type TrashBatch = ReturnType<ImageTrash['batch']>;

export interface RemoveNamedInput {
  readonly image: string;
  readonly force: boolean;
  readonly noprune: boolean;
  readonly platforms?: readonly Platform[];
}

export function removeNamed(
  services: Services,
  input: RemoveNamedInput,
  batch: TrashBatch = services.graph.trash.batch('rmi'),
): Promise<ImageDeleteItem[]> {
  const { images, graph } = services;
  return removeImage(images, {
    ...input,
    containersUsing: (id) => usersOf(services, id),
    isLocked: (id) => graph.marks.isLocked(id),
    discard: ({ id, chainId, manifests }, names) =>
      batch.add({ id, chainId: chainId ?? null, record: images.recordOf(id), manifests, names }),
    collect: () => graph.collect(),
    onUntag: (id) => publishImageEvent(services, 'untag', id, id),
    onDelete: (id) => publishImageEvent(services, 'delete', id, id),
  });
}

/** All names of an image, hence the image; what stands against it is told in the log unless it is to be expected. */
export async function removeWhole(services: Services, id: string, batch: TrashBatch): Promise<ImageDeleteItem[]> {
  const { tags, digests } = services.images.get(id);
  const names = [...tags, ...digests];
  const rows: ImageDeleteItem[] = [];
  for (const image of names.length === 0 ? [id] : names) {
    try {
      rows.push(...(await removeNamed(services, { image, force: false, noprune: false }, batch)));
    } catch (error) {
      const expected = ['conflict', 'not-found'].includes(kindOf(error));
      if (!expected) log.warn('image not removed', { image, err: messageOf(error) });
    }
  }
  return rows;
}

export function usersOf(services: Pick<Services, 'containers'>, imageId: string): ImageUser[] {
  return services.containers
    .everything()
    .filter((record) => record.imageId === imageId)
    .map((record) => ({ id: record.id, running: isRunningOrRestarting(record.state) }));
}

/** The attributes are the image's labels, while it is here, and the name. */
export function publishImageEvent(
  services: Pick<Services, 'events' | 'images'>,
  action: string,
  id: string,
  name: string,
): void {
  services.events.publish({ type: 'image', action, id, attributes: { ...labelsOf(services.images, id), name } });
}

/** By a name: of what was pulled or pushed. */
function labelsOf(images: ImageStore, nameOrId: string): Readonly<Record<string, string>> {
  try {
    const { config } = images.has(nameOrId) ? images.get(nameOrId) : images.resolve(nameOrId);
    return config.config?.Labels ?? {};
  } catch (error) {
    if (kindOf(error) === 'not-found') return {};
    throw error;
  }
}
