/**
 * Things that are made before somebody needs them: what was taken is made again a moment later, while nobody waits. Each
 * is given away once; what nobody takes for a while is dropped, so that an idle process keeps none and sleeps.
 */
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';

const KINDS_MAX = 16;
/** A run of a short program is over by then. */
const REFILL_MS = 25;
const REST_MS = 10_000;

/** What can be made again. */
interface Kind<T> {
  readonly make: () => T;
  spare: T | undefined;
}

export interface SpareOptions {
  /** Calls `work` once, later, without keeping the process alive. */
  readonly later?: (work: () => void, ms: number) => void;
  readonly now?: () => number;
}

export class Spares<T> implements Disposable {
  /** The one taken last is the last. */
  readonly #kinds = new Map<string, Kind<T>>();
  readonly #undo: (spare: T) => void;
  readonly #later: (work: () => void, ms: number) => void;
  readonly #now: () => number;
  #refillPlanned = false;
  #restPlanned = false;
  #takenAt = 0;
  #disposed = false;

  /** `drop` undoes what `make` made. */
  constructor(drop: (spare: T) => void, options: SpareOptions = {}) {
    this.#undo = drop;
    this.#later = options.later ?? ((work, ms) => void setTimeout(work, ms).unref());
    this.#now = options.now ?? (() => performance.now());
  }

  /** One as `make` makes it, from now on the caller's; `key` names all that it depends on. What `make` throws is thrown. */
  take(key: string, make: () => T): T {
    const spare = this.#kinds.get(key)?.spare;
    this.#kinds.delete(key);
    const one = spare ?? make();
    if (this.#disposed) return one;
    this.#kinds.set(key, { make, spare: undefined });
    if (this.#kinds.size > KINDS_MAX) this.#dropOldest();
    this.#takenAt = this.#now();
    if (!this.#refillPlanned) {
      this.#refillPlanned = true;
      this.#later(() => this.#refill(), REFILL_MS);
    }
    return one;
  }

  #dropOldest(): void {
    for (const [key, { spare }] of this.#kinds) {
      if (spare !== undefined) this.#undo(spare);
      this.#kinds.delete(key);
      return;
    }
  }

  #refill(): void {
    this.#refillPlanned = false;
    if (this.#disposed) return;
    for (const [key, kind] of this.#kinds) {
      if (kind.spare !== undefined) continue;
      try {
        kind.spare = kind.make();
      } catch (error) {
        // Whoever needs it will make it, and be told.
        log.debug('a spare could not be made', { err: messageOf(error) });
        this.#kinds.delete(key);
      }
    }
    this.#planRest(REST_MS);
  }

  #planRest(ms: number): void {
    if (this.#restPlanned) return;
    this.#restPlanned = true;
    this.#later(() => {
      this.#restPlanned = false;
      const left = this.#takenAt + REST_MS - this.#now();
      if (left > 0) this.#planRest(left);
      else this.#drop();
    }, ms);
  }

  #drop(): void {
    for (const { spare } of this.#kinds.values()) if (spare !== undefined) this.#undo(spare);
    this.#kinds.clear();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#drop();
  }
}
