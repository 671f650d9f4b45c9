/**
 * Bytes from a connection, read by one consumer as an AsyncIterable. The producer pushes what arrives and is told to
 * pause above HIGH_WATER and to resume when the consumer has caught up.
 */
const HIGH_WATER = 256 * 1024;

export interface Flow {
  pause(): void;
  resume(): void;
}

export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #flow: Flow;
  #chunks: Uint8Array[] = [];
  #queued = 0;
  #paused = false;
  #ended = false;
  #discarding = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  push(bytes: Uint8Array): void {
    if (this.#ended || this.#discarding || bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#queued += bytes.length;
    if (this.#queued > HIGH_WATER && !this.#paused) {
      this.#paused = true;
      this.#flow.pause();
    }
    this.#notify();
  }

  /** No more bytes come. With an error the consumer gets it after what is queued. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#notify();
  }

  /** What is queued, for another reader. */
  takeAll(): Uint8Array[] {
    const all = this.#chunks;
    this.#chunks = [];
    this.#queued = 0;
    this.#resume();
    return all;
  }

  /** Nobody reads any more: forgets what is queued and lets the rest flow into nothing. */
  discard(): void {
    this.#discarding = true;
    this.#chunks = [];
    this.#queued = 0;
    this.#resume();
    this.#notify();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#queued -= chunk.length;
        if (this.#queued <= HIGH_WATER / 2) this.#resume();
        yield chunk;
        continue;
      }
      if (this.#ended || this.#discarding) {
        if (this.#error !== undefined) throw this.#error;
        return;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#flow.resume();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
