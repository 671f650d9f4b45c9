/** Removes images without a name, or with `dangling=false` all that no container needs. */
import type { Filters } from '#api/jobs/container.ts';
import type { ImagesPruneResponse } from '#api/types/disk-usage.ts';
import type { ImageDeleteItem } from '#api/types/image.ts';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import type { Image } from '#image/image.ts';
import { booleanFilter } from '#pkg/filters/filters.ts';
import { log } from '#pkg/log/log.ts';
import { removeNamed, usersOf } from '../image/remove.ts';
import type { Services } from '../services.ts';
import { pruneConditions } from './conditions.ts';

export async function pruneImages(
  services: Services,
  filters: Filters,
  signal: AbortSignal,
): Promise<ImagesPruneResponse> {
  const { oldEnough, labelled, byAge } = pruneConditions(filters, new Date(), ['dangling']);
  const danglingOnly = booleanFilter(filters, 'dangling') ?? true;
  const sizes = new Map<string, number>(services.layers.list().map((layer) => [layer.chainId, layer.size]));
  const deleted: ImageDeleteItem[] = [];
  for (const image of services.images.list()) {
    if (signal.aborted) break;
    if (byAge && (image.created === undefined || !oldEnough(BigInt(image.created.getTime()) * 1_000_000n))) continue;
    if (!labelled(image.config.config?.Labels ?? null)) continue;
    // One that was removed as the parent of another is gone by now.
    if (!services.images.has(image.id)) continue;
    // All its names stay with it: dockerd takes those away that it can.
    if (usersOf(services, image.id).length > 0) continue;
    for (const name of namesToRemove(services, image, danglingOnly))
      deleted.push(...(await removeUnused(services, name)));
  }
  const reclaimed = deleted.reduce((sum, { Deleted = '' }) => sum + (sizes.get(Deleted) ?? 0), 0);
  services.events.publish({ type: 'image', action: 'prune', id: '', attributes: { reclaimed: String(reclaimed) } });
  return { ImagesDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: reclaimed };
}

/** What to remove the image by: all its names, or its id when it has none. A parent of others goes with the last of them. */
function namesToRemove(services: Services, image: Image, danglingOnly: boolean): readonly string[] {
  const names = [...image.tags, ...image.digests];
  if (names.length === 0) return services.images.children(image.id).length > 0 ? [] : [image.id];
  return danglingOnly && image.tags.length > 0 ? [] : names;
}

/** Nothing when a container needs it. */
async function removeUnused(services: Services, name: string): Promise<ImageDeleteItem[]> {
  try {
    return await removeNamed(services, { image: name, force: false, noprune: false });
  } catch (error) {
    const expected = ['conflict', 'not-found'].includes(kindOf(error));
    if (!expected) log.warn('image not pruned', { image: name, err: messageOf(error) });
    return [];
  }
}
