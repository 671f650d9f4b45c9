/**
 * A build's steps as a cache for other builders: records by key and by origin (see steps/ensure.ts), and the layers that
 * they lead to. Layers that came from another cache and were never needed here are named as they were named there.
 */
import { type ContentLease } from '#content/leases.ts';
import type { Descriptor } from '#content/descriptor.ts';
import { MEDIA } from '#content/descriptor.ts';
import { messageOf, systemError } from '#errdefs/errors.ts';
import { chainIdOf, chainIds, type DiffId, EMPTY_DIFF_ID } from '#layer/chain-id.ts';
import type { LayerBlob } from '#layer/records.ts';
import type { TracedStage } from '../build-run.ts';
import { DEFAULT_COMPRESSION, type FinishedRun, type Finishing } from '../finishing.ts';
import { registered } from '../image.ts';
import type { CacheTarget, CompressionWish, ExportedLayer } from '../request.ts';
import type { MadeLayer } from '../state.ts';
import { exportedDigest } from '../steps/ensure.ts';
import {
  type CacheConfig,
  type CacheLayer,
  encodeCacheConfig,
  encodeInlineCache,
  INLINE_CACHE_FIELD,
} from './cache-config.ts';

/** Into every target. Errors: of a target that does not forgive them. */
export async function exportCaches(means: Finishing, finished: readonly FinishedRun[]): Promise<void> {
  const { request, control, content, signal } = means.session;
  using lease = content.lease({ purpose: 'build cache' });
  for (const target of request.cacheTargets) {
    try {
      const { config, layers } = await collect(means, finished, target, lease);
      control.progress.note(`exporting cache to ${target.name}`);
      await target.store(config, layers, signal);
    } catch (error) {
      if (signal.aborted || !target.ignoreErrors) throw error;
      control.progress.warning(`failed to export cache to ${target.name}: ${messageOf(error)}`);
    }
  }
}

/** The field of the image's configuration. Preconditions: its layers are registered. */
export async function inlineCacheOf(means: Finishing, finished: FinishedRun): Promise<Record<string, string>> {
  using lease = means.session.content.lease({ purpose: 'build cache' });
  const compression = means.session.request.imageWish.compression ?? DEFAULT_COMPRESSION;
  const { written } = await collect(means, [finished], { mode: 'min', compression }, lease);
  return { [INLINE_CACHE_FIELD]: encodeInlineCache(written).toString('base64') };
}

interface Collected {
  readonly config: Buffer;
  readonly written: CacheConfig;
  readonly layers: readonly ExportedLayer[];
}

async function collect(
  means: Finishing,
  finished: readonly FinishedRun[],
  target: Pick<CacheTarget, 'mode' | 'compression'>,
  lease: ContentLease,
): Promise<Collected> {
  const draft = new Draft(means, target.compression, lease);
  for (const { run, state } of finished) {
    const { session } = run;
    const traced = run.traced();
    const wanted = target.mode === 'max' ? traced : lineage(traced, run.target.index);
    for (const { state: end, steps } of wanted) {
      await session.chains.settled();
      const diffs = await diffsOf(means, { run, state }, end);
      for (const { state: after, parent } of steps) {
        const made = after.layers.map((layer) => diffs.get(layer) ?? session.cache.get(layer.key)?.diffId);
        // Cannot be told: made by another build just now, with another capture.
        if (made.some((diffId) => diffId === undefined)) continue;
        const stack = [...after.below, ...made].flatMap((diffId) =>
          diffId === undefined || diffId === EMPTY_DIFF_ID ? [] : [diffId],
        );
        const input = draft.record(exportedDigest(session, parent));
        const keys = new Set([exportedDigest(session, after.origin), exportedDigest(session, after.key)]);
        for (const key of keys) await draft.result(draft.record(key), stack, { input, createdAt: after.created });
      }
    }
  }
  if (target.mode === 'max') for (const { run } of finished) await passOn(draft, run);
  return draft.finish();
}

/** What a cache elsewhere has of stages that were not run: the next build wants it, too. */
async function passOn(draft: Draft, run: FinishedRun['run']): Promise<void> {
  const { session } = run;
  for (const { origin, parent } of run.skipped()) {
    const digest = exportedDigest(session, origin);
    const found = session.imported.any(digest);
    if (found === undefined) continue;
    const input = draft.record(exportedDigest(session, parent));
    await draft.result(draft.record(digest), found.diffIds, { input, createdAt: found.createdAt });
  }
}

