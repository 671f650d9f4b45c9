/** Jobs on what takes up room: `system df` and the prunes (volumes have theirs in volume.ts). */
import type { ContainersPruneResponse, DiskUsage, ImagesPruneResponse } from '#api/types/disk-usage.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';

export const diskUsageTypes = ['container', 'image', 'volume', 'build-cache'] as const;
export type DiskUsageType = (typeof diskUsageTypes)[number];

export const systemDiskUsage = defineJob<{ types: ReadonlySet<DiskUsageType> }, DiskUsage>('system.df');

/** Errors: invalid-parameter for a filter; conflict while another prune of the same kind is under way. */
export const containerPrune = defineJob<{ filters: Filters }, ContainersPruneResponse>('container.prune');
export const imagePrune = defineJob<{ filters: Filters }, ImagesPruneResponse>('image.prune');
