/** Jobs on volumes. Only anonymous volumes of containers until the volume issue. */
import type { Volume, VolumeListResponse } from '#api/types/volume.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';

export const volumeList = defineJob<{ filters: Filters }, VolumeListResponse>('volume.list');
/** Errors: not-found `get X: no such volume`. */
export const volumeInspect = defineJob<{ volume: string }, Volume>('volume.inspect');
