/**
 * One request and its answer. A handler answers exactly once: `respond` (whole), `stream` (chunked, as it comes) or
 * `hijack` (the connection becomes a raw two-way stream). Knows HTTP; knows nothing of routes or jobs.
 *
 * Invariants: the head is sent once; nothing is written after `finish`; an answer that broke off in the middle closes
 * the connection without the last chunk, so that the client does not take it for whole.
 */
import { log } from '#pkg/log/log.ts';
import { ByteQueue, type Flow } from './byte-queue.ts';
import { HttpError, type RequestHead } from './head.ts';
import type { BodyInput, LentInput } from '#pkg/http-body/lent.ts';
import { HijackedConnection } from './hijacked-connection.ts';
import { reasonOf } from './httpstatus.ts';
import { ResponseStream } from './response-stream.ts';
import type { Transport } from './transport.ts';
import type { WriteQueue } from './write-queue.ts';

/** What an exchange needs of its connection. */
export interface ExchangePort {
  transport(): Transport;
  queue(): WriteQueue;
  /** Stops and restarts what comes in. */
  flow(): Flow;
  /** Header lines sent with every answer, each with CR LF. */
  commonHeaders(): string;
  /** False when the server is stopping. */
  mayKeepAlive(): boolean;
  /** The answer is out; `keep`: another request may follow. */
  answered(keep: boolean): void;
  /** From now on the bytes of the connection go to `input`. */
  hijacked(input: ByteQueue): void;
  /** Lends the socket to whoever reads the body that goes to `input`. */
  lend(input: ByteQueue): Promise<LentInput | undefined>;
}

export type Headers = Readonly<Record<string, string>>;

/** A whole answer. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Uint8Array;
  readonly headers: Headers;
}

/** Decides about a whole answer before it goes out; what it throws is answered instead. */
export type AnswerJudge = (answer: Answer) => Promise<void>;

const NO_HEADERS: Headers = {};
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');

export class Exchange {
  readonly head: RequestHead;
  readonly #port: ExchangePort;
  /** Made when there is one to come, or when somebody asks. */
  #bodyQueue: ByteQueue | undefined;
  #bodyComplete: boolean;
  #bodyRead = false;
  #continueSent = false;
  #state: 'open' | 'streaming' | 'hijacked' | 'answered' = 'open';
  #abort: AbortController | undefined;
  #gone = false;
  #judge: { readonly judge: AnswerJudge; readonly refused: (error: unknown) => Answer } | undefined;

  constructor(head: RequestHead, port: ExchangePort) {
    this.head = head;
    this.#port = port;
    this.#bodyComplete = head.framing.kind === 'none';
  }

  get #body(): ByteQueue {
    if (this.#bodyQueue === undefined) {
      this.#bodyQueue = new ByteQueue(this.#port.flow());
      if (this.#bodyComplete) this.#bodyQueue.end();
    }
    return this.#bodyQueue;
  }

  get peer() {
    return this.#port.transport().peer;
  }

  get answered(): boolean {
    return this.#state === 'answered' || this.#state === 'hijacked';
  }

  /** The head is out: no other answer can be given. */
  get started(): boolean {
    return this.#state !== 'open';
  }

  /** Aborted when the client has gone. */
  get closed(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#gone && !this.#abort.signal.aborted) this.#abort.abort(new Error('the client has gone'));
    return this.#abort.signal;
  }

