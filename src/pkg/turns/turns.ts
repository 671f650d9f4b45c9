/**
 * Work that keeps the thread for milliseconds without a break, one piece in each turn of the event loop: what else has
 * come meanwhile, such as a short request of somebody else, is answered between two pieces and not after all of them.
 */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  readonly #nextTurn: (work: () => void) => void;
  #taken = false;

  /** `nextTurn` calls `work` once, in the next turn of the loop. */
  constructor(nextTurn: (work: () => void) => void = (work) => void setImmediate(work)) {
    this.#nextTurn = nextTurn;
  }

  /** At once when nobody has begun a piece in this turn, else in turn. What follows is one piece up to its next wait. */
  take(): Promise<void> {
    if (this.#taken) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#taken = true;
    this.#nextTurn(() => this.#pass());
    return Promise.resolve();
  }

  #pass(): void {
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#taken = false;
      return;
    }
    this.#nextTurn(() => this.#pass());
    next();
  }
}
