/**
 * Archives that go by as streams: a directory packed for a reader, or unpacked from one, by a Worker of its own. A few
 * pieces are on the way at a time; a reader or writer that waits costs nothing, one that is gone ends the Worker.
 */
import { BerthError, cancelled, type ErrorKind, systemError } from '#errdefs/errors.ts';

export type StreamOrder =
  | { readonly kind: 'pack' | 'unpack'; readonly directory: string }
  | { readonly kind: 'next' | 'end' }
  | { readonly kind: 'piece'; readonly bytes: Uint8Array };

export type StreamAnswer =
  | { readonly kind: 'piece'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'more' }
  | { readonly kind: 'done'; readonly entries: number }
  | { readonly kind: 'failed'; readonly error: ErrorKind; readonly message: string };

/** Asks a Worker one thing after the other; each order has one answer, in order. */
class Conversation implements Disposable {
  readonly #worker = new Worker(new URL('./stream-worker.ts', import.meta.url));
  readonly #waiting: PromiseWithResolvers<StreamAnswer>[] = [];
  #failure: Error | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#worker.onmessage = (event: MessageEvent<StreamAnswer>) => this.#answered(event.data);
    this.#worker.onerror = (event: ErrorEvent) => {
      event.preventDefault();
      this.#fail(systemError(`the archive worker failed: ${event.message}`));
    };
    signal?.addEventListener('abort', () => this.#fail(cancelled('the request was cancelled')), { once: true });
    if (signal?.aborted === true) this.#fail(cancelled('the request was cancelled'));
  }

  ask(order: StreamOrder): Promise<StreamAnswer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const waiting = Promise.withResolvers<StreamAnswer>();
    // Whoever asked in advance may never come to wait for this one.
    waiting.promise.catch(() => undefined);
    this.#waiting.push(waiting);
    this.#worker.postMessage(order);
    return waiting.promise;
  }

  #answered(answer: StreamAnswer): void {
    if (answer.kind === 'failed') this.#fail(new BerthError(answer.error, answer.message));
    else this.#waiting.shift()?.resolve(answer);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure);
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

const AHEAD = 3;

/** A tar of what is in `directory`; names begin with './', the directory itself is the first. */
export async function* packDirectory(directory: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  using conversation = new Conversation(signal);
  const answers = [conversation.ask({ kind: 'pack', directory })];
  for (let answer = answers.shift(); answer !== undefined; answer = answers.shift()) {
    const got = await answer;
    if (got.kind !== 'piece') return;
    while (answers.length < AHEAD) answers.push(conversation.ask({ kind: 'next' }));
    yield got.bytes;
  }
}

/**
 * Unpacks a tar, compressed or not, into `directory`; the number of its entries. Names cannot leave the directory.
 * Errors: data-loss for what is no archive or is truncated; cancelled; system.
 */
export async function unpackInto(
  directory: string,
  archive: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<number> {
  using conversation = new Conversation(signal);
  const answers = [conversation.ask({ kind: 'unpack', directory })];
  for await (const bytes of archive) {
    answers.push(conversation.ask({ kind: 'piece', bytes }));
    if (answers.length > AHEAD) await answers.shift();
  }
  await Promise.all(answers);
  const last = await conversation.ask({ kind: 'end' });
  return last.kind === 'done' ? last.entries : 0;
}