/** A stage and those that it is FROM. */
function lineage(traced: readonly TracedStage[], index: number): readonly TracedStage[] {
  const stage = traced.find((entry) => entry.stage.index === index);
  if (stage === undefined) return [];
  return [...(stage.from === undefined ? [] : lineage(traced, stage.from.index)), stage];
}

/** DiffIds of a stage's own layers, which are registered above what is below them. */
async function diffsOf(
  means: Finishing,
  { run }: FinishedRun,
  end: TracedStage['state'],
): Promise<ReadonlyMap<MadeLayer, DiffId>> {
  if (end.layers.length === 0) return new Map();
  const { session } = run;
  const base = chainIdOf(end.below);
  await session.chains.needLayers(base);
  return registered(session, end, run.captures, means.lease);
}

interface DraftRecord {
  readonly digest: string;
  readonly results: { layers: number[]; createdAt: string | undefined }[];
  readonly inputs: Set<number>;
}

class Draft {
  readonly #means: Finishing;
  readonly #compression: CompressionWish;
  readonly #lease: ContentLease;
  readonly #layers: CacheLayer[] = [];
  readonly #exported: ExportedLayer[] = [];
  readonly #byChain = new Map<string, number>();
  readonly #records: DraftRecord[] = [];
  readonly #byDigest = new Map<string, number>();

  constructor(means: Finishing, compression: CompressionWish, lease: ContentLease) {
    this.#means = means;
    this.#compression = compression;
    this.#lease = lease;
  }

  record(digest: string): number {
    let index = this.#byDigest.get(digest);
    if (index === undefined) {
      index = this.#records.push({ digest, results: [], inputs: new Set() }) - 1;
      this.#byDigest.set(digest, index);
    }
    return index;
  }

  async result(
    index: number,
    stack: readonly DiffId[],
    { input, createdAt }: { readonly input: number; readonly createdAt: string | undefined },
  ): Promise<void> {
    const record = this.#records[index];
    if (record === undefined || record.results.length > 0) return;
    const layers: number[] = [];
    for (const [depth, chainId] of chainIds(stack).entries()) {
      let at = this.#byChain.get(chainId);
      if (at === undefined) {
        const { exported, diffId } = await this.#layer(stack, depth);
        const { digest, mediaType, size } = exported.descriptor;
        at = this.#layers.push({ blob: digest, parent: layers.at(-1) ?? -1, mediaType, diffId, size }) - 1;
        this.#exported.push(exported);
        this.#byChain.set(chainId, at);
      }
      layers.push(at);
    }
    if (layers.length > 0) record.results.push({ layers, createdAt });
    if (input !== index) record.inputs.add(input);
  }

  finish(): Collected {
    const records = this.#records.map(({ inputs, ...record }) => ({ ...record, inputs: [...inputs] }));
    const written = { layers: this.#layers, records };
    return { config: encodeCacheConfig(written), written, layers: this.#exported };
  }

  async #layer(
    stack: readonly DiffId[],
    depth: number,
  ): Promise<{ readonly exported: ExportedLayer; readonly diffId: DiffId }> {
    const { layers, backend, content, imported, chains, signal } = this.#means.session;
    const chainId = chainIds(stack)[depth];
    const diffId = stack[depth];
    if (chainId === undefined || diffId === undefined) throw systemError('a layer of no stack');
    const layer = layers.get(chainId);
    if (layer !== undefined) {
      this.#lease.add(layer.blob.digest);
      const blob = await backend.compress(layer.blob, { ...this.#compression, diffId }, this.#lease, signal);
      const descriptor = descriptorOf(blob);
      if (!content.has(blob.digest)) throw systemError(`the blob of layer ${diffId} is missing`);
      return { exported: { descriptor, ready: async () => undefined }, diffId };
    }
    // It came from a cache elsewhere, and nobody needed it.
    const known = imported.layerOf(chainId);
    if (known === undefined) throw systemError(`layer ${diffId} is neither here nor in a cache`);
    const { descriptor } = known.layer;
    const ready = async (): Promise<void> => {
      await chains.needLayers(chainId);
      if (!content.has(descriptor.digest)) throw systemError(`the blob of layer ${diffId} is missing`);
      this.#lease.add(descriptor.digest);
    };
    chains.promise(chainId, known.bring);
    return { exported: { descriptor, ready }, diffId };
  }
}

const types: Readonly<Record<LayerBlob['compression'], string>> = {
  plain: MEDIA.layer,
  gzip: MEDIA.layerGzip,
  zstd: MEDIA.layerZstd,
};

export const descriptorOf = ({ digest, size, compression }: LayerBlob): Descriptor => ({
  mediaType: types[compression],
  digest,
  size,
});
