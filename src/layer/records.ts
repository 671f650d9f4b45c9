/** The layer store's documents in graphdb, and their decoding. Edited records of older versions fail clearly. */
import type { Compression } from '#pkg/archive/compression.ts';
import { dataLoss } from '#errdefs/errors.ts';
import type { ChainId, DiffId } from './chain-id.ts';

export const LAYER_KIND = 'layer';
export const READ_WRITE_KIND = 'rw-layer';

/** What every reader of images knows; others are inflated before they are kept. */
export type KeptCompression = Exclude<Compression, 'xz' | 'bzip2'>;

/** The kept tar of a layer. */
export interface LayerBlob {
  readonly digest: string;
  readonly size: number;
  readonly compression: KeptCompression;
}

/** A read-only layer; its id is its ChainId. */
export interface Layer {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly parent: ChainId | undefined;
  /** The graph driver's id. */
  readonly cacheId: string;
  /** Bytes of regular files it brings. */
  readonly size: number;
  /** Bytes of its tar. */
  readonly tarSize: number;
  readonly blob: LayerBlob;
}

/** A container's layer; its id is the container's, also for the graph driver. */
export interface ReadWriteRecord {
  readonly chainId: ChainId | undefined;
  /** The snapshot it stands on instead of the layer. */
  readonly snapshot: string | undefined;
  /** See Snapshot. */
  readonly over: string | undefined;
  /** It is a step's of a build: what a crash leaves of it is nobody's. */
  readonly ofBuild: boolean;
}

export function encodeReadWrite({ chainId, snapshot, over, ofBuild }: ReadWriteRecord): unknown {
  return {
    chainId: chainId ?? null,
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(over === undefined ? {} : { over }),
    ...(ofBuild ? { ofBuild } : {}),
  };
}

export function encodeLayer(layer: Layer): unknown {
  return { ...layer, parent: layer.parent ?? null };
}

export function decodeLayer(id: string, document: unknown): Layer {
  const { chainId, diffId, parent, cacheId, size, tarSize, blob } = fieldsOf(document, `layer ${id}`);
  const { digest, size: blobSize, compression } = fieldsOf(blob, `layer ${id}`);
  if (
    chainId !== id ||
    typeof diffId !== 'string' ||
    (parent !== null && typeof parent !== 'string') ||
    typeof cacheId !== 'string' ||
    typeof size !== 'number' ||
    typeof tarSize !== 'number' ||
    typeof digest !== 'string' ||
    typeof blobSize !== 'number' ||
    (compression !== 'plain' && compression !== 'gzip' && compression !== 'zstd')
  ) {
    throw dataLoss(`Cannot read layer ${id}: its record is damaged`);
  }
  return {
    // as: written by encodeLayer with these brands.
    chainId: id as ChainId,
    diffId: diffId as DiffId,
    parent: parent === null ? undefined : (parent as ChainId),
    cacheId,
    size,
    tarSize,
    blob: { digest, size: blobSize, compression },
  };
}

export function decodeReadWrite(id: string, document: unknown): ReadWriteRecord {
  const { chainId, snapshot, over, ofBuild } = fieldsOf(document, `read-write layer ${id}`);
  const isName = (value: unknown): value is string | undefined => value === undefined || typeof value === 'string';
  if ((chainId !== null && typeof chainId !== 'string') || !isName(snapshot) || !isName(over)) {
    throw dataLoss(`Cannot read read-write layer ${id}: its record is damaged`);
  }
  // as: written by createReadWrite with this brand.
  return { chainId: chainId === null ? undefined : (chainId as ChainId), snapshot, over, ofBuild: ofBuild === true };
}

function fieldsOf(document: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof document !== 'object' || document === null) throw dataLoss(`Cannot read ${what}: its record is damaged`);
  // as: every object has string keys with unknown values.
  return document as Readonly<Record<string, unknown>>;
}
