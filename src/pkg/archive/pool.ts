/**
 * A fixed pool of Workers for layers, one layer per Worker at a time: hashing, inflating and unpacking never run on the
 * main thread. Workers are made on first use and stay warm.
 *
 * A Worker that throws with nobody listening lets its parent wait for ever: each has an error listener, and each job a
 * limit on the time without progress. The URL below is relative to this file; in the executable, where chunks lie
 * elsewhere, the build puts the absolute one in its place (tools/build.ts; it looks for exactly this form).
 */
import assert from 'node:assert/strict';
import { BerthError, cancelled, deadlineExceeded, systemError } from '#errdefs/errors.ts';
import {
  type ArchiveJob,
  type AssembleJob,
  type MeasureJob,
  type UnpackJob,
  type ArchiveResult,
  type CaptureJob,
  CANCEL,
  type JobAnswer,
  type JobMessage,
  PROGRESS,
  SHARED_BYTES,
} from './jobs.ts';

/** More gain nothing on few cores: the kernel's part of creating files does not spread well. */
const WORKERS = 2;
const SILENCE_LIMIT_MS = 120_000;
const CHECK_EVERY_MS = 10_000;

interface Waiting {
  readonly job: ArchiveJob;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (result: ArchiveResult | undefined) => void;
  readonly reject: (error: Error) => void;
}

export interface PoolOptions {
  readonly signal?: AbortSignal | undefined;
}

interface Slot {
  worker: Worker | undefined;
  busy: boolean;
}

export class ArchivePool {
  readonly #slots: Slot[] = Array.from({ length: WORKERS }, () => ({ worker: undefined, busy: false }));
  readonly #waiting: Waiting[] = [];
  #closed = false;

  /** Reads a layer when a Worker is free, in the order asked for. Errors: the job's; cancelled by `signal`. */
  async run(job: UnpackJob | MeasureJob | CaptureJob | AssembleJob, options: PoolOptions = {}): Promise<ArchiveResult> {
    const result = await this.#ask(job, options);
    assert(result !== undefined, 'reading a layer has a result');
    return result;
  }

  /** Inflates the file into the new one `to`, which may be there in part when it fails. */
  async inflate(file: string, to: string, options: PoolOptions = {}): Promise<void> {
    await this.#ask({ kind: 'inflate', file, to }, options);
  }

  /** Copies a tree with all that belongs to it. */
  async copy(from: string, to: string, options: PoolOptions = {}): Promise<void> {
    await this.#ask({ kind: 'copy', from, to }, options);
  }

  /** Gives the tree at an open descriptor to one owner (chown-tree.ts). */
  async chown(
    fd: number,
    owner: { readonly uid: number; readonly gid: number },
    options: PoolOptions = {},
  ): Promise<void> {
    await this.#ask({ kind: 'chown', fd, uid: owner.uid, gid: owner.gid }, options);
  }

  /** syncfs of the file system that holds `path`. */
  async sync(path: string): Promise<void> {
    await this.#ask({ kind: 'sync', path }, {});
  }

  #ask(job: ArchiveJob, options: PoolOptions): Promise<ArchiveResult | undefined> {
    if (this.#closed) return Promise.reject(cancelled('the archive pool is closed'));
    const { promise, resolve, reject } = Promise.withResolvers<ArchiveResult | undefined>();
    this.#waiting.push({ job, signal: options.signal, resolve, reject });
    this.#dispatch();
    return promise;
  }

  /** Starts the Workers before the first job needs them. */
  warm(): void {
    for (const slot of this.#slots) slot.worker ??= this.#start();
  }

  /** Ends the Workers; what waits is rejected. Preconditions: no job whose effects matter is running. */
  close(): void {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(cancelled('the archive pool is closed'));
    for (const slot of this.#slots) {
      slot.worker?.terminate();
      slot.worker = undefined;
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL('./archive-worker.ts', import.meta.url));
    // The process does not live on for an idle Worker.
    worker.unref();
    return worker;
  }

  #dispatch(): void {
    for (const slot of this.#slots) {
      if (slot.busy) continue;
      const next = this.#waiting.shift();
      if (next === undefined) return;
      if (next.signal?.aborted === true) {
        next.reject(reasonOf(next.signal));
        this.#dispatch();
        return;
      }
      slot.busy = true;
      this.#run(slot, next);
    }
  }

  #run(slot: Slot, waiting: Waiting): void {
    const worker = slot.worker ?? this.#start();
    slot.worker = worker;
    worker.ref();
    const shared = new SharedArrayBuffer(SHARED_BYTES);
    const words = new Int32Array(shared);
    const cancel = (): void => {
      Atomics.store(words, CANCEL, 1);
    };
    const settle = (settled: () => void, keep: boolean): void => {
      clearInterval(watch);
      waiting.signal?.removeEventListener('abort', cancel);
      worker.onmessage = null;
      worker.onerror = null;
      if (keep) worker.unref();
      else {
        worker.terminate();
        slot.worker = undefined;
      }
      slot.busy = false;
      settled();
      this.#dispatch();
    };
    let seen = 0;
    let silentMs = 0;
    const watch = setInterval(() => {
      const progress = Atomics.load(words, PROGRESS);
      silentMs = progress === seen ? silentMs + CHECK_EVERY_MS : 0;
      seen = progress;
      if (silentMs < SILENCE_LIMIT_MS) return;
      settle(() => waiting.reject(deadlineExceeded(`unpacking made no progress for ${silentMs / 1000} s`)), false);
    }, CHECK_EVERY_MS);
    worker.onmessage = (event: MessageEvent<JobAnswer>) => {
      const answer = event.data;
      settle(() => {
        if (answer.ok) waiting.resolve(answer.result);
        else waiting.reject(new BerthError(answer.kind, answer.message));
      }, true);
    };
    worker.onerror = (event: ErrorEvent) => {
      event.preventDefault();
      settle(() => waiting.reject(systemError(`the archive worker failed: ${event.message}`)), false);
    };
    waiting.signal?.addEventListener('abort', cancel, { once: true });
    const message: JobMessage = { job: waiting.job, shared };
    worker.postMessage(message);
  }
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof BerthError ? signal.reason : cancelled('the request was cancelled');
}
