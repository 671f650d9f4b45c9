/** Removes images without a name, or with `dangling=false` all that no container needs; or tells what that would be. */
import type { Filters } from '#api/jobs/container.ts';
import type { ImagesPruneResponse } from '#api/types/disk-usage.ts';
import type { ImageDeleteItem } from '#api/types/image.ts';
import { booleanFilter } from '#pkg/filters/filters.ts';
import { type ImageGroup, imageGroups } from '../image/groups.ts';
import { removeWhole } from '../image/remove.ts';
import type { Services } from '../services.ts';
import { pruneConditions } from './conditions.ts';

export async function pruneImages(
  services: Services,
  filters: Filters,
  signal: AbortSignal,
): Promise<ImagesPruneResponse> {
  const selected = imagesToPrune(services, filters);
  const sizes = new Map<string, number>(services.layers.list().map((layer) => [layer.chainId, layer.size]));
  const batch = services.graph.trash.batch('prune');
  const deleted: ImageDeleteItem[] = [];
  for (const { id } of selected) {
    if (signal.aborted) break;
    // One that was removed as the parent of another is gone by now.
    if (services.images.has(id)) deleted.push(...(await removeWhole(services, id, batch)));
  }
  const reclaimed = deleted.reduce((sum, { Deleted = '' }) => sum + (sizes.get(Deleted) ?? 0), 0);
  services.events.publish({ type: 'image', action: 'prune', id: '', attributes: { reclaimed: String(reclaimed) } });
  return { ImagesDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: reclaimed };
}

/** What a prune with these filters would look at. Errors: invalid-parameter. */
export function imagesToPrune(services: Services, filters: Filters): ImageGroup[] {
  const { oldEnough, labelled, byAge } = pruneConditions(filters, services.images.now(), ['dangling']);
  const danglingOnly = booleanFilter(filters, 'dangling') ?? true;
  return imageGroups(services).filter(({ image, kept }) => {
    if (byAge && (image.created === undefined || !oldEnough(BigInt(image.created.getTime()) * 1_000_000n)))
      return false;
    if (!labelled(image.config.config?.Labels ?? null)) return false;
    // All its names stay with it: dockerd takes those away that it can.
    if (kept === 'container' || kept === 'locked') return false;
    const isNameless = image.tags.length + image.digests.length === 0;
    // A parent of others goes with the last of them.
    if (isNameless) return kept !== 'parent';
    return !danglingOnly || image.tags.length === 0;
  });
}
