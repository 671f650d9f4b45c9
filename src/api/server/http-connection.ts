/**
 * One connection: bytes in, requests out, one at a time and answered in order (pipelined requests wait unparsed).
 * States: head → (exchange with its body) → head …, or hijacked, or closing: our direction is ended, what still comes
 * is dropped, and the peer has CLOSE_GRACE_MS to end its own.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { log } from '#pkg/log/log.ts';
import { BodyDecoder, BodyError } from '#pkg/http-body/body-decoder.ts';
import type { BodyRest, LentInput } from '#pkg/http-body/lent.ts';
import type { ByteQueue, Flow } from './byte-queue.ts';
import { Exchange, type ExchangePort } from './exchange.ts';
import { HEAD_BYTES_MAX, HttpError, parseHead, type RequestHead } from './head.ts';
import { reasonOf } from './httpstatus.ts';
import { PendingBytes } from './pending-bytes.ts';
import type { Transport, TransportSink } from './transport.ts';
import { WriteQueue } from './write-queue.ts';

export interface ConnectionOptions {
  readonly handle: (exchange: Exchange) => void;
  /** The request could not be understood; returns the whole body of the answer. */
  readonly errorBody: (error: HttpError) => string;
  readonly commonHeaders: () => string;
  readonly stopping: () => boolean;
  readonly closed: (connection: HttpConnection) => void;
  readonly limits?: { readonly headMs?: number; readonly closeMs?: number };
}

/** A head that started has to be whole after this. */
const HEAD_MS = 60_000;
const CLOSE_GRACE_MS = 10_000;
/** Pipelined bytes that wait for their turn; more stays in the kernel. */
const PENDING_MAX = 64 * 1024;
/** An unread body of at most this is swallowed to keep the connection. */
const DISCARD_MAX = 256 * 1024;

