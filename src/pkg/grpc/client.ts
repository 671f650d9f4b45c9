/** Calls of gRPC methods over an HTTP/2 connection. */
import { cancelled, systemError, unavailable } from '#errdefs/errors.ts';
import type { Http2Connection } from '#pkg/http2/connection.ts';
import { errorCodes } from '#pkg/http2/frames.ts';
import { type Headers, type Http2Stream, StreamClosed } from '#pkg/http2/stream.ts';
import { decode, encode, type MessageOf, type Table } from '#pkg/protobuf/protobuf.ts';
import { framed, messagesOf } from './messages.ts';
import { decodeMessage, errorOf, OK } from './status.ts';

/** `/package.Service/Method` with its messages. */
export interface Method<Q extends Table, A extends Table> {
  readonly path: string;
  readonly request: Q;
  readonly answer: A;
}

/** Several values of one name are several fields. */
export type Metadata = readonly (readonly [name: string, value: string])[];

/** A call under way. Ends with its scope: what is not complete by then is given up. */
export class Call<Q extends Table, A extends Table> {
  readonly #method: Method<Q, A>;
  readonly #stream: Http2Stream;
  readonly #signal: AbortSignal;
  readonly #abort = () => this.#stream.reset(errorCodes.cancel);

  constructor(method: Method<Q, A>, stream: Http2Stream, signal: AbortSignal) {
    this.#method = method;
    this.#stream = stream;
    this.#signal = signal;
    signal.addEventListener('abort', this.#abort);
    if (signal.aborted) this.#abort();
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#abort);
    this.#stream.reset(errorCodes.cancel);
  }

  async send(message: Partial<MessageOf<Q>>): Promise<void> {
    await this.#guarded(() => this.#stream.write(framed(encode(this.#method.request, message))));
  }

  /** Nothing more will be sent. */
  async end(): Promise<void> {
    await this.#guarded(() => this.#stream.end());
  }

  /** The answers, to the end. Throws what the peer says went wrong. */
  async *answers(): AsyncGenerator<MessageOf<A>> {
    try {
      const headers = await this.#stream.headers;
      const status = headers.get(':status');
      if (status !== '200') throw systemError(`the peer answers ${status ?? 'nothing'} to a gRPC call`);
      for await (const message of messagesOf(this.#stream.body())) yield decode(this.#method.answer, message);
      check(await this.#stream.trailers);
    } catch (error) {
      throw this.#meaning(error);
    }
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw this.#meaning(error);
    }
  }

  #meaning(error: unknown): unknown {
    if (!(error instanceof StreamClosed)) return error;
    if (this.#signal.aborted) return cancelled(`the call of ${this.#method.path} was cancelled`, { cause: error });
    return unavailable(`the client went away: ${error.message}`, { cause: error });
  }
}

function check(trailers: Headers): void {
  const code = Number(trailers.get('grpc-status') ?? '2');
  if (code !== OK) throw errorOf({ code, message: decodeMessage(trailers.get('grpc-message') ?? '') });
}

export async function call<Q extends Table, A extends Table>(
  connection: Http2Connection,
  method: Method<Q, A>,
  options: { readonly metadata?: Metadata; readonly signal: AbortSignal },
): Promise<Call<Q, A>> {
  let stream: Http2Stream;
  try {
    stream = connection.open();
  } catch (error) {
    throw unavailable('the client went away', { cause: error });
  }
  const opened = new Call(method, stream, options.signal);
  await stream.sendHeaders([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', method.path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ['user-agent', 'berth'],
    ...(options.metadata ?? []),
  ]);
  return opened;
}

/** One question, one answer. */
export async function ask<Q extends Table, A extends Table>(
  connection: Http2Connection,
  method: Method<Q, A>,
  request: Partial<MessageOf<Q>>,
  signal: AbortSignal,
): Promise<MessageOf<A>> {
  using opened = await call(connection, method, { signal });
  await opened.send(request);
  await opened.end();
  let answer: MessageOf<A> | undefined;
  for await (const message of opened.answers()) answer = message;
  if (answer === undefined) throw systemError(`no answer to ${method.path}`);
  return answer;
}
