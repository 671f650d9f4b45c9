/** Things by id that others may ask for before they are there: who asks waits for a while. */
import { cancelled } from '#errdefs/errors.ts';

export class Arrivals<T> {
  readonly #there = new Map<string, T>();
  readonly #waiting = new Map<string, Set<(value: T) => void>>();

  has(id: string): boolean {
    return this.#there.has(id);
  }

  get size(): number {
    return this.#there.size;
  }

  put(id: string, value: T): void {
    this.#there.set(id, value);
    for (const resolve of this.#waiting.get(id) ?? []) resolve(value);
    this.#waiting.delete(id);
  }

  /** Of this id and, when it is given, only when it is this one. */
  delete(id: string, value?: T): void {
    if (value === undefined || this.#there.get(id) === value) this.#there.delete(id);
  }

  /** Errors: `missing` when it does not come in time; cancelled. */
  async get(
    id: string,
    options: { readonly signal: AbortSignal; readonly waitMs: number; readonly missing: Error },
  ): Promise<T> {
    const there = this.#there.get(id);
    if (there !== undefined) return there;
    const { signal, waitMs, missing } = options;
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting);
    const came = Promise.withResolvers<T>();
    waiting.add(came.resolve);
    const timer = setTimeout(() => came.reject(missing), waitMs);
    const abort = () => came.reject(cancelled('the wait was cancelled'));
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    try {
      return await came.promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      waiting.delete(came.resolve);
      if (waiting.size === 0) this.#waiting.delete(id);
    }
  }
}
