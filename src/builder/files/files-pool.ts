/**
 * The Workers that hash and place files for builds: two, made when needed, kept warm. Jobs wait for a free one in their
 * order. Descriptors of a job stay the caller's and must be open until it has settled.
 */
import { BerthError, cancelled, systemError } from '#errdefs/errors.ts';
import type { DigestJob, DigestResult, FilesAnswer, FilesJob, FilesMessage, PlaceJob } from './jobs.ts';

const WORKERS = 2;

interface Waiting {
  readonly job: FilesJob;
  readonly signal: AbortSignal;
  readonly done: PromiseWithResolvers<DigestResult | undefined>;
}

interface Slot {
  worker: Worker | undefined;
  busy: boolean;
}

export class FilesPool {
  readonly #slots: Slot[] = Array.from({ length: WORKERS }, () => ({ worker: undefined, busy: false }));
  readonly #waiting: Waiting[] = [];

  async digest(job: DigestJob, signal: AbortSignal): Promise<DigestResult> {
    const result = await this.#ask(job, signal);
    if (result === undefined) throw systemError('the builder found no digest');
    return result;
  }

  async place(job: PlaceJob, signal: AbortSignal): Promise<void> {
    await this.#ask(job, signal);
  }

  close(): void {
    for (const { done } of this.#waiting.splice(0)) done.reject(cancelled('the builder is closed'));
    for (const slot of this.#slots) slot.worker?.terminate();
  }

  #ask(job: FilesJob, signal: AbortSignal): Promise<DigestResult | undefined> {
    const done = Promise.withResolvers<DigestResult | undefined>();
    this.#waiting.push({ job, signal, done });
    this.#dispatch();
    return done.promise;
  }

  #dispatch(): void {
    for (const slot of this.#slots) {
      if (slot.busy) continue;
      const next = this.#waiting.shift();
      if (next === undefined) return;
      if (next.signal.aborted) {
        next.done.reject(reasonOf(next.signal));
        this.#dispatch();
        return;
      }
      this.#run(slot, next);
    }
  }

  #run(slot: Slot, { job, signal, done }: Waiting): void {
    const worker = slot.worker ?? new Worker(new URL('./files-worker.ts', import.meta.url));
    slot.worker = worker;
    slot.busy = true;
    worker.ref();
    const cancel = new SharedArrayBuffer(4);
    const stop = (): void => void Atomics.store(new Int32Array(cancel), 0, 1);
    signal.addEventListener('abort', stop, { once: true });
    const settle = (settled: () => void): void => {
      signal.removeEventListener('abort', stop);
      worker.onmessage = null;
      worker.onerror = null;
      worker.unref();
      slot.busy = false;
      settled();
      this.#dispatch();
    };
    worker.onmessage = ({ data: answer }: MessageEvent<FilesAnswer>) =>
      settle(() => {
        if (answer.ok) done.resolve(answer.result);
        else done.reject(new BerthError(answer.kind, answer.message));
      });
    worker.onerror = (event: ErrorEvent) => {
      event.preventDefault();
      settle(() => {
        worker.terminate();
        slot.worker = undefined;
        done.reject(systemError(`a worker of the builder failed: ${event.message}`));
      });
    };
    const message: FilesMessage = { job, cancel };
    worker.postMessage(message);
  }
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : cancelled('the build was cancelled');
}
