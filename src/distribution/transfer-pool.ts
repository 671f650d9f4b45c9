/**
 * The Workers that fetch layers: made when the first is asked for, ended some time after the last. Each takes several at
 * a time, so a slow server holds up nobody. A Worker that throws with nobody listening lets its parent wait for ever:
 * each has an error listener, and each job a limit on the time without a sign of life.
 */
import { BerthError, cancelled, deadlineExceeded, kindOf, messageOf, systemError } from '#errdefs/errors.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import type { SendContext } from '#registry/send.ts';
import {
  ALIVE,
  type FromWorker,
  RECEIVED,
  SHARED_WORDS,
  type ToWorker,
  type TransferJob,
} from './transfer-messages.ts';

/** More gain nothing on few cores: the kernel's part of creating files does not spread well. */
const WORKERS = 2;
const IDLE_MS = 20_000;
/** Longer than any wait for a registry. */
const SILENCE_LIMIT_MS = 900_000;
const CHECK_EVERY_MS = 30_000;

export interface TransferHooks {
  /** By the index of the source. Errors go to the job. */
  readonly authorize: (source: number, challenge: string | null, used: string | undefined) => Promise<string>;
  readonly waiting: NonNullable<SendContext['waiting']>;
  /** All bytes are here; it is still being unpacked. */
  readonly received: () => void;
  readonly signal: AbortSignal;
}

export interface Transfer {
  readonly result: Promise<ArchiveResult>;
  /** Bytes that have come. */
  received(): number;
}

interface Running {
  readonly hooks: TransferHooks;
  readonly shared: Float64Array;
  readonly settle: (outcome: () => void) => void;
  readonly done: PromiseWithResolvers<ArchiveResult>;
}

interface Slot {
  worker: Worker | undefined;
  readonly running: Map<number, Running>;
}

export class TransferPool {
  readonly #slots: Slot[] = Array.from({ length: WORKERS }, () => ({ worker: undefined, running: new Map() }));
  #next = 1;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;

  start(job: TransferJob, hooks: TransferHooks): Transfer {
    const done = Promise.withResolvers<ArchiveResult>();
    const shared = new SharedArrayBuffer(SHARED_WORDS * Float64Array.BYTES_PER_ELEMENT);
    const words = new Float64Array(shared);
    if (this.#closed || hooks.signal.aborted) {
      done.reject(cancelled('context canceled'));
      return { result: done.promise, received: () => 0 };
    }
    clearTimeout(this.#idle);
    const [slot] = [...this.#slots].sort((a, b) => a.running.size - b.running.size);
    if (slot === undefined) throw systemError('there are no Workers');
    const worker = slot.worker ?? this.#make(slot);
    const id = this.#next++;
    const cancel = (): void => worker.postMessage({ kind: 'cancel', id } satisfies ToWorker);
    let seen = -1;
    let silentMs = 0;
    const watch = setInterval(() => {
      const alive = words[ALIVE] ?? 0;
      silentMs = alive === seen ? silentMs + CHECK_EVERY_MS : 0;
      seen = alive;
      if (silentMs < SILENCE_LIMIT_MS) return;
      this.#fail(slot, deadlineExceeded(`a layer made no progress for ${silentMs / 1000} s`));
    }, CHECK_EVERY_MS);
    const settle = (outcome: () => void): void => {
      if (!slot.running.delete(id)) return;
      clearInterval(watch);
      hooks.signal.removeEventListener('abort', cancel);
      if (slot.running.size === 0) worker.unref();
      if (this.#slots.every((s) => s.running.size === 0)) this.#endSoon();
      outcome();
    };
    slot.running.set(id, { hooks, shared: words, settle, done });
    worker.ref();
    hooks.signal.addEventListener('abort', cancel, { once: true });
    worker.postMessage({ kind: 'start', id, job, shared } satisfies ToWorker);
    return { result: done.promise, received: () => words[RECEIVED] ?? 0 };
  }

  /** Ends the Workers; what runs fails. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#idle);
    for (const slot of this.#slots) this.#fail(slot, cancelled('the daemon is shutting down'));
  }

  #make(slot: Slot): Worker {
    const worker = new Worker(new URL('./transfer-worker.ts', import.meta.url));
    worker.onmessage = (event: MessageEvent<FromWorker>) => this.#hear(worker, slot, event.data);
    worker.onerror = (event: ErrorEvent) => {
      event.preventDefault();
      this.#fail(slot, systemError(`the transfer worker failed: ${event.message}`));
    };
    slot.worker = worker;
    return worker;
  }

  #hear(worker: Worker, slot: Slot, message: FromWorker): void {
    const running = slot.running.get(message.id);
    if (running === undefined) return;
    const { hooks, done, settle } = running;
    switch (message.kind) {
      case 'authorize':
        void this.#authorize(worker, message, hooks);
        break;
      case 'waiting':
        hooks.waiting(message.seconds, message.reason);
        break;
      case 'received':
        hooks.received();
        break;
      case 'done':
        settle(() => done.resolve(message.result));
        break;
      case 'failed':
        settle(() => done.reject(new BerthError(message.error, message.message)));
        break;
    }
  }

  async #authorize(
    worker: Worker,
    { id, source, challenge, used }: Extract<FromWorker, { kind: 'authorize' }>,
    hooks: TransferHooks,
  ): Promise<void> {
    let answer: ToWorker;
    try {
      const value = await hooks.authorize(source, challenge, used);
      answer = { kind: 'authorization', id, value, failure: undefined };
    } catch (error) {
      const failure = { kind: kindOf(error), message: messageOf(error) };
      answer = { kind: 'authorization', id, value: undefined, failure };
    }
    worker.postMessage(answer);
  }

  /** The Worker is not to be trusted any more. */
  #fail(slot: Slot, error: BerthError): void {
    slot.worker?.terminate();
    slot.worker = undefined;
    for (const running of [...slot.running.values()]) running.settle(() => running.done.reject(error));
  }

  #endSoon(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      for (const slot of this.#slots) {
        if (slot.running.size > 0) continue;
        slot.worker?.terminate();
        slot.worker = undefined;
      }
    }, IDLE_MS);
    this.#idle.unref();
  }
}
