/**
 * How layers come to be: unpacked in parallel by the archive pool, checked against their DiffIds, renamed into place
 * bottom first, synced once, then recorded. A driver whose layers need their parent's files (vfs) gets them one by one.
 *
 * `prepareLayer` starts before the stack is known (a layer arrives before the manifest that names it); its work is used
 * by `registerLayers` or dropped when it is disposed.
 */
import * as fs from 'node:fs';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import * as path from 'node:path';
import { dataLoss } from '#errdefs/errors.ts';
import type { DiffTarget, GraphDriver } from '#graphdriver/driver.ts';
import type { Compression } from '#pkg/archive/compression.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { type ChainId, chainIds, type DiffId } from './chain-id.ts';
import type { KeptCompression, Layer } from './records.ts';

export interface LayerSource {
  readonly diffId: DiffId;
  /** What the file itself must hash to, where the source says so. */
  readonly blobDigest?: string | undefined;
  /** File with the layer's tar; not read when the layer exists or `prepared` has it. */
  readonly file: string;
  readonly prepared?: PreparedLayer | undefined;
}

/** A layer that is unpacked already, in a directory whose parent is decided later. */
export interface PreparedLayer extends AsyncDisposable {
  readonly result: ArchiveResult;
  /** Undefined when only the digests are known: the driver needs the parent first, or the layer was here already. */
  readonly target: PreparedTarget | undefined;
}

export interface PreparedTarget {
  readonly cacheId: string;
  readonly diff: DiffTarget;
}

interface Means {
  readonly driver: GraphDriver;
  readonly pool: ArchivePool;
  /** Whether the archives of layers may go: then what their files do not say of them is recorded. */
  readonly recordsTars?: boolean | undefined;
}

/** Beside a layer's files; see pkg/archive/tar-record.ts. */
const TAR_RECORD = 'tar-record';

export const tarRecordOf = (directory: string): string => path.join(path.dirname(directory), TAR_RECORD);

/** Only where a layer's directory has the layer's files alone. */
const recordFor = ({ recordsTars }: Pick<Means, 'recordsTars'>, diff: DiffTarget): string | undefined =>
  recordsTars === true && diff.whiteouts === 'overlay' ? tarRecordOf(diff.path) : undefined;

interface RegisterMeans extends Means {
  existing(chainId: ChainId): Layer | undefined;
  record(layers: readonly Layer[]): void;
  /**
   * One after the other: from the look at what exists to the record. Else a layer could be put on top of a parent that
   * somebody else, having brought the same one, records in its place.
   */
  exclusive<T>(work: () => Promise<T>): Promise<T>;
}

/** A file whose content is on the disk and hashes to `digest`. */
export interface VerifiedFile {
  readonly file: string;
  readonly digest: string;
}

