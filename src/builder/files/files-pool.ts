/**
 * The Workers that hash and place files for builds: two, made when needed, kept warm. Jobs wait for a free one in their
 * order. Descriptors of a job stay the caller's and must be open until it has settled.
 */
import { BerthError, cancelled, systemError } from '#errdefs/errors.ts';
import type { DigestJob, DigestResult, FilesAnswer, FilesJob, FilesMessage, FilesResults, PlaceJob } from './jobs.ts';

const WORKERS = 2;
const FORGET_MS = 60_000;

interface Waiting {
  readonly job: FilesJob;
  readonly signal: AbortSignal;
  readonly done: PromiseWithResolvers<FilesResults[FilesJob['kind']]>;
}

interface Slot {
  worker: Worker | undefined;
  busy: boolean;
  /** The list of the last COPY that it has placed, and knows by heart. */
  placed: string;
}

export class FilesPool {
  readonly #slots: Slot[] = Array.from({ length: WORKERS }, () => ({
    worker: undefined,
    busy: false,
    placed: '',
  }));
  readonly #waiting: Waiting[] = [];
  #forgetting: ReturnType<typeof setTimeout> | undefined;

  digest(job: DigestJob, signal: AbortSignal): Promise<DigestResult> {
    return this.run<'digest'>(job, signal);
  }

  async place(job: PlaceJob, signal: AbortSignal): Promise<void> {
    await this.run<'place'>(job, signal);
  }

  run<K extends FilesJob['kind']>(
    job: Extract<FilesJob, { readonly kind: K }>,
    signal: AbortSignal,
  ): Promise<FilesResults[K]> {
    // as: the Worker answers each kind of job with its own result.
    return this.#ask(job, signal) as Promise<FilesResults[K]>;
  }

  /** A build is over: what Workers remember of its trees is of use to the next one, but not for long. */
  forgetSoon(): void {
    clearTimeout(this.#forgetting);
    this.#forgetting = setTimeout(() => this.#forget(), FORGET_MS);
    this.#forgetting.unref();
  }

  #forget(): void {
    for (const slot of this.#slots) {
      if (slot.worker === undefined || slot.busy) continue;
      slot.placed = '';
      const done = Promise.withResolvers<FilesResults[FilesJob['kind']]>();
      this.#run(slot, { job: { kind: 'forget' }, signal: new AbortController().signal, done });
      done.promise.catch(() => undefined);
    }
  }

  close(): void {
    clearTimeout(this.#forgetting);
    for (const { done } of this.#waiting.splice(0)) done.reject(cancelled('the builder is closed'));
    for (const slot of this.#slots) slot.worker?.terminate();
  }

  #ask(job: FilesJob, signal: AbortSignal): Promise<FilesResults[FilesJob['kind']]> {
    const done = Promise.withResolvers<FilesResults[FilesJob['kind']]>();
    this.#waiting.push({ job, signal, done });
    this.#dispatch();
    return done.promise;
  }

  #dispatch(): void {
    for (;;) {
      const [next] = this.#waiting;
      const slot = next === undefined ? undefined : this.#freeSlot(next.job);
      if (next === undefined || slot === undefined) return;
      this.#waiting.shift();
      if (next.signal.aborted) next.done.reject(reasonOf(next.signal));
      else this.#run(slot, next);
    }
  }

  #freeSlot(job: FilesJob): Slot | undefined {
    const free = this.#slots.filter(({ busy }) => !busy);
    // One that lies over another is known there.
    const known = job.kind === 'kept-tar' ? job.list : job.kind === 'kept-place' ? job.over : '';
    return (known === '' ? undefined : free.find(({ placed }) => placed === known)) ?? free[0];
  }

  #run(slot: Slot, { job, signal, done }: Waiting): void {
    const worker = slot.worker ?? new Worker(new URL('./files-worker.ts', import.meta.url));
    slot.worker = worker;
    slot.busy = true;
    if (job.kind === 'kept-place') slot.placed = job.list;
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
