/** Jobs of Berth's own on images. */
import type {
  AutoUpdateResult,
  ImageDifference,
  ImagePlan,
  ImageTreeLayer,
  OutdatedImage,
  RestoredImages,
  TrashedImages,
} from '#api/types/image-upkeep.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';

/** What a prune with these filters, or the budget, would remove. */
export const imagePlan = defineJob<{ filters: Filters; budget: boolean }, ImagePlan>('image.plan');
/** Meets the budget now; answers what was done. */
export const imageBudget = defineJob<Record<string, never>, ImagePlan>('image.budget');
/** Errors: not-found. */
export const imageLock = defineJob<{ image: string; locked: boolean }, void>('image.lock');
export const imageTrash = defineJob<Record<string, never>, TrashedImages[]>('image.trash');
/** `image` '' undoes the last removal. Errors: not-found. */
export const imageUndo = defineJob<{ image: string }, RestoredImages>('image.undo');
export const imageTrashEmpty = defineJob<Record<string, never>, { Removals: number }>('image.trash.empty');
/** `image` '' is all of them. */
export const imageTree = defineJob<{ image: string }, ImageTreeLayer[]>('image.tree');
export const imageDiff = defineJob<{ from: string; to: string }, ImageDifference>('image.diff');
/** Of the named images, or of all with a name; `auths` is X-Registry-Config as it came. */
export const imageOutdated = defineJob<{ images: readonly string[]; auths: string }, OutdatedImage[]>('image.outdated');
export interface AutoUpdateInput {
  readonly dryRun: boolean;
  readonly auths: string;
  /** A container without health check has to run so long. */
  readonly settleMs: number;
  /** One with a check has to be healthy within. */
  readonly healthyMs: number;
}
export const imageAutoUpdate = defineJob<AutoUpdateInput, AutoUpdateResult[]>('image.auto-update', { longLived: true });
