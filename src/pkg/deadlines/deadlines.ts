/**
 * One timer for everything that has to happen later: a heap of deadlines on the monotonic clock, so that a jump of the
 * host's time moves nothing. Deadlines that lie close together are met in one awakening. With nothing to wait for there
 * is no timer.
 */
export interface DeadlineClock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls back once after `ms`; the result cancels. */
  after(ms: number, call: () => void): () => void;
}

export interface Deadline {
  cancel(): void;
}

interface Entry {
  readonly at: number;
  readonly call: () => void;
  queued: boolean;
  cancelled: boolean;
}

/** What is due within this time is done at once. */
const SLACK_MS = 15;
const TIMER_MAX_MS = 2 ** 31 - 1;

export const systemClock: DeadlineClock = {
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};

export class Deadlines {
  readonly #clock: DeadlineClock;
  /** Binary heap by `at`. */
  readonly #heap: Entry[] = [];
  #stopTimer: (() => void) | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #cancelled = 0;

  constructor(clock: DeadlineClock = systemClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  /** Calls back once, not before `ms` have passed (but up to the slack early when something else is due then). */
  in(ms: number, call: () => void): Deadline {
    const entry: Entry = { at: this.#clock.now() + Math.max(0, ms), call, queued: true, cancelled: false };
    this.#push(entry);
    this.#arm();
    return {
      cancel: () => {
        if (entry.cancelled) return;
        entry.cancelled = true;
        if (!entry.queued) return;
        this.#cancelled += 1;
        // Cancelled ones wait at their place: bounded by as many live ones.
        if (this.#cancelled > 64 && this.#cancelled * 2 > this.#heap.length) this.#sweep();
        if (this.#heap.length === this.#cancelled) this.#sweep();
      },
    };
  }

  /** Cancels everything. */
  stop(): void {
    for (const entry of this.#heap) entry.queued = false;
    this.#heap.length = 0;
    this.#cancelled = 0;
    this.#disarm();
  }

  get size(): number {
    return this.#heap.length - this.#cancelled;
  }

  #sweep(): void {
    const left = this.#heap.filter((entry) => !entry.cancelled);
    this.#heap.length = 0;
    this.#cancelled = 0;
    for (const entry of left) this.#push(entry);
    this.#arm();
  }

  #disarm(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined) return this.#disarm();
    if (this.#timerAt <= first.at) return;
    this.#disarm();
    this.#timerAt = first.at;
    const ms = Math.min(TIMER_MAX_MS, Math.max(0, Math.ceil(first.at - this.#clock.now())));
    this.#stopTimer = this.#clock.after(ms, () => this.#due());
  }

  #due(): void {
    this.#stopTimer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const limit = this.#clock.now() + SLACK_MS;
    const calls: (() => void)[] = [];
    for (let first = this.#heap[0]; first !== undefined && first.at <= limit; first = this.#heap[0]) {
      this.#pop();
      first.queued = false;
      if (first.cancelled) this.#cancelled -= 1;
      else {
        // An earlier call of this turn may cancel it.
        calls.push(() => {
          if (!first.cancelled) first.call();
        });
      }
    }
    this.#arm();
    for (const call of calls) call();
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.at <= entry.at) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      let smaller = left;
      if (right !== undefined && right.at < left.at) {
        child += 1;
        smaller = right;
      }
      if (smaller.at >= last.at) break;
      heap[at] = smaller;
      at = child;
    }
    heap[at] = last;
  }
}
