/**
 * The engine runs jobs: every piece of work of the daemon is a typed token (name, input, output) with one handler.
 * That one choke point gives the record of who asked for what, cancellation, draining at shutdown and durations.
 * The API server knows tokens only; handlers are installed by the daemon, so neither imports the other.
 *
 * Invariants: a name has one handler; after `drain` began no job starts; a record's `status` changes once.
 */
import { BerthError, cancelled, conflict, kindOf, messageOf, notFound, unavailable } from '#errdefs/errors.ts';

/** A kind of work. The type parameters exist at compile time only. */
export interface JobToken<Input, Output> {
  readonly name: string;
  /** Long-lived work (follow, wait, attach) is not waited for when the engine drains: it is cancelled at once. */
  readonly longLived: boolean;
  readonly _input?: (input: Input) => void;
  readonly _output?: () => Output;
}

export function defineJob<Input, Output>(name: string, options: { longLived?: boolean } = {}): JobToken<Input, Output> {
  return { name, longLived: options.longLived ?? false };
}

/** Who asked: shown by `berth jobs`. */
export interface Caller {
  /** 'api' for requests, else the part of the daemon that started the job ('restart-policy', 'restore', 'exit'). */
  readonly source: string;
  readonly uid?: number;
  readonly pid?: number;
  readonly userAgent?: string;
  readonly remote?: string;
}

export interface JobContext {
  readonly id: string;
  readonly caller: Caller;
  /** Aborted when the client goes away, the job is cancelled, or the engine drains past its limit. */
  readonly signal: AbortSignal;
}

export type JobStatus = 'running' | 'done' | 'failed' | 'cancelled';

export interface JobRecord {
  readonly id: string;
  readonly name: string;
  readonly caller: Caller;
  /** What it works on, when the input has it: a container, image or volume. */
  readonly subject: string;
  readonly startedAt: Date;
  endedAt?: Date;
  durationMs?: number;
  status: JobStatus;
  error?: string;
}

export type JobHandler<Input, Output> = (input: Input, ctx: JobContext) => Promise<Output> | Output;

export interface EngineObserver {
  jobStarted?(record: JobRecord): void;
  jobEnded?(record: JobRecord, error: unknown): void;
}

interface Running {
  readonly record: JobRecord;
  readonly controller: AbortController;
  readonly longLived: boolean;
  readonly settled: Promise<unknown>;
}

const RECORDS_MAX = 1000;

export class Engine {
  readonly #handlers = new Map<string, JobHandler<never, unknown>>();
  readonly #running = new Map<string, Running>();
  readonly #ended: JobRecord[] = [];
  readonly #observer: EngineObserver;
  readonly #now: () => Date;
  #next = 1;
  #draining = false;

  constructor(options: { observer?: EngineObserver; now?: () => Date } = {}) {
    this.#observer = options.observer ?? {};
    this.#now = options.now ?? (() => new Date());
  }

  /** Gives a token its handler. Errors: conflict when it has one already. */
  register<Input, Output>(token: JobToken<Input, Output>, handler: JobHandler<Input, Output>): void {
    if (this.#handlers.has(token.name)) throw conflict(`Cannot register job "${token.name}": it has a handler`);
    this.#handlers.set(token.name, handler);
  }

  has(name: string): boolean {
    return this.#handlers.has(name);
  }

  /** Runs a job to its end. `signal` is the asker's: when it aborts, so does the job's. */
  async run<Input, Output>(
    token: JobToken<Input, Output>,
    input: Input,
    options: { caller: Caller; signal?: AbortSignal },
  ): Promise<Output> {
    if (this.#draining) throw unavailable('the daemon is shutting down');
    const handler = this.#handlers.get(token.name);
    if (handler === undefined) throw notFound(`No handler for job "${token.name}"`);
    const id = String(this.#next++);
    const controller = new AbortController();
    const signal =
      options.signal === undefined ? controller.signal : AbortSignal.any([controller.signal, options.signal]);
    const record: JobRecord = {
      id,
      name: token.name,
      caller: options.caller,
      subject: subjectOf(input),
      startedAt: this.#now(),
      status: 'running',
    };
    const started = performance.now();
    this.#observer.jobStarted?.(record);
    // as: see register.
    const call = handler as unknown as JobHandler<Input, Output>;
    const settled = (async () => call(input, { id, caller: options.caller, signal }))();
    this.#running.set(id, { record, controller, longLived: token.longLived, settled });
    let error: unknown;
    try {
      const output = await settled;
      record.status = 'done';
      return output;
    } catch (e) {
      error = e;
      record.status = kindOf(e) === 'cancelled' || controller.signal.aborted ? 'cancelled' : 'failed';
      record.error = messageOf(e);
      throw e;
    } finally {
      record.endedAt = this.#now();
      record.durationMs = performance.now() - started;
      this.#running.delete(id);
      this.#ended.push(record);
      if (this.#ended.length > RECORDS_MAX) this.#ended.shift();
      this.#observer.jobEnded?.(record, error);
    }
  }

  /** Running jobs first, then ended ones, newest first. */
  list(): JobRecord[] {
    return [...[...this.#running.values()].map((r) => r.record), ...this.#ended.toReversed()];
  }

  /** Aborts a running job's signal. Errors: not-found, conflict when it has ended. */
  cancel(id: string): void {
    const running = this.#running.get(id);
    if (running !== undefined) {
      running.controller.abort(cancelled(`job ${id} was cancelled`));
      return;
    }
    if (this.#ended.some((r) => r.id === id)) throw conflict(`Cannot cancel job "${id}": it has ended`);
    throw notFound(`No such job: ${id}`);
  }

  /** Refuses new jobs, cancels long-lived ones, gives the others `limitMs`, then cancels what is left. */
  async drain(limitMs: number): Promise<void> {
    this.#draining = true;
    const reason = new BerthError('cancelled', 'the daemon is shutting down');
    for (const r of this.#running.values()) if (r.longLived) r.controller.abort(reason);
    const all = Promise.allSettled([...this.#running.values()].map((r) => r.settled));
    const { promise: limit, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => resolve(undefined), limitMs);
    await Promise.race([all, limit]);
    clearTimeout(timer);
    for (const r of this.#running.values()) r.controller.abort(reason);
  }
}

function subjectOf(input: unknown): string {
  if (typeof input !== 'object' || input === null) return '';
  for (const key of ['container', 'image', 'name', 'volume', 'network', 'exec']) {
    const value: unknown = Reflect.get(input, key);
    if (typeof value === 'string') return value;
  }
  return '';
}
