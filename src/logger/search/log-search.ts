/**
 * Searching logs, off the main thread. The thread is started by the first search. A regular expression may take for ever
 * on a line that was made for it: a thread that has said nothing for a while is ended, with what it was asked.
 */
import { deadlineExceeded, invalidParameter, systemError } from '#errdefs/errors.ts';
import { parseExpression } from '../option-values.ts';
import type { Search, SearchCommand, SearchEvent } from './protocol.ts';

const SILENT_MS_MAX = 20_000;

interface Asked {
  readonly write: (bytes: Uint8Array) => Promise<void>;
  readonly done: PromiseWithResolvers<void>;
  /** Answers are written one after the other. */
  writing: Promise<void>;
  /** Answers that the client has not taken. */
  unwritten: number;
  watch: ReturnType<typeof setTimeout> | undefined;
}

function workerUrl(): string | URL {
  return import.meta.url.includes('/$bunfs/')
    ? '/$bunfs/root/logger/search/search-worker.js'
    : new URL('./search-worker.ts', import.meta.url);
}

export class LogSearch {
  #worker: Worker | undefined;
  readonly #asked = new Map<number, Asked>();
  #next = 1;

  /** Resolves when everything that was found is written. Errors: invalid-parameter for a pattern that is none. */
  async search(search: Search, write: (bytes: Uint8Array) => Promise<void>, signal: AbortSignal): Promise<void> {
    checkPattern(search.pattern);
    const token = this.#next++;
    const asked: Asked = {
      write,
      done: Promise.withResolvers(),
      writing: Promise.resolve(),
      unwritten: 0,
      watch: undefined,
    };
    this.#asked.set(token, asked);
    const cancel = () => this.#send({ op: 'cancel', token });
    signal.addEventListener('abort', cancel, { once: true });
    try {
      this.#watch(asked);
      this.#send({ op: 'search', token, search });
      if (signal.aborted) cancel();
      await asked.done.promise;
      await asked.writing;
    } finally {
      clearTimeout(asked.watch);
      signal.removeEventListener('abort', cancel);
      this.#asked.delete(token);
    }
  }

  close(): void {
    this.#end(systemError('the daemon stops'));
  }

  #send(command: SearchCommand): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(command);
  }

  #start(): Worker {
    const worker = new Worker(workerUrl());
    worker.onmessage = (event: MessageEvent<SearchEvent>) => this.#take(event.data);
    worker.onerror = (event) => this.#end(systemError(`the search has failed: ${event.message}`));
    worker.unref();
    return worker;
  }

  #watch(asked: Asked): void {
    clearTimeout(asked.watch);
    // It is the client that takes its time.
    if (asked.unwritten > 0) return;
    asked.watch = setTimeout(
      () => this.#end(deadlineExceeded('the search was given up: the pattern takes too long on some line')),
      SILENT_MS_MAX,
    );
  }

  #end(error: Error): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const { done } of this.#asked.values()) done.reject(error);
  }

  #take(event: SearchEvent): void {
    const asked = this.#asked.get(event.token);
    if (asked === undefined) return;
    if (event.type === 'found') {
      if (event.bytes.length === 0) return this.#watch(asked);
      asked.unwritten++;
      this.#watch(asked);
      asked.writing = asked.writing.then(async () => {
        await asked.write(event.bytes);
        asked.unwritten--;
        this.#watch(asked);
        this.#send({ op: 'more', token: event.token });
      });
      asked.writing.catch(asked.done.reject);
      return;
    }
    if (event.error === undefined) asked.done.resolve();
    else asked.done.reject(systemError(event.error));
  }
}

function checkPattern(pattern: string): void {
  if (pattern === '') throw invalidParameter('a pattern to search for is needed');
  try {
    parseExpression('grep', pattern);
  } catch (cause) {
    throw invalidParameter(`invalid pattern "${pattern}"`, { cause });
  }
}
