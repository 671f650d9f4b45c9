/**
 * A connection that became a raw two-way stream (attach, exec start). Nothing is written before `accept`; while somebody
 * holds the descriptor nobody writes here.
 */
import type { Connection } from '#api/jobs/streams.ts';
import type { ByteQueue } from './byte-queue.ts';
import type { Transport } from './transport.ts';
import type { WriteQueue } from './write-queue.ts';

interface HijackParts {
  readonly input: ByteQueue;
  readonly queue: WriteQueue;
  readonly transport: Transport;
  readonly closed: AbortSignal;
  readonly accept: (tty: boolean) => void;
  readonly ended: () => void;
}

export class HijackedConnection implements Connection {
  readonly #parts: HijackParts;
  #accepted = false;
  #ended = false;
  /** What `accept` was told. */
  tty = false;

  constructor(parts: HijackParts) {
    this.#parts = parts;
  }

  get input(): AsyncIterable<Uint8Array> {
    return this.#parts.input;
  }

  get closed(): AbortSignal {
    return this.#parts.closed;
  }

  get accepted(): boolean {
    return this.#accepted;
  }

  accept(tty: boolean): void {
    if (this.#accepted) return;
    this.#accepted = true;
    this.tty = tty;
    this.#parts.accept(tty);
  }

  write(bytes: Uint8Array): Promise<void> {
    if (!this.#accepted) throw new Error('a connection has to be accepted before something is written');
    if (this.#ended) return Promise.resolve();
    this.#parts.queue.write(bytes);
    return this.#parts.queue.room();
  }

  async descriptor(): Promise<number> {
    await this.#parts.queue.flushed();
    await this.#parts.transport.settled();
    return this.closed.aborted ? -1 : this.#parts.transport.fd;
  }

  end(): void {
    if (this.#ended || !this.#accepted) return;
    this.#ended = true;
    void this.#parts.queue.flushed().then(() => this.#parts.transport.shutdown());
  }

  /** The job is over: ends our direction and lets the connection go. */
  finish(): void {
    if (!this.#accepted) return;
    this.end();
    this.#parts.input.discard();
    this.#parts.ended();
  }
}
