/**
 * Stacks of layers that a build stands on and that are not here yet: of caches from elsewhere. They are brought when
 * something needs their files, and only then.
 */
import type { ChainId } from '#layer/chain-id.ts';
import type { LayerLease, LayerStore } from '#layer/layer-store.ts';
import type { Standing } from '#layer/snapshots.ts';
import { throwIfAborted } from './abort.ts';

export type Bring = (signal: AbortSignal) => Promise<void>;

export class Chains {
  readonly #layers: Pick<LayerStore, 'get'>;
  readonly #lease: LayerLease;
  readonly #signal: AbortSignal;
  readonly #ways = new Map<ChainId, Bring>();
  readonly #brought = new Map<ChainId, Promise<void>>();

  /** `lease` keeps what is brought until the build is over. */
  constructor(layers: Pick<LayerStore, 'get'>, lease: LayerLease, signal: AbortSignal) {
    this.#layers = layers;
    this.#lease = lease;
    this.#signal = signal;
  }

  /** The stack can be had by `bring`. */
  promise(chainId: ChainId, bring: Bring): void {
    this.#lease.add(chainId);
    if (!this.#ways.has(chainId)) this.#ways.set(chainId, bring);
  }

  isHere({ snapshot, base }: Standing): boolean {
    return snapshot !== undefined || base === undefined || this.#layers.get(base) !== undefined;
  }

  /** The files of `on` are here when it settles. Errors: of bringing them. */
  async need(on: Standing): Promise<void> {
    if (on.snapshot === undefined) await this.needLayers(on.base);
  }

  async needLayers(chainId: ChainId | undefined): Promise<void> {
    if (chainId === undefined || this.#layers.get(chainId) !== undefined) return;
    throwIfAborted(this.#signal);
    let bringing = this.#brought.get(chainId);
    if (bringing === undefined) {
      const bring = this.#ways.get(chainId);
      // What is not promised is missing for a reason that its reader tells.
      if (bring === undefined) return;
      bringing = bring(this.#signal);
      this.#brought.set(chainId, bringing);
    }
    await bringing;
  }

  /** Nothing is under way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#brought.values());
  }
}
