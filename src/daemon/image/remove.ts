/** `rmi` with what the daemon knows: which containers have the image, and whom to tell. */
import type { ImageDeleteItem } from '#api/types/image.ts';
import type { Platform } from '#content/descriptor.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import { type ImageUser, removeImage } from '#image/remove.ts';
import type { Services } from '../services.ts';

export function removeNamed(
  services: Services,
  input: {
    readonly image: string;
    readonly force: boolean;
    readonly noprune: boolean;
    readonly platforms?: readonly Platform[];
  },
): Promise<ImageDeleteItem[]> {
  return removeImage(services.images, {
    ...input,
    containersUsing: (id) => usersOf(services, id),
    collect: () => services.graph.collect(),
    onUntag: (id) => publishImageEvent(services, 'untag', id, id),
    onDelete: (id) => publishImageEvent(services, 'delete', id, id),
  });
}

export function usersOf(services: Pick<Services, 'containers'>, imageId: string): ImageUser[] {
  return services.containers
    .everything()
    .filter((record) => record.imageId === imageId)
    .map((record) => ({ id: record.id, running: isRunningOrRestarting(record.state) }));
}

export function publishImageEvent(services: Pick<Services, 'events'>, action: string, id: string, name: string): void {
  services.events.publish({ type: 'image', action, id, attributes: { name } });
}
