/**
 * Who is reading or writing files of a container right now. While somebody is, its layer is not mounted a second time (two
 * overlays over one upper directory are undefined) nor removed: a start waits a while for them and then breaks them off,
 * a removal breaks them off at once.
 *
 * A lease is taken inside the container's queue, where starts and removals are too.
 */
import { conflict } from '#errdefs/errors.ts';

export interface Lease extends Disposable {
  /** Aborted when the files have to be let go of. */
  readonly signal: AbortSignal;
}

interface Held {
  readonly controller: AbortController;
  readonly over: Promise<void>;
}

/** How long a start waits for those who copy. */
const GRACE_MS = 10_000;

export class FileLeases {
  readonly #held = new Map<string, Set<Held>>();

  take(id: string): Lease {
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const held = { controller: new AbortController(), over };
    const all = this.#held.get(id) ?? new Set();
    all.add(held);
    this.#held.set(id, all);
    return {
      signal: held.controller.signal,
      [Symbol.dispose]: () => {
        all.delete(held);
        if (all.size === 0 && this.#held.get(id) === all) this.#held.delete(id);
        resolve();
      },
    };
  }

  /** Nobody has the files afterwards, unless a lease is taken meanwhile. */
  async breakOff(id: string, why: string): Promise<void> {
    const all = this.#held.get(id);
    if (all === undefined) return;
    for (const { controller } of all) controller.abort(conflict(`copying was broken off: ${why}`));
    await Promise.all([...all].map((held) => held.over));
  }

  /** As breakOff, but who is copying may finish first if that does not take long. */
  async freed(id: string, why: string, graceMs = GRACE_MS): Promise<void> {
    const all = this.#held.get(id);
    if (all === undefined) return;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, graceMs);
    await Promise.race([Promise.all([...all].map((held) => held.over)), late]);
    clearTimeout(timer);
    await this.breakOff(id, why);
  }
}
