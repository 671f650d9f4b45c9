/**
 * Results of steps that other builders have made, by the digest of what the step means. What is found is a stack of
 * layers by their DiffIds; it counts only where it extends the stack that the step stands on, and its bytes are checked
 * against those DiffIds when they are brought. So an entry can be wrong for its own step only, never for another's.
 */
import { type ChainId, chainIds, type DiffId, isDiffId } from '#layer/chain-id.ts';
import { BerthError, kindOf, messageOf } from '#errdefs/errors.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import type { CacheSource, CachedLayer } from '../request.ts';
import { decodeCacheConfig } from './cache-config.ts';

export interface ImportedResult {
  readonly diffIds: readonly DiffId[];
  readonly layers: readonly CachedLayer[];
  /** ISO 8601. */
  readonly createdAt: string | undefined;
  /** Where it comes from, for people. */
  readonly source: string;
  /** Puts the layers into the store. Errors: of the source; data-loss when they are not what they should be. */
  readonly bring: (signal: AbortSignal) => Promise<void>;
}

export class ImportedCache {
  readonly #results = new Map<string, ImportedResult[]>();
  readonly #byChain = new Map<ChainId, { readonly layer: CachedLayer; readonly bring: ImportedResult['bring'] }>();

  static readonly none = new ImportedCache();

  /** What cannot be had is told as a warning: the build goes on without it. */
  static async load(
    sources: readonly CacheSource[],
    tell: { note(text: string): void; warning(text: string): void },
    signal: AbortSignal,
  ): Promise<ImportedCache> {
    const imported = new ImportedCache();
    const loaded = await Promise.allSettled(
      sources.map(async (source) => ({ source, caches: await source.load(signal) })),
    );
    signal.throwIfAborted();
    for (const [index, outcome] of loaded.entries()) {
      const { name = '' } = sources[index] ?? {};
      if (outcome.status === 'rejected') {
        tell.warning(`importing cache manifest from ${name} failed: ${messageOf(outcome.reason)}`);
        log.info('a cache could not be imported', { from: name, err: messageOf(outcome.reason) });
        continue;
      }
      try {
        const steps = outcome.value.caches.reduce((sum, cache) => sum + imported.add(name, cache), 0);
        tell.note(`importing cache manifest from ${name}: ${steps} steps`);
      } catch (error) {
        tell.warning(`importing cache manifest from ${name} failed: ${messageOf(error)}`);
      }
    }
    return imported;
  }

  get isEmpty(): boolean {
    return this.#results.size === 0;
  }

  /** Answers how many results came. Errors: data-loss. */
  add(source: string, cache: Awaited<ReturnType<CacheSource['load']>>[number]): number {
    const config = decodeCacheConfig(cache.config);
    let count = 0;
    for (const { digest, results } of config.records) {
      for (const { layers: indexes, createdAt } of results) {
        const layers = indexes.flatMap((index): CachedLayer[] => {
          const layer = config.layers[index];
          const known = layer === undefined ? undefined : cache.layers.get(layer.blob);
          const diffId = layer?.diffId ?? known?.diffId;
          if (known === undefined || diffId === undefined || !isDiffId(diffId)) return [];
          return [{ ...known, diffId }];
        });
        // One that cannot be had is none.
        if (layers.length !== indexes.length || layers.length === 0) continue;
        const diffIds = layers.map(({ diffId }) => diffId);
        const bring = (signal: AbortSignal): Promise<void> => named(source, diffIds, cache.bring(layers, signal));
        const result = { diffIds, layers, createdAt, source, bring };
        const others = this.#results.get(digest);
        if (others === undefined) this.#results.set(digest, [result]);
        else others.push(result);
        count += 1;
      }
    }
    return count;
  }

  /** One that stands on `below` and adds at most one layer. */
  find(digest: string, below: readonly DiffId[]): ImportedResult | undefined {
    const found = this.#results
      .get(digest)
      ?.find(
        ({ diffIds }) =>
          diffIds.length >= below.length &&
          diffIds.length <= below.length + 1 &&
          below.every((diffId, index) => diffIds[index] === diffId),
      );
    if (found !== undefined) this.#note(found);
    return found;
  }

  /** Layers of what was found: each can be had by itself. */
  #note({ diffIds, layers, bring }: ImportedResult): void {
    for (const [index, chainId] of chainIds(diffIds).entries()) {
      const layer = layers[index];
      if (layer !== undefined && !this.#byChain.has(chainId)) this.#byChain.set(chainId, { layer, bring });
    }
  }

  /** For any stack: of a stage that nobody needed the files of. */
  any(digest: string): ImportedResult | undefined {
    const [found] = this.#results.get(digest) ?? [];
    if (found !== undefined) this.#note(found);
    return found;
  }

  /**
   * Forgets what stands on these layers, or all that came from there. False: nothing did. A layer below may be the bad
   * one; then what stands on that is next.
   */
  drop({ source, diffIds }: UnusableLayers, all: boolean): boolean {
    let dropped = false;
    for (const [digest, results] of this.#results) {
      const left = results.filter(
        (result) => result.source !== source || !(all || diffIds.every((diffId, at) => result.diffIds[at] === diffId)),
      );
      dropped ||= left.length < results.length;
      if (left.length > 0) this.#results.set(digest, left);
      else this.#results.delete(digest);
    }
    this.#byChain.clear();
    return dropped;
  }

  layerOf(chainId: ChainId): { readonly layer: CachedLayer; readonly bring: ImportedResult['bring'] } | undefined {
    return this.#byChain.get(chainId);
  }

  /** Whether there is one for any stack. */
  has(digest: string): boolean {
    return this.#results.has(digest);
  }
}

/** Layers of a cache cannot be had, or are not what they should be: the build can do without them. */
export class UnusableLayers extends BerthError {
  readonly source: string;
  readonly diffIds: readonly DiffId[];

  constructor(source: string, diffIds: readonly DiffId[], cause: unknown) {
    super(kindOf(cause), `a layer of the cache ${source} cannot be used: ${messageOf(cause)}`, { cause });
    this.source = source;
    this.diffIds = diffIds;
  }
}

async function named(source: string, diffIds: readonly DiffId[], bringing: Promise<void>): Promise<void> {
  try {
    await bringing;
    failpoint('build.cache-brought');
  } catch (error) {
    if (kindOf(error) === 'cancelled') throw error;
    throw new UnusableLayers(source, diffIds, error);
  }
}
