/** Answers gRPC calls of an HTTP/2 connection. What fails is told as the call's status; the connection goes on. */
import { notImplemented } from '#errdefs/errors.ts';
import { errorCodes } from '#pkg/http2/frames.ts';
import { type Headers, type Http2Stream, StreamClosed } from '#pkg/http2/stream.ts';
import { decode, encode, type MessageOf, type Table } from '#pkg/protobuf/protobuf.ts';
import type { Method } from './client.ts';
import { framed, messagesOf } from './messages.ts';
import { OK, type Status, statusOf, trailersOf } from './status.ts';

export interface ServerCall<Q extends Table, A extends Table> {
  readonly metadata: Headers;
  /** Aborted when the caller gave up. */
  readonly signal: AbortSignal;
  requests(): AsyncGenerator<MessageOf<Q>>;
  send(answer: Partial<MessageOf<A>>): Promise<void>;
}

export interface Handler {
  readonly path: string;
  handle(stream: Http2Stream, headers: Headers): Promise<void>;
}

export function streaming<Q extends Table, A extends Table>(
  method: Method<Q, A>,
  work: (call: ServerCall<Q, A>) => Promise<void>,
): Handler {
  return {
    path: method.path,
    handle: async (stream, metadata) => {
      await work({
        metadata,
        signal: stream.signal,
        requests: async function* () {
          for await (const message of messagesOf(stream.body())) yield decode(method.request, message);
        },
        send: (answer) => stream.write(framed(encode(method.answer, answer))),
      });
    },
  };
}

/** One question, one answer. */
export function unary<Q extends Table, A extends Table>(
  method: Method<Q, A>,
  work: (request: MessageOf<Q>, call: ServerCall<Q, A>) => Promise<Partial<MessageOf<A>>>,
): Handler {
  return streaming(method, async (call) => {
    for await (const request of call.requests()) {
      await call.send(await work(request, call));
      return;
    }
    await call.send(await work(decode(method.request, new Uint8Array(0)), call));
  });
}

/** For `Http2Connection`'s `onStream`. */
export function serve(handlers: readonly Handler[]): (stream: Http2Stream) => void {
  const byPath = new Map(handlers.map((handler) => [handler.path, handler]));
  return (stream) => {
    void answer(stream, byPath);
  };
}

/** Never throws. */
async function answer(stream: Http2Stream, handlers: ReadonlyMap<string, Handler>): Promise<void> {
  let status: Status = { code: OK, message: '' };
  try {
    const headers = await stream.headers;
    const path = headers.get(':path') ?? '';
    const handler = handlers.get(path);
    await stream.sendHeaders([
      [':status', '200'],
      ['content-type', 'application/grpc'],
    ]);
    if (handler === undefined) throw notImplemented(`unknown method ${path}`);
    await handler.handle(stream, headers);
  } catch (error) {
    if (error instanceof StreamClosed) return;
    status = statusOf(error);
  }
  try {
    await stream.end(trailersOf(status));
    // A caller that still sends is told that nobody listens.
    stream.reset(errorCodes.none);
  } catch {
    // The caller has gone; there is nobody to tell.
  }
}
