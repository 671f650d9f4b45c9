/**
 * The one writer of a connection. Bytes go straight to the transport while it takes them; the rest is copied and waits
 * for `drain`. Producers await `room()`, so a client that stops reading holds at most HIGH_WATER bytes and what was
 * handed over in one piece.
 */
import type { Transport } from './transport.ts';

const HIGH_WATER = 256 * 1024;

export class WriteQueue {
  readonly #transport: Transport;
  #chunks: Uint8Array[] = [];
  /** Bytes of #chunks[0] that are out already. */
  #offset = 0;
  #queued = 0;
  #closed = false;
  #waiters: { limit: number; resolve: () => void }[] = [];

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  write(bytes: Uint8Array): void {
    if (this.#closed || bytes.length === 0) return;
    let taken = 0;
    if (this.#queued === 0) taken = Math.max(0, this.#transport.write(bytes));
    if (taken === bytes.length) return;
    const rest = bytes.slice(taken);
    this.#chunks.push(rest);
    this.#queued += rest.length;
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  /** Resolves when a producer may go on; also when the connection has closed. */
  room(): Promise<void> {
    return this.#below(HIGH_WATER);
  }

  /** Resolves when everything written so far is with the kernel; also when the connection has closed. */
  flushed(): Promise<void> {
    return this.#below(0);
  }

  drain(): void {
    while (this.#queued > 0) {
      const first = this.#chunks[0];
      if (first === undefined) break;
      const rest = this.#offset === 0 ? first : first.subarray(this.#offset);
      const taken = Math.max(0, this.#transport.write(rest));
      this.#queued -= taken;
      if (taken < rest.length) {
        this.#offset += taken;
        break;
      }
      this.#chunks.shift();
      this.#offset = 0;
    }
    this.#wake();
  }

  close(): void {
    this.#closed = true;
    this.#chunks = [];
    this.#queued = 0;
    this.#wake();
  }

  #below(limit: number): Promise<void> {
    if (this.#queued <= limit) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push({ limit, resolve });
    });
  }

  #wake(): void {
    if (this.#waiters.length === 0) return;
    const ready = this.#waiters.filter((w) => this.#queued <= w.limit);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter((w) => this.#queued > w.limit);
    for (const w of ready) w.resolve();
  }
}
