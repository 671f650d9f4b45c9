/**
 * One FIFO per key: work for the same key runs one after the other in the order it was asked for; other keys are not
 * waited for. A key without work takes no memory.
 */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `work` when everything asked before it for `key` has settled. */
  run<T>(key: string, work: () => Promise<T> | T): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    const tail = mine.then(
      () => undefined,
      () => undefined,
    );
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return mine;
  }

  /** Number of keys with work. */
  get size(): number {
    return this.#tails.size;
  }
}
