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

export class Waiters {
  readonly #waiters = new Map<string, Set<Waiter>>();

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

  #settle(containerId: string, outcome: Outcome, concerns: (waiter: Waiter) => boolean): void {
    for (const waiter of this.#waiters.get(containerId) ?? []) {
      if (!concerns(waiter)) continue;
      this.#drop(containerId, waiter);
      waiter.resolve(outcome);
    }
  }
}
