/**
 * What a volume driver outside of the daemon does (a plugin). The local driver is no such thing: its volumes are
 * directories that the store makes and fills itself.
 *
 * Contract: every call ends within the driver's own limit, with an error that names the driver; `create` of a volume
 * that it has is no error; `mount` and `unmount` come in pairs per id, and `unmount` of what is not mounted may fail.
 */
import type { DriverOptions } from './local-options.ts';

export interface DriverVolume {
  readonly name: string;
  /** '' while it is mounted nowhere. */
  readonly mountpoint: string;
  readonly createdAt?: string;
  readonly status?: Readonly<Record<string, unknown>>;
}

export interface VolumeDriver {
  readonly name: string;
  readonly scope: 'local' | 'global';
  create(volume: string, options: DriverOptions): Promise<void>;
  remove(volume: string): Promise<void>;
  /** The host path where its contents are. */
  mount(volume: string, id: string): Promise<string>;
  unmount(volume: string, id: string): Promise<void>;
  /** undefined: it has no such volume. */
  get(volume: string): Promise<DriverVolume | undefined>;
  list(): Promise<DriverVolume[]>;
}

/** All drivers but `local`. */
export interface VolumeDrivers {
  /** Errors: not-found; those of asking it what it is. */
  get(name: string): Promise<VolumeDriver>;
  /** Those that answer, and what is to be told about the others. */
  all(): Promise<{ readonly drivers: VolumeDriver[]; readonly warnings: string[] }>;
  /** Names of those that were used or found. */
  names(): string[];
}
