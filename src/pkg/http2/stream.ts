/**
 * One request and its answer within an HTTP/2 connection. Both ends are the same here: headers, a body, trailers in
 * each direction. What comes is kept until it is read, at most a window of it; what is sent waits for the peer's
 * windows.
 */
import { errorCodes } from './frames.ts';
import type { HeaderField } from './hpack.ts';

export type Headers = ReadonlyMap<string, string>;

/** The stream was ended by a reset, or with its connection. */
export class StreamClosed extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** What a stream needs of its connection. */
export interface StreamPort {
  sendHeaders(stream: Http2Stream, fields: readonly HeaderField[], end: boolean): Promise<void>;
  sendData(stream: Http2Stream, bytes: Uint8Array, end: boolean): Promise<void>;
  sendReset(stream: Http2Stream, code: number): void;
  /** So much of what came was read. */
  consumed(stream: Http2Stream, bytes: number): void;
}

export class Http2Stream {
  readonly id: number;
  readonly #port: StreamPort;
  readonly #headers = Promise.withResolvers<Headers>();
  readonly #trailers = Promise.withResolvers<Headers>();
  readonly #closed = new AbortController();
  readonly #chunks: Uint8Array[] = [];
  #waiting: (() => void) | undefined;
  #headersCame = false;
  #ended = false;
  #sentEnd = false;
  #failure: StreamClosed | undefined;
  /** What the peer still takes of us. */
  sendWindow: number;
  /** What we still take of the peer. */
  receiveWindow: number;
  /** Read, and not yet given back to the peer. */
  unacknowledged = 0;

  constructor(id: number, port: StreamPort, windows: { readonly send: number; readonly receive: number }) {
    this.id = id;
    this.#port = port;
    this.sendWindow = windows.send;
    this.receiveWindow = windows.receive;
    // Nobody has to wait for either.
    this.#headers.promise.catch(() => {});
    this.#trailers.promise.catch(() => {});
  }

  /** The first headers of the peer. Throws StreamClosed. */
  get headers(): Promise<Headers> {
    return this.#headers.promise;
  }

  /** What came behind the body; empty when nothing did. Settles once the peer has ended its direction. */
  get trailers(): Promise<Headers> {
    return this.#trailers.promise;
  }

  /** Aborted when the stream was reset or its connection ended; not when it ended as it should. */
  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  get open(): boolean {
    return this.#failure === undefined;
  }

  /** Both directions have ended. */
  get complete(): boolean {
    return this.#ended && this.#sentEnd;
  }

  /** The body, once. Throws StreamClosed when the stream is reset. */
  async *body(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#port.consumed(this, chunk.length);
        yield chunk;
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
  }

  async sendHeaders(fields: readonly HeaderField[], end = false): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (end) this.#sentEnd = true;
    await this.#port.sendHeaders(this, fields, end);
  }

  /** Settles when the peer's windows took all of it. Throws StreamClosed. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    await this.#port.sendData(this, bytes, false);
  }

  async end(trailers?: readonly HeaderField[]): Promise<void> {
    if (this.#failure !== undefined || this.#sentEnd) return;
    this.#sentEnd = true;
    if (trailers === undefined) await this.#port.sendData(this, new Uint8Array(0), true);
    else await this.#port.sendHeaders(this, trailers, true);
  }

  /** Gives it up. */
  reset(code: number): void {
    if (this.#failure !== undefined || this.complete) return;
    this.#port.sendReset(this, code);
    this.fail(new StreamClosed(code, 'the stream was given up'));
  }

  // ---- called by the connection ----

  receiveHeaders(fields: readonly HeaderField[], end: boolean): void {
    const map = new Map<string, string>();
    for (const [name, value] of fields) {
      const before = map.get(name);
      map.set(name, before === undefined ? value : `${before}${SEPARATOR}${value}`);
    }
    if (!this.#headersCame) {
      this.#headersCame = true;
      this.#headers.resolve(map);
      // An answer that is headers only has its trailers in them.
      if (end) this.#trailers.resolve(map);
    } else {
      this.#trailers.resolve(map);
    }
    if (end) this.#finish();
  }

  receiveData(bytes: Uint8Array, end: boolean): void {
    if (bytes.length > 0) this.#chunks.push(bytes);
    if (end) {
      this.#trailers.resolve(new Map());
      this.#finish();
    }
    this.#wake();
  }

  fail(failure: StreamClosed): void {
    if (this.#failure !== undefined || this.complete) return;
    // A peer that has said all may not want to hear the rest: what it said stands.
    if (this.#ended && failure.code === errorCodes.none) {
      this.#sentEnd = true;
      return;
    }
    this.#failure = failure;
    this.#headers.reject(failure);
    this.#trailers.reject(failure);
    this.#closed.abort(failure);
    this.#wake();
  }

  #finish(): void {
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}

/** Between the values of a header that came several times. */
const SEPARATOR = '\u0000';

/** All values of a header. */
export function valuesOf(headers: Headers, name: string): readonly string[] {
  return headers.get(name)?.split(SEPARATOR) ?? [];
}
