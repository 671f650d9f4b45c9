/** Who waits for a container: for its next exit, for it not to run, for it to be gone. Nothing here polls. */
import type { WaitCondition } from '#api/jobs/container.ts';

export interface Outcome {
  readonly exitCode: number;
  /** Why the code is not the process's own; '' otherwise. */
  readonly error: string;
}

interface Waiter {
  readonly condition: WaitCondition;
  readonly resolve: (outcome: Outcome) => void;
}

/** Of containers that removed themselves; the newest. */
const GONE_MAX = 64;
const GONE_MS = 10_000;

export class Waiters {
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #gone = new Map<string, { readonly outcome: Outcome; readonly at: number }>();

  /** Stands until the condition comes true or `signal` aborts (then it rejects with the signal's reason). */
  wait(containerId: string, condition: WaitCondition, signal?: AbortSignal): Promise<Outcome> {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const waiter: Waiter = { condition, resolve };
    const ofContainer = this.#waiters.get(containerId) ?? new Set();
    this.#waiters.set(containerId, ofContainer);
    ofContainer.add(waiter);
    const abort = (): void => {
      this.#drop(containerId, waiter);
      reject(signal?.reason instanceof Error ? signal.reason : new Error('the wait was aborted'));
    };
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    return promise.finally(() => signal?.removeEventListener('abort', abort));
  }

  #drop(containerId: string, waiter: Waiter): void {
    const ofContainer = this.#waiters.get(containerId);
    ofContainer?.delete(waiter);
    if (ofContainer?.size === 0) this.#waiters.delete(containerId);
  }

  /** The first process has ended. */
  exited(containerId: string, outcome: Outcome): void {
    this.#settle(containerId, outcome, (waiter) => waiter.condition !== 'removed');
  }

  /** The container is gone: nobody can wait for anything else of it either. */
  removed(containerId: string, outcome: Outcome): void {
    this.#settle(containerId, outcome, () => true);
  }

  /**
   * It removed itself (`--rm`). Clients that start it and wait for it afterwards (dockerode) count on a removal that
   * takes longer than their next request: for some seconds they are still told how it ended.
   */
  removedItself(containerId: string, outcome: Outcome): void {
    this.#gone.set(containerId, { outcome, at: performance.now() });
    for (const [id] of this.#gone) {
      if (this.#gone.size <= GONE_MAX) break;
      this.#gone.delete(id);
    }
    this.removed(containerId, outcome);
  }

  /** How a container ended that has just removed itself. */
  outcomeOf(containerId: string): Outcome | undefined {
    const gone = this.#gone.get(containerId);
    return gone !== undefined && performance.now() - gone.at < GONE_MS ? gone.outcome : undefined;
  }

  #settle(containerId: string, outcome: Outcome, concerns: (waiter: Waiter) => boolean): void {
    for (const waiter of this.#waiters.get(containerId) ?? []) {
      if (!concerns(waiter)) continue;
      this.#drop(containerId, waiter);
      waiter.resolve(outcome);
    }
  }
}
