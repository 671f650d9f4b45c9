/** Jobs on volumes. */
import type { Volume, VolumeCreateRequest, VolumeListResponse, VolumesPruneResponse } from '#api/types/volume.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';

/** Errors: invalid-parameter; conflict when another driver has the name; not-found for a driver that is not there. */
export const volumeCreate = defineJob<VolumeCreateRequest, Volume>('volume.create');
export const volumeList = defineJob<{ filters: Filters }, VolumeListResponse>('volume.list');
/** Errors: not-found `get X: no such volume`. */
export const volumeInspect = defineJob<{ volume: string; size: boolean }, Volume>('volume.inspect');
/** Errors: not-found; conflict while a container has it. With `force` a volume that is not there is no error. */
export const volumeRemove = defineJob<{ volume: string; force: boolean }, void>('volume.remove');
/** `named`: not only anonymous ones. Errors: conflict while another one runs. */
export const volumePrune = defineJob<{ filters: Filters; named: boolean }, VolumesPruneResponse>('volume.prune');
