/** Jobs on volumes. */
import type { Volume, VolumeCreateRequest, VolumeListResponse, VolumesPruneResponse } from '#api/types/volume.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';
import type { OutputStream } from './streams.ts';

/** Errors: invalid-parameter; conflict when another driver has the name; not-found for a driver that is not there. */
export const volumeCreate = defineJob<VolumeCreateRequest, Volume>('volume.create');
export const volumeList = defineJob<{ filters: Filters }, VolumeListResponse>('volume.list');
/** Errors: not-found `get X: no such volume`. */
export const volumeInspect = defineJob<{ volume: string; size: boolean }, Volume>('volume.inspect');
/** Errors: not-found; conflict while a container has it. With `force` a volume that is not there is no error. */
export const volumeRemove = defineJob<{ volume: string; force: boolean }, void>('volume.remove');
/** `named`: not only anonymous ones. Errors: conflict while another one runs. */
export const volumePrune = defineJob<{ filters: Filters; named: boolean }, VolumesPruneResponse>('volume.prune');

/** Beyond Docker. Writes a tar; errors: not-found. */
export const volumeExport = defineJob<{ volume: string; output: OutputStream }, void>('volume.export');
/** Makes the volume when it is not there, else adds to what is in it. Errors: data-loss for what is no tar. */
export const volumeImport = defineJob<{ volume: string; archive: AsyncIterable<Uint8Array> }, Volume>('volume.import');
/** Errors: conflict while something uses it, or when the name is taken. */
export const volumeRename = defineJob<{ volume: string; name: string }, void>('volume.rename');
/** A new volume with the same contents, options and labels. Errors: conflict when the name is taken. */
export const volumeClone = defineJob<{ volume: string; name: string }, Volume>('volume.clone');
