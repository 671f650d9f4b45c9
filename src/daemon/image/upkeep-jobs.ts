/** Installs Berth's own jobs on images. */
import * as upkeep from '#api/jobs/image-upkeep.ts';
import type { ImagePlan, TrashedImages } from '#api/types/image-upkeep.ts';
import { kindOf } from '#errdefs/errors.ts';
import { type BudgetPlan, planBudget } from '#graph/budget.ts';
import type { Removal } from '#graph/trash.ts';
import { canonicalString, familiarString, parseReference, withDefaultTag } from '#reference/reference.ts';
import { imagesToPrune } from '../prune/images.ts';
import type { Services } from '../services.ts';
import type { ImageGovernor } from './governor.ts';
import { imageGroups, layerSizes } from './groups.ts';
import { publishImageEvent } from './remove.ts';

export function installImageUpkeep(services: Services, governor: ImageGovernor): void {
  const { engine, images, graph } = services;
  engine.register(upkeep.imagePlan, ({ filters, budget }) =>
    budget ? describe(services, governor.plan()) : prunePlan(services, filters),
  );
  engine.register(upkeep.imageBudget, async (_, { signal }) => {
    const before = describe(services, governor.plan());
    const done = await governor.enforce(signal);
    const names = new Map(before.Images.map((image) => [image.Id, image]));
    const after = describe(services, done);
    return { ...after, Images: after.Images.map((image) => ({ ...image, Names: names.get(image.Id)?.Names ?? [] })) };
  });
  engine.register(upkeep.imageLock, ({ image, locked }) => {
    const { id } = images.resolve(image);
    graph.marks.setLocked(id, locked);
    publishImageEvent(services, locked ? 'lock' : 'unlock', id, image);
  });
  engine.register(upkeep.imageTrash, () => graph.trash.list().map(wireRemoval));
  engine.register(upkeep.imageTrashEmpty, async () => {
    const count = graph.trash.expire(true);
    await graph.collect();
    return { Removals: count };
  });
  engine.register(upkeep.imageUndo, ({ image }) => {
    const { ids, names, taken } = graph.trash.undo(images, image === '' ? undefined : wantedOf(image));
    for (const id of ids) publishImageEvent(services, 'undo', id, names[0] ?? id);
    return { Ids: [...ids], Names: [...names], Taken: [...taken] };
  });
  engine.register(upkeep.imageTree, async ({ image }) => {
    const { imageTree } = await import('./tree.ts');
    return imageTree(services, image);
  });
  engine.register(upkeep.imageOutdated, async ({ images: names, auths }, { signal }) => {
    const { outdatedImages } = await import('../auto-update/remote.ts');
    return outdatedImages(services, names, auths, signal);
  });
  engine.register(upkeep.imageAutoUpdate, async (input, { signal }) => {
    const { autoUpdate } = await import('../auto-update/auto-update.ts');
    return autoUpdate(services, input, signal);
  });
  engine.register(upkeep.imageDiff, async ({ from, to }, { signal }) => {
    const { diffImages } = await import('./diff.ts');
    return diffImages(services, from, to, signal);
  });
}

function wantedOf(text: string): { id: string; name: string | undefined } {
  try {
    return { id: text, name: canonicalString(withDefaultTag(parseReference(text))) };
  } catch (error) {
    if (kindOf(error) === 'invalid-parameter') return { id: text, name: undefined };
    throw error;
  }
}

/** As a budget of nothing for exactly those images: what is shared counts with the last that has it. */
function prunePlan(services: Services, filters: Parameters<typeof imagesToPrune>[1]): ImagePlan {
  const selected = new Set(imagesToPrune(services, filters).map(({ id }) => id));
  const all = imageGroups(services).map((group) => ({
    ...group,
    kept: selected.has(group.id) ? undefined : (group.kept ?? ('container' as const)),
  }));
  const state = { images: all, layerSizes: layerSizes(services), freeBytes: 0, nowMs: services.images.now().getTime() };
  const limits = { sizeBytesMax: -1, freeBytesMin: undefined, ageMsMax: undefined, keepLast: 0 };
  const plan = describe(services, planBudget(state, limits));
  return { ...plan, Images: plan.Images.map((image) => ({ ...image, Reason: 'prune' })), Unmet: [] };
}

function describe(services: Services, plan: BudgetPlan): ImagePlan {
  const groups = new Map(imageGroups(services).map((group) => [group.id, group]));
  return {
    Images: plan.evictions.map(({ id, reason, bytes }) => {
      const group = groups.get(id);
      return {
        Id: id,
        Names: group === undefined ? [] : [...group.image.tags, ...group.image.digests],
        Reason: reason,
        LastUsed: new Date(group?.usedMs ?? 0).toISOString(),
        Reclaims: bytes,
      };
    }),
    Reclaims: plan.evictions.reduce((sum, { bytes }) => sum + bytes, 0),
    TotalSize: plan.sizeBytes,
    Unmet: [...plan.unmet],
  };
}

function wireRemoval({ id, at, until, reason, images }: Removal): TrashedImages {
  return {
    Id: id,
    RemovedAt: at,
    Until: until,
    Reason: reason,
    Images: images.map((image) => ({
      Id: image.id,
      Names: image.names.map(({ name }) => familiarString(parseReference(name))),
    })),
  };
}
