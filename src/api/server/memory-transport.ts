/** A transport over memory, for tests of the server without a socket: what the server wrote, and a peer to play. */
import type { Accept, PeerFacts, Transport, TransportSink } from './transport.ts';

export class MemoryTransport implements Transport {
  readonly peer: PeerFacts;
  readonly fd = -1;
  readonly #sink: TransportSink;
  #written: Buffer[] = [];
  #room = Number.POSITIVE_INFINITY;
  paused = false;
  ended = false;
  gone = false;

  constructor(accept: Accept, peer: PeerFacts = { uid: 0, pid: 1, remote: '' }) {
    this.peer = peer;
    this.#sink = accept(this);
  }

  // ---- the peer's side ----

  send(text: string | Uint8Array): void {
    this.#sink.data(typeof text === 'string' ? Buffer.from(text, 'latin1') : Buffer.from(text));
  }

  sendEnd(): void {
    this.#sink.end();
  }

  sendClose(): void {
    this.gone = true;
    this.#sink.closed();
  }

  /** How many bytes are taken from now on before writes come up short. */
  limitRoom(bytes: number): void {
    this.#room = bytes;
  }

  makeRoom(bytes: number): void {
    this.#room += bytes;
    this.#sink.drain();
  }

  get received(): string {
    return Buffer.concat(this.#written).toString('latin1');
  }

  get receivedBytes(): number {
    return this.#written.reduce((sum, b) => sum + b.length, 0);
  }

  takeReceived(): string {
    const text = this.received;
    this.#written = [];
    return text;
  }

  // ---- the server's side ----

  write(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.#room);
    this.#room -= taken;
    if (taken > 0) this.#written.push(Buffer.from(bytes.subarray(0, taken)));
    return taken;
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  shutdown(): void {
    this.ended = true;
  }

  close(): void {
    this.ended = true;
    this.gone = true;
  }

  terminate(): void {
    this.gone = true;
  }
}
