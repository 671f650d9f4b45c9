/** Jobs on volumes: those that containers make, anonymous or by name; the rest comes with the volume issue. */
import type { Volume, VolumeListResponse } from '#api/types/volume.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';

export const volumeList = defineJob<{ filters: Filters }, VolumeListResponse>('volume.list');
/** Errors: not-found `get X: no such volume`. */
export const volumeInspect = defineJob<{ volume: string }, Volume>('volume.inspect');
/** Errors: not-found; conflict while a container has it. With `force` a volume that is not there is no error. */
export const volumeRemove = defineJob<{ volume: string; force: boolean }, void>('volume.remove');