export class HttpConnection implements TransportSink {
  readonly #transport: Transport;
  readonly #options: ConnectionOptions;
  readonly #queue: WriteQueue;
  readonly #pending = new PendingBytes();
  #exchange: Exchange | undefined;
  #body: BodyDecoder | undefined;
  #input: ByteQueue | undefined;
  #state: 'http' | 'hijacked' | 'closing' | 'closed' = 'http';
  /** The body could not be understood: nothing can follow. */
  #broken = false;
  #discarded = 0;
  #advancing = false;
  #peerEnded = false;
  #pausedForPending = false;
  #pauses = 0;
  /** Another thread reads the body from the socket. */
  #lent = false;
  /** How far the pending bytes were searched for the end of a head. */
  #searched = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(transport: Transport, options: ConnectionOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#queue = new WriteQueue(transport);
  }

  get idle(): boolean {
    return this.#state === 'http' && this.#exchange === undefined;
  }

  // ---- from the transport ----

  data(bytes: Buffer): void {
    if (this.#state === 'hijacked') {
      this.#input?.push(bytes);
      return;
    }
    if (this.#state !== 'http' || this.#broken) return;
    if (this.#lent) {
      // A paused transport has no data. Bytes of a body that is read elsewhere would be out of order.
      log.error('bytes came over a connection that is lent', { bytes: bytes.length });
      this.terminate();
      return;
    }
    this.#pending.append(bytes);
    this.#advance();
    if (this.#exchange !== undefined && this.#pending.length > PENDING_MAX && !this.#pausedForPending) {
      this.#pausedForPending = true;
      this.#flow.pause();
    }
  }

  end(): void {
    this.#peerEnded = true;
    if (this.#state === 'closing' || this.idle) {
      this.#close();
      return;
    }
    this.#input?.end();
    this.#exchange?.peerEnded();
  }

  drain(): void {
    this.#queue.drain();
  }

  closed(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    clearTimeout(this.#timer);
    this.#queue.close();
    this.#pending.clear();
    this.#input?.end();
    this.#exchange?.connectionClosed();
    this.#options.closed(this);
  }

  // ---- from the server ----

  closeIfIdle(): void {
    if (this.idle) this.#close();
  }

  terminate(): void {
    this.#transport.terminate();
    this.closed();
  }

  // ---- parsing ----

  #advance(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    try {
      while (this.#pending.length > 0 && this.#state === 'http') {
        if (this.#body !== undefined) this.#feedBody(this.#body);
        else if (this.#exchange !== undefined || !this.#nextHead()) break;
      }
    } catch (error) {
      this.#refuse(error);
    } finally {
      this.#advancing = false;
    }
  }

  #feedBody(body: BodyDecoder): void {
    const bytes = this.#pending.view();
    const used = body.feed(bytes);
    this.#pending.consume(used);
    if (!body.done) return;
    this.#body = undefined;
    this.#exchange?.bodyComplete();
  }

  /** False: more bytes are needed. */
  #nextHead(): boolean {
    const bytes = this.#pending.view();
    if (this.#searched === 0 && (bytes[0] === 13 || bytes[0] === 10)) return this.#skipEmptyLine(bytes);
    const end = bytes.indexOf('\r\n\r\n', Math.max(0, this.#searched - 3), 'latin1');
    if (end < 0 || end > HEAD_BYTES_MAX) {
      if (bytes.length > HEAD_BYTES_MAX) throw new HttpError(431, 'request header fields too large');
      if (this.#searched === 0) this.#startHeadTimer();
      this.#searched = bytes.length;
      return false;
    }
    const text = bytes.toString('latin1', 0, end);
    if (this.#timer !== undefined) this.#stopTimer();
    this.#searched = 0;
    this.#pending.consume(end + 4);
    this.#begin(parseHead(text));
    return true;
  }

  /** Robustness that RFC 9112 asks for: an empty line before a request (old clients send one after a POST body). */
  #skipEmptyLine(bytes: Buffer): boolean {
    if (bytes[0] !== 13) throw new HttpError(400, 'malformed HTTP request');
    if (bytes.length === 1) return false;
    if (bytes[1] !== 10) throw new HttpError(400, 'malformed HTTP request');
    this.#pending.consume(2);
    return true;
  }

  #begin(head: RequestHead): void {
    const exchange = new Exchange(head, this.#port);
    this.#exchange = exchange;
    if (head.framing.kind !== 'none') {
      this.#discarded = 0;
      this.#body = new BodyDecoder(head.framing, (bytes) => this.#bodyBytes(exchange, bytes));
    }
    this.#options.handle(exchange);
  }

  #bodyBytes(exchange: Exchange, bytes: Uint8Array): void {
    if (this.#exchange === exchange) {
      exchange.receive(bytes);
      return;
    }
    this.#discarded += bytes.length;
    if (this.#discarded > DISCARD_MAX) {
      this.#body = undefined;
      this.#pending.clear();
      this.#finishConnection();
    }
  }

  /** Several may hold the transport; it flows when nobody does. */
  readonly #flow: Flow = {
    pause: () => {
      this.#pauses++;
      if (this.#pauses === 1) this.#transport.pause();
    },
    resume: () => {
      this.#pauses--;
      if (this.#pauses === 0) this.#transport.resume();
    },
  };

  readonly #port: ExchangePort = this.#makePort();

  #makePort(): ExchangePort {
    return {
      transport: () => this.#transport,
      queue: () => this.#queue,
      flow: () => this.#flow,
      commonHeaders: () => this.#options.commonHeaders(),
      mayKeepAlive: () => !this.#options.stopping() && !this.#broken,
      answered: (keep) => this.#answered(keep),
      hijacked: (input) => this.#hijack(input),
      lend: (input) => this.#lend(input),
    };
  }

  /** Undefined: there is no socket to lend, or nothing to come. */
  async #lend(input: ByteQueue): Promise<LentInput | undefined> {
    const body = this.#body;
    if (this.#transport.fd < 0 || body === undefined || this.#lent) return undefined;
    this.#flow.pause();
    // What the transport had in hand when it was told to pause comes in this turn of the loop.
    await nextTurn();
    await nextTurn();
    if (this.#state !== 'http' || this.#body !== body || this.#broken || this.#peerEnded) {
      this.#flow.resume();
      return undefined;
    }
    this.#lent = true;
    return {
      fd: this.#transport.fd,
      position: body.position,
      queued: input.takeAll(),
      giveBack: (rest) => this.#takeBack(rest),
    };
  }

  #takeBack(rest: BodyRest | undefined): void {
    this.#lent = false;
    if (this.#state !== 'http') return;
    const exchange = this.#exchange;
    if (rest === undefined || exchange === undefined) {
      this.terminate();
      return;
    }
    const body = BodyDecoder.from(rest.position, (bytes) => this.#bodyBytes(exchange, bytes));
    this.#body = body.done ? undefined : body;
    if (body.done) exchange.bodyComplete();
    this.#pending.append(Buffer.from(rest.bytes));
    this.#advance();
    this.#flow.resume();
  }

  #answered(keep: boolean): void {
    if (this.#state === 'closed') return;
    this.#exchange = undefined;
    if (!keep || this.#state === 'hijacked') {
      this.#finishConnection();
      return;
    }
    this.#unpause();
    this.#advance();
    if (this.#peerEnded && this.idle) this.#finishConnection();
  }

  #unpause(): void {
    if (!this.#pausedForPending) return;
    this.#pausedForPending = false;
    this.#flow.resume();
  }

  #hijack(input: ByteQueue): void {
    this.#state = 'hijacked';
    this.#input = input;
    if (this.#pending.length > 0) input.push(this.#pending.takeAll());
    if (this.#peerEnded) input.end();
    this.#unpause();
  }

  /** What was sent is not HTTP as we take it: says so once, then ends. */
  #refuse(error: unknown): void {
    const refusal = refusalOf(error);
    this.#body = undefined;
    this.#broken = true;
    this.#pending.clear();
    if (this.#exchange !== undefined) {
      // In the middle of a body: whoever reads it answers.
      this.#exchange.bodyFailed(refusal);
      return;
    }
    const body = this.#options.errorBody(refusal);
    this.#queue.write(
      Buffer.from(
        `HTTP/1.1 ${refusal.status} ${reasonOf(refusal.status)}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      ),
    );
    this.#finishConnection();
  }

  // ---- ending ----

  #finishConnection(): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#state = 'closing';
    this.#pending.clear();
    this.#body = undefined;
    this.#stopTimer();
    void this.#queue.flushed().then(() => {
      if (this.#state === 'closed') return;
      this.#transport.shutdown();
      if (this.#peerEnded) {
        this.#close();
        return;
      }
      this.#transport.resume();
      // From here on only: a client that reads slowly keeps what is queued for it as long as it likes.
      this.#timer = setTimeout(() => this.#close(), this.#options.limits?.closeMs ?? CLOSE_GRACE_MS);
    });
  }

  #close(): void {
    this.#transport.close();
    this.closed();
  }

  #startHeadTimer(): void {
    this.#timer = setTimeout(() => this.terminate(), this.#options.limits?.headMs ?? HEAD_MS);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function refusalOf(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  return error instanceof BodyError ? new HttpError(error.status, error.message) : new HttpError(500, 'internal error');
}
