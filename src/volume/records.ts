/** Documents and edges of volumes in graphdb. */
import { dataLoss } from '#errdefs/errors.ts';
import type { DriverOptions } from './local-options.ts';

export const VOLUME_KIND = 'volume';
/** A volume that is forgotten while its directory may still be there. */
export const REMOVAL_KIND = 'volume-removal';
/** A directory on its way to the name of a volume: { from }, by the volume's name. */
export const MOVE_KIND = 'volume-move';

export const LOCAL_DRIVER = 'local';
export const ANONYMOUS_LABEL = 'com.docker.volume.anonymous';

export interface VolumeRecord {
  readonly name: string;
  readonly driver: string;
  readonly scope: 'local' | 'global';
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: DriverOptions;
  readonly anonymous: boolean;
  /** Of a volume with `size`: who it is to the quota, whatever its name will be. */
  readonly quotaOwner?: string;
}

/** Errors: data-loss. */
export function decodeVolume(name: string, document: unknown): VolumeRecord {
  if (typeof document !== 'object' || document === null || Reflect.get(document, 'name') !== name) {
    throw dataLoss(`Cannot read volume "${name}": the document is not a volume`);
  }
  // as: only the store writes documents of this kind; the first ones had no driver and no options.
  const record = document as Omit<VolumeRecord, 'driver' | 'scope' | 'options'> & Partial<VolumeRecord>;
  return {
    ...record,
    driver: record.driver ?? LOCAL_DRIVER,
    scope: record.scope ?? 'local',
    options: record.options ?? {},
  };
}

/** Parent of the edges to containers that have it among their mounts. */
export const usersOf = (name: string): string => `volume-users/${name}`;
/** Parent of the edges to containers for which its driver was asked to mount it. */
export const mountsOf = (name: string): string => `volume-mounts/${name}`;
