/**
 * The configuration of a cache as BuildKit keeps it in registries and directories (`cacheconfig.v0`): layers with their
 * parents, and records that say which of them a step has made. It comes from strangers: everything is bounded, indexes
 * lead into the lists, and a chain of parents ends.
 */
import { dataLoss, messageOf } from '#errdefs/errors.ts';

export const CACHE_CONFIG_TYPE = 'application/vnd.buildkit.cacheconfig.v0';
/** Field of an image's configuration that has one (inline cache), in base64. */
export const INLINE_CACHE_FIELD = 'moby.buildkit.cache.v0';

export const CACHE_CONFIG_BYTES_MAX = 32 << 20;
const LAYERS_MAX = 20_000;
const RECORDS_MAX = 200_000;
const RESULTS_MAX = 100;
const DEPTH_MAX = 1000;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

export interface CacheLayer {
  readonly blob: string;
  /** Index of the layer below; -1: none. */
  readonly parent: number;
  readonly mediaType: string | undefined;
  readonly diffId: string | undefined;
  readonly size: number | undefined;
}

export interface CacheResult {
  /** Indexes of layers, bottom first. */
  readonly layers: readonly number[];
  readonly createdAt: string | undefined;
}

export interface CacheRecord {
  readonly digest: string;
  readonly results: readonly CacheResult[];
  /** Indexes of the records that it stands on. */
  readonly inputs: readonly number[];
}

export interface CacheConfig {
  readonly layers: readonly CacheLayer[];
  readonly records: readonly CacheRecord[];
}

type Fields = Readonly<Record<string, unknown>>;

const wrong = (why: string) => dataLoss(`invalid cache config: ${why}`);
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function listOf(value: unknown, what: string, max: number): readonly Fields[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrong(`${what} are no list`);
  if (value.length > max) throw wrong(`more than ${max} ${what}`);
  return value.map((entry: unknown) => {
    if (!isFields(entry)) throw wrong(`one of the ${what} is no object`);
    return entry;
  });
}

function indexOf(value: unknown, length: number, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value >= length) {
    throw wrong(`${what} is not in its list`);
  }
  return value;
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' && value.length <= 4096 ? value : undefined;

function digestIn(value: unknown): string {
  if (typeof value !== 'string' || !DIGEST.test(value)) throw wrong('a digest is none of sha256');
  return value;
}

function timeOf(value: unknown): string | undefined {
  const text = textOf(value);
  return text === undefined || Number.isNaN(Date.parse(text)) || text.startsWith('0001-') ? undefined : text;
}

/** Errors: data-loss naming what is wrong. */
export function decodeCacheConfig(bytes: Uint8Array): CacheConfig {
  if (bytes.length > CACHE_CONFIG_BYTES_MAX) throw wrong(`longer than ${CACHE_CONFIG_BYTES_MAX} bytes`);
  let document: unknown;
  try {
    document = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw dataLoss(`invalid cache config: ${messageOf(cause)}`, { cause });
  }
  if (!isFields(document)) throw wrong('not a JSON object');
  const rawLayers = listOf(document['layers'], 'layers', LAYERS_MAX);
  const layers = rawLayers.map((entry) => layerOf(entry, rawLayers.length));
  const chains = new Map<number, readonly number[]>();
  const rawRecords = listOf(document['records'], 'records', RECORDS_MAX);
  const records = rawRecords.map((entry): CacheRecord => {
    const single = listOf(entry['layers'], 'results', RESULTS_MAX).map((result): CacheResult => {
      const top = indexOf(result['layer'] ?? 0, layers.length, 'a layer of a result');
      return { layers: chainOf(layers, top, chains), createdAt: timeOf(result['createdAt']) };
    });
    const chained = listOf(entry['chains'], 'results', RESULTS_MAX).map((result): CacheResult => {
      const list = result['layers'];
      if (!Array.isArray(list) || list.length > DEPTH_MAX) throw wrong('the layers of a result are no list');
      const indexes = list.map((index: unknown) => indexOf(index, layers.length, 'a layer of a result'));
      return { layers: indexes, createdAt: timeOf(result['createdAt']) };
    });
    return {
      digest: digestIn(entry['digest']),
      results: [...single, ...chained],
      inputs: inputsOf(entry['inputs'], rawRecords.length),
    };
  });
  return { layers, records };
}

function layerOf(entry: Fields, length: number): CacheLayer {
  const { parent = 0, annotations } = entry;
  const about = isFields(annotations) ? annotations : {};
  const diffId = textOf(about['diffID']);
  if (diffId !== undefined && !DIGEST.test(diffId)) throw wrong('a diffID is none of sha256');
  const size = about['size'];
  return {
    blob: digestIn(entry['blob']),
    // Go leaves out a parent of 0.
    parent: parent === -1 ? -1 : indexOf(parent, length, 'the parent of a layer'),
    mediaType: textOf(about['mediaType']),
    diffId,
    size: typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : undefined,
  };
}

/** Bottom first. Errors: data-loss when parents go round. */
function chainOf(layers: readonly CacheLayer[], top: number, known: Map<number, readonly number[]>): readonly number[] {
  const above: number[] = [];
  let below: readonly number[] = [];
  for (let at = top; at >= 0; ) {
    const found = known.get(at);
    if (found !== undefined) {
      below = found;
      break;
    }
    above.push(at);
    if (above.length > DEPTH_MAX) throw wrong('a layer has too many below it, or stands on itself');
    at = layers[at]?.parent ?? -1;
  }
  const chain = [...below, ...above.reverse()];
  if (chain.length > DEPTH_MAX) throw wrong('a layer has too many below it');
  known.set(top, chain);
  return chain;
}

function inputsOf(value: unknown, length: number): readonly number[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrong('inputs are no list');
  return value.flatMap((alternatives: unknown) =>
    listOf(alternatives, 'inputs', RESULTS_MAX).map((input) =>
      indexOf(input['link'] ?? 0, length, 'an input of a record'),
    ),
  );
}

/** As BuildKit writes it: a parent of 0 and a result of layer 0 are there, too, which it reads the same. */
export function encodeCacheConfig({ layers, records }: CacheConfig): Buffer {
  const document = {
    layers: layers.map(({ blob, parent, mediaType, diffId, size }) => ({
      blob,
      parent,
      annotations: { mediaType, diffID: diffId, size },
    })),
    records: wireRecords(records, (chain) => chain.at(-1)),
  };
  return Buffer.from(JSON.stringify(document));
}

/** For an image's configuration: records alone, whose layers are counted from the image's lowest. */
export function encodeInlineCache({ records }: CacheConfig): Buffer {
  return Buffer.from(JSON.stringify(wireRecords(records, (chain) => chain.length - 1)));
}

function wireRecords(
  records: readonly CacheRecord[],
  layerOfChain: (chain: readonly number[]) => number | undefined,
): unknown {
  return records.map(({ digest, results, inputs }) => ({
    ...(results.length === 0
      ? {}
      : { layers: results.map(({ layers: chain, createdAt }) => ({ layer: layerOfChain(chain), createdAt })) }),
    digest,
    ...(inputs.length === 0 ? {} : { inputs: inputs.map((link) => [{ link }]) }),
  }));
}