export interface RegisterOptions {
  readonly lease: { add(chainId: ChainId): void };
  /**
   * Takes the tars of new layers into the content store, before the layers are recorded. Whoever gives it holds a lease
   * that names them from then on.
   */
  readonly keep: (files: readonly VerifiedFile[]) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

const newCacheId = (): string => randomBytes(32).toString('hex');

/** Only the digests. */
export async function measureLayer(
  means: Means,
  file: string,
  signal: AbortSignal | undefined,
): Promise<PreparedLayer> {
  const result = await keepable(means, file, await means.pool.run({ kind: 'measure', file }, { signal }), signal);
  return { result, target: undefined, [Symbol.asyncDispose]: async () => undefined };
}

export async function prepareLayer(
  means: Means,
  file: string,
  signal: AbortSignal | undefined,
): Promise<PreparedLayer> {
  if (means.driver.needsParentFirst) return measureLayer(means, file, signal);
  const cacheId = newCacheId();
  const diff = await means.driver.diffTarget(cacheId, undefined);
  try {
    const record = recordFor(means, diff);
    const job = { kind: 'unpack', file, target: diff.path, whiteouts: diff.whiteouts, record } as const;
    const result = await keepable(means, file, await means.pool.run(job, { signal }), signal);
    failpoint('load.layer-unpacked');
    return { result, target: { cacheId, diff }, [Symbol.asyncDispose]: () => diff[Symbol.asyncDispose]() };
  } catch (error) {
    await diff[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Blobs are kept as what every reader of images knows. Others (xz, bzip2) are known only from `load` and `import`: their
 * file is replaced by the tar that is in it.
 */
async function keepable(
  means: Means,
  file: string,
  result: ArchiveResult,
  signal: AbortSignal | undefined,
): Promise<ArchiveResult> {
  if (isKept(result.compression)) return result;
  const inflated = `${file}.tar`;
  try {
    await means.pool.inflate(file, inflated, { signal });
    await fs.promises.rename(inflated, file);
  } finally {
    await fs.promises.rm(inflated, { force: true });
  }
  return { ...result, compression: 'plain', blobDigest: result.diffId, blobSize: result.tarSize };
}

export type FillLayer = (
  target: (Pick<DiffTarget, 'path' | 'whiteouts'> & { readonly record: string | undefined }) | undefined,
) => Promise<ArchiveResult>;

/** See LayerStore.prepareBy. */
export async function prepareLayerBy(
  { driver, recordsTars }: Pick<Means, 'driver' | 'recordsTars'>,
  fill: FillLayer,
): Promise<PreparedLayer> {
  if (driver.needsParentFirst) {
    return { result: await fill(undefined), target: undefined, [Symbol.asyncDispose]: async () => undefined };
  }
  const cacheId = newCacheId();
  const diff = await driver.diffTarget(cacheId, undefined);
  try {
    const result = await fill({ path: diff.path, whiteouts: diff.whiteouts, record: recordFor({ recordsTars }, diff) });
    return { result, target: { cacheId, diff }, [Symbol.asyncDispose]: () => diff[Symbol.asyncDispose]() };
  } catch (error) {
    await diff[Symbol.asyncDispose]();
    throw error;
  }
}

/** See LayerStore.register. */
export async function registerLayers(
  means: RegisterMeans,
  sources: readonly LayerSource[],
  options: RegisterOptions,
): Promise<Layer[]> {
  const chain = chainIds(sources.map((source) => source.diffId));
  for (const chainId of chain) options.lease.add(chainId);
  const missing = sources.flatMap((source, index) => {
    const chainId = chain[index];
    assert(chainId !== undefined);
    return means.existing(chainId) === undefined ? [{ source, chainId, index }] : [];
  });
  await using made = new AsyncDisposableStack();
  if (means.driver.needsParentFirst) {
    return await means.exclusive(() => registerOneByOne(means, sources, chain, options));
  }
  // One failure stops the others; all have settled before their directories are dropped.
  const failed = new AbortController();
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
  const settled = await Promise.allSettled(
    missing.map(async ({ source }) => {
      try {
        // Without files it was known, but not on top of this stack.
        if (source.prepared?.target !== undefined) return source.prepared;
        return made.use(await prepareLayer(means, source.file, signal));
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
  for (const [i, outcome] of settled.entries()) {
    if (outcome.status === 'rejected') throw failed.signal.reason ?? outcome.reason;
    const entry = missing[i];
    assert(entry !== undefined);
    checkDigests(entry.index, entry.source, outcome.value.result);
  }
  const ready = settled.flatMap((outcome, i) => {
    const entry = missing[i];
    assert(entry !== undefined && outcome.status === 'fulfilled');
    return [{ ...entry, prepared: outcome.value }];
  });
  // Awaited here: what was made is dropped when this scope ends.
  return await means.exclusive(() => commitAll(means, chain, ready, options));
}

interface Ready {
  readonly source: LayerSource;
  readonly chainId: ChainId;
  readonly index: number;
  readonly prepared: PreparedLayer;
}

async function commitAll(
  means: RegisterMeans,
  chain: readonly ChainId[],
  ready: readonly Ready[],
  options: RegisterOptions,
): Promise<Layer[]> {
  await using committed = new Committed(means);
  for (const { source, chainId, index, prepared } of ready) {
    // The same layer may have come in by somebody else meanwhile: theirs stays, ours is dropped.
    if (means.existing(chainId) !== undefined) continue;
    const { result, target } = prepared;
    assert(target !== undefined, 'a driver that unpacks in any order gives a target');
    const parent = index === 0 ? undefined : chain[index - 1];
    await target.diff.commit(parent === undefined ? undefined : committed.cacheIdOf(parent));
    committed.add(layerOf(chainId, parent, target.cacheId, result), source.file);
  }
  return await committed.record(chain, options.keep);
}

/** Layers whose directories exist and whose records do not yet: recorded together after one sync, or removed. */
class Committed implements AsyncDisposable {
  readonly #means: RegisterMeans;
  #layers: Layer[] = [];
  readonly #files = new Map<Layer, string>();

  constructor(means: RegisterMeans) {
    this.#means = means;
  }

  add(layer: Layer, file: string): void {
    this.#layers.push(layer);
    this.#files.set(layer, file);
  }

  cacheIdOf(chainId: ChainId): string | undefined {
    return (this.#layers.find((layer) => layer.chainId === chainId) ?? this.#means.existing(chainId))?.cacheId;
  }

  async record(chain: readonly ChainId[], keep: RegisterOptions['keep']): Promise<Layer[]> {
    const { driver, existing, record } = this.#means;
    if (this.#layers.length > 0) {
      await driver.sync();
      const fresh = this.#layers;
      await keep(fresh.map((layer) => ({ file: this.#files.get(layer) ?? '', digest: layer.blob.digest })));
      failpoint('load.blob-written');
      record(fresh);
      this.#layers = [];
      failpoint('load.layer-recorded');
    }
    return chain.map((chainId) => {
      const layer = existing(chainId);
      assert(layer !== undefined, 'every layer of the stack is recorded');
      return layer;
    });
  }

  /** What was not recorded goes, topmost first. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const layer of this.#layers.reverse()) await this.#means.driver.remove(layer.cacheId);
  }
}

async function registerOneByOne(
  means: RegisterMeans,
  sources: readonly LayerSource[],
  chain: readonly ChainId[],
  options: RegisterOptions,
): Promise<Layer[]> {
  await using committed = new Committed(means);
  for (const [index, source] of sources.entries()) {
    const chainId = chain[index];
    assert(chainId !== undefined);
    if (means.existing(chainId) !== undefined) continue;
    const parent = index === 0 ? undefined : chain[index - 1];
    const cacheId = newCacheId();
    await using diff = await means.driver.diffTarget(
      cacheId,
      parent === undefined ? undefined : committed.cacheIdOf(parent),
    );
    const job = { kind: 'unpack', file: source.file, target: diff.path, whiteouts: diff.whiteouts } as const;
    const { signal } = options;
    const result = await keepable(means, source.file, await means.pool.run(job, { signal }), signal);
    failpoint('load.layer-unpacked');
    checkDigests(index, source, result);
    await diff.commit();
    committed.add(layerOf(chainId, parent, cacheId, result), source.file);
  }
  return await committed.record(chain, options.keep);
}

export const isKept = (kind: Compression): kind is KeptCompression => kind !== 'xz' && kind !== 'bzip2';

function layerOf(chainId: ChainId, parent: ChainId | undefined, cacheId: string, result: ArchiveResult): Layer {
  const { compression } = result;
  assert(isKept(compression), 'what is kept has been inflated');
  return {
    chainId,
    // as: checked against the wanted DiffId before.
    diffId: result.diffId as DiffId,
    parent,
    cacheId,
    size: result.counts.bytes,
    tarSize: result.tarSize,
    blob: { digest: result.blobDigest, size: result.blobSize, compression },
  };
}

function checkDigests(index: number, source: LayerSource, result: ArchiveResult): void {
  if (source.blobDigest !== undefined && result.blobDigest !== source.blobDigest) {
    throw dataLoss(`invalid image archive: the content of blob ${source.blobDigest} is not what its name says`);
  }
  if (result.diffId !== source.diffId) {
    throw dataLoss(`invalid diffID for layer ${index}: expected "${source.diffId}", got "${result.diffId}"`);
  }
}
