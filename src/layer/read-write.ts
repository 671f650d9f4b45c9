/** A container's own layer, as it is used. */
import type { Change, GraphDriver, LayerMount, MountOptions } from '#graphdriver/driver.ts';
import type { ChainId } from './chain-id.ts';

export interface ReadWriteLayer {
  readonly containerId: string;
  readonly chainId: ChainId | undefined;
  /** Detached mount of the container's whole file system; with the maps of a user namespace where one is given. */
  mount(options?: MountOptions): LayerMount;
  /** Bytes that the container added. */
  size(signal?: AbortSignal): Promise<number>;
  /** Bytes of the image below. */
  virtualSize(): number;
  changes(): Promise<Change[]>;
  /** Where its own files lie; with vfs also those of the image. */
  directory(): string;
  /** For inspect's GraphDriver.Data. */
  metadata(): Record<string, string>;
}

export interface ReadWriteOptions {
  /** Of what is written. */
  readonly sizeBytes?: number | undefined;
  /** Stands on it instead of the layer, which is the snapshot's base. */
  readonly snapshot?: string | undefined;
  /** Shows this snapshot's files, which stands on the same, where it has none of its own. */
  readonly over?: string | undefined;
  readonly ofBuild?: boolean;
}

export function readWriteLayer(
  driver: GraphDriver,
  { containerId, chainId }: { readonly containerId: string; readonly chainId: ChainId | undefined },
  virtualSize: () => number,
): ReadWriteLayer {
  return {
    containerId,
    chainId,
    mount: (options) => driver.mount(containerId, options),
    size: (signal) => driver.diffSize(containerId, signal),
    virtualSize,
    changes: () => driver.changes(containerId),
    directory: () => driver.directory(containerId),
    metadata: () => driver.metadata(containerId),
  };
}
