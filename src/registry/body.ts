/** Reading answers: always with a bound on the bytes and on the time without any. */
import { cancelled, dataLoss, deadlineExceeded, unavailable } from '#errdefs/errors.ts';

const STALL_LIMIT_MS = 60_000;

type Body = ReadableStream<Uint8Array> | null;

export interface ReadOptions {
  /** In messages: `Get "https://…"`. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
  readonly stallMs?: number;
}

/**
 * The pieces of a body as they come. A connection that breaks is `unavailable`: bytes before it are good. Errors:
 * unavailable, deadline-exceeded, cancelled.
 */
export async function* pieces(body: Body, options: ReadOptions): AsyncGenerator<Uint8Array, void, undefined> {
  if (body === null) return;
  const reader = body.getReader();
  const stallMs = options.stallMs ?? STALL_LIMIT_MS;
  const { signal, what } = options;
  let ended = false;
  let stalled = false;
  // Cancelling ends a read that waits.
  const abort = (): void => void reader.cancel().catch(() => undefined);
  let timer = setTimeout(() => undefined, 0);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for (;;) {
      clearTimeout(timer);
      timer = setTimeout(() => {
        stalled = true;
        abort();
      }, stallMs);
      let result: { readonly done: boolean; readonly value?: Uint8Array | undefined };
      try {
        result = await reader.read();
      } catch (cause) {
        ended = true;
        throw signal?.aborted === true ? cancelledRead(what) : unavailable(`${what}: the connection broke`, { cause });
      }
      if (signal?.aborted === true) throw cancelledRead(what);
      if (stalled) throw deadlineExceeded(`${what}: nothing came for ${stallMs / 1000} s`);
      if (result.done || result.value === undefined) {
        ended = true;
        return;
      }
      clearTimeout(timer);
      yield result.value;
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    if (!ended) abort();
  }
}

const cancelledRead = (what: string) => cancelled(`${what}: context canceled`);

/** Errors: data-loss when it is longer; as `pieces`. */
export async function readAll(body: Body, bytesMax: number, options: ReadOptions): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces(body, options)) {
    length += piece.length;
    if (length > bytesMax) throw dataLoss(`${options.what}: the answer is longer than ${bytesMax} bytes`);
    parts.push(piece);
  }
  return Buffer.concat(parts, length);
}

/** What is not wanted any more; the connection may be used again when little is left. */
export async function discard(body: Body): Promise<void> {
  try {
    await body?.cancel();
  } catch {
    // It broke; nobody wants it.
  }
}