  /** The request's body as it comes; asks for it where the client waits to be asked. */
  get body(): BodyInput {
    this.#bodyRead = true;
    if (this.head.expectContinue && !this.#bodyComplete && !this.#continueSent) {
      this.#continueSent = true;
      this.#port.queue().write(CONTINUE);
    }
    const queue = this.#body;
    return { [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](), lend: () => this.#port.lend(queue) };
  }

  /** The whole body. Errors: HttpError 413 beyond `max` bytes. */
  async readBody(max: number): Promise<Buffer> {
    const { framing } = this.head;
    if (framing.kind === 'none') return Buffer.alloc(0);
    if (framing.kind === 'length' && framing.length > max) throw tooLarge(max);
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of this.body) {
      length += part.length;
      if (length > max) throw tooLarge(max);
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  /** The whole body, which is still there to be read. Errors: HttpError 413 beyond `max` bytes. */
  async peekBody(max: number): Promise<Buffer> {
    const bytes = await this.readBody(max);
    const again = new ByteQueue(this.#port.flow());
    again.push(bytes);
    again.end();
    this.#bodyQueue = again;
    return bytes;
  }

  /** From now on a whole answer waits for this. `refused` makes the answer of what the judge throws. */
  judgeAnswer(judge: AnswerJudge, refused: (error: unknown) => Answer): void {
    this.#judge = { judge, refused };
  }

  respond(status: number, contentType: string, body: string | Uint8Array, headers: Headers = NO_HEADERS): void {
    this.#begin('answered');
    const answer = { status, contentType, body, headers };
    const waiting = this.#judge;
    if (waiting === undefined) {
      this.#send(answer);
      return;
    }
    const sent = waiting.judge(answer).then(
      () => this.#send(answer),
      (error: unknown) => this.#send(waiting.refused(error)),
    );
    sent.catch((error: unknown) => log.error('an answer was not sent', { err: error }));
  }

  #send({ status, contentType, body, headers }: Answer): void {
    const bodyless = status === 204 || status === 304;
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    let head = this.#headText(status, headers);
    if (!bodyless)
      head += `${contentType === '' ? '' : `Content-Type: ${contentType}\r\n`}Content-Length: ${length}\r\n`;
    const keep = this.#mayKeep();
    head += keep ? '\r\n' : 'Connection: close\r\n\r\n';
    const silent = bodyless || this.head.method === 'HEAD';
    if (typeof body === 'string') {
      this.#port.queue().write(Buffer.from(silent ? head : head + body));
    } else {
      this.#port.queue().write(Buffer.from(head));
      if (!silent) this.#port.queue().write(body);
    }
    this.#finished(keep);
  }

  /** An answer whose bytes come over time. Call `finish` or `breakOff` at its end. */
  stream(status: number, contentType: string, headers: Headers = NO_HEADERS): ResponseStream {
    if (this.#state !== 'open') throw new Error('the exchange has been answered');
    return new ResponseStream({
      chunked: this.head.minor === 1,
      silent: this.head.method === 'HEAD',
      queue: this.#port.queue(),
      transport: this.#port.transport(),
      closed: () => this.closed,
      begin: (chunked) => {
        this.#begin('streaming');
        let head = this.#headText(status, headers);
        if (contentType !== '') head += `Content-Type: ${contentType}\r\n`;
        head += chunked ? 'Transfer-Encoding: chunked\r\n' : '';
        head += this.#mayKeep() && chunked ? '\r\n' : 'Connection: close\r\n\r\n';
        return Buffer.from(head);
      },
      end: (whole) => {
        this.#state = 'answered';
        if (whole) this.#finished(this.#mayKeep());
        else this.#port.transport().terminate();
      },
    });
  }

  /**
   * Makes the connection a raw stream. The request's own body has to be read before (`readBody`); a chunked body that
   * was not is taken as the input (clients that cannot upgrade send stdin that way).
   */
  hijack(
    answer: { readonly contentTypeOf: (tty: boolean) => string } | { readonly head: () => string },
  ): HijackedConnection {
    if (this.#state !== 'open') throw new Error('the exchange has been answered');
    const bodyIsInput = !this.#bodyComplete;
    const input = bodyIsInput ? this.#body : new ByteQueue(this.#port.flow());
    const queue = this.#port.queue();
    const transport = this.#port.transport();
    return new HijackedConnection({
      input,
      queue,
      transport,
      closed: this.closed,
      accept: (tty) => {
        this.#begin('hijacked');
        const text = 'head' in answer ? answer.head() : rawStreamHead(answer.contentTypeOf(tty), this.head.upgrade);
        queue.write(Buffer.from(text, 'latin1'));
        if (!bodyIsInput) this.#port.hijacked(input);
      },
      ended: () => this.#finished(false),
    });
  }

  /** The answer began and cannot be brought to its end. */
  abandon(): void {
    if (this.answered && this.#state !== 'hijacked') return;
    this.#state = 'answered';
    this.#port.transport().terminate();
  }

  // ---- called by the connection ----

  receive(bytes: Uint8Array): void {
    this.#body.push(bytes);
  }

  bodyComplete(): void {
    this.#bodyComplete = true;
    this.#body.end();
  }

  /** The peer ended its direction. Whoever streams to it or waits for its body learns that it has gone. */
  peerEnded(): void {
    this.#endBody();
    if (this.#state === 'streaming') this.#leave();
  }

  /** The body cannot be understood: its reader gets the error. */
  bodyFailed(error: HttpError): void {
    this.#bodyComplete = true;
    this.#body.end(error);
  }

  connectionClosed(): void {
    this.#endBody();
    this.#leave();
  }

  #endBody(): void {
    if (this.#bodyComplete) this.#bodyQueue?.end();
    else this.#body.end(this.#state === 'hijacked' ? undefined : new HttpError(400, 'unexpected EOF'));
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#abort?.abort(new Error('the client has gone'));
  }

  #begin(state: 'streaming' | 'hijacked' | 'answered'): void {
    if (this.#state !== 'open') throw new Error('the exchange has been answered');
    this.#state = state;
  }

  #headText(status: number, headers: Headers): string {
    let text = `HTTP/1.1 ${status} ${reasonOf(status)}\r\n${this.#port.commonHeaders()}`;
    for (const name in headers) text += `${name}: ${headers[name] ?? ''}\r\n`;
    return text;
  }

  /** A client that was not told to go on with its body may or may not send it: only closing is unambiguous. */
  #mayKeep(): boolean {
    const unasked = this.head.expectContinue && !this.#continueSent && !this.#bodyComplete;
    return this.head.keepAlive && this.#port.mayKeepAlive() && !unasked;
  }

  #finished(keep: boolean): void {
    if (!this.#bodyRead || !this.#bodyComplete) this.#bodyQueue?.discard();
    this.#port.answered(keep);
  }
}

function rawStreamHead(contentType: string, upgrade: boolean): string {
  const type = `Content-Type: ${contentType}\r\n`;
  return upgrade
    ? `HTTP/1.1 101 UPGRADED\r\n${type}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n`
    : `HTTP/1.1 200 OK\r\n${type}\r\n`;
}

function tooLarge(max: number): HttpError {
  return new HttpError(413, `request body is larger than ${max} bytes`);
}
