/**
 * Builds of the control API under way, by their refs. Three calls of a client belong to one: Solve, which ends with it,
 * Status, which tells of it, and the frontend's, which begins it; they come in any order.
 */
import { randomUUID } from 'node:crypto';
import type { MessageOf } from '#pkg/protobuf/protobuf.ts';
import type { solveRequest } from '#builder/buildkit/control-methods.ts';
import type { StatusMessage } from '#builder/buildkit/trace.ts';
import { conflict, notFound } from '#errdefs/errors.ts';
import { Arrivals } from '#pkg/arrivals/arrivals.ts';

export type SolveRequest = MessageOf<typeof solveRequest>;
export type ExporterResponse = ReadonlyMap<string, string>;

/** How long the other calls wait for the Solve. */
const WAIT_MS = 5_000;
/** Messages that are kept for a Status that comes late; progress beyond it is what a late one misses. */
const MESSAGES_MAX = 100_000;

/** So many refs are remembered. */
const ENDED_MAX = 100;

export class Solve {
  readonly request: SolveRequest;
  /** Aborted when the client has given up. */
  readonly signal: AbortSignal;
  /** What the exporters say, until the client says that it is the result. */
  response: ExporterResponse = new Map();
  /** Why its build failed; the client says only its message. */
  failure: unknown;
  /** What it has made, until it ends. */
  readonly held = new AsyncDisposableStack();
  readonly #messages: StatusMessage[] = [];
  readonly #outcome = Promise.withResolvers<ExporterResponse>();
  readonly beganAt = new Date();
  #endedAt: Date | undefined;
  #failed: unknown;
  #ended = false;
  #wake = Promise.withResolvers<void>();

  constructor(request: SolveRequest, signal: AbortSignal) {
    this.request = request;
    this.signal = signal;
    // Nobody may be waiting when it fails.
    this.#outcome.promise.catch(() => undefined);
  }

  get outcome(): Promise<ExporterResponse> {
    return this.#outcome.promise;
  }

  get endedAt(): Date | undefined {
    return this.#endedAt;
  }

  /** Why it failed; undefined when it did not. */
  get outcomeError(): unknown {
    return this.#failed;
  }

  told(): readonly StatusMessage[] {
    return this.#messages;
  }

  tell(message: StatusMessage): void {
    if (this.#messages.length < MESSAGES_MAX) this.#messages.push(message);
    this.#next();
  }

  finish(): void {
    this.#outcome.resolve(this.response);
    this.end();
  }

  fail(error: unknown): void {
    if (this.#endedAt === undefined) this.#failed = error;
    this.#outcome.reject(error);
    this.end();
  }

  /** Nothing more will be told. */
  end(): void {
    this.#ended = true;
    this.#endedAt ??= new Date();
    this.#next();
  }

  /** All messages, from the first. */
  async *messages(): AsyncGenerator<StatusMessage> {
    for (let at = 0; ; ) {
      const message = this.#messages[at];
      if (message !== undefined) {
        at++;
        yield message;
      } else if (this.#ended) {
        return;
      } else {
        await this.#wake.promise;
      }
    }
  }

  #next(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }
}

export class Solves {
  readonly #solves = new Arrivals<Solve>();
  readonly #active = new Set<Solve>();
  /** The last refs that are over. */
  readonly #ended: string[] = [];
  /** Builds whose result others may begin with, by what clients call it: until their Solve ends. */
  readonly #results = new Map<string, { readonly solve: Solve; readonly image: () => Promise<string> }>();
  /** Results that are files: open roots, which end with their Solves. */
  readonly #files = new Map<string, { readonly solve: Solve; readonly root: number }>();

  /** Errors: conflict. */
  begin(request: SolveRequest, signal: AbortSignal): Solve {
    if (this.#solves.has(request.ref)) throw conflict(`build ${request.ref} exists`);
    const solve = new Solve(request, signal);
    this.#solves.put(request.ref, solve);
    this.#active.add(solve);
    return solve;
  }

  /** Calls that are under way go on with it. */
  forget(solve: Solve): void {
    this.#solves.delete(solve.request.ref);
    this.#active.delete(solve);
    this.#ended.push(solve.request.ref);
    if (this.#ended.length > ENDED_MAX) this.#ended.shift();
    for (const [id, result] of this.#results) if (result.solve === solve) this.#results.delete(id);
    for (const [id, files] of this.#files) if (files.solve === solve) this.#files.delete(id);
  }

  /** Builds for people that have not ended. */
  active(): readonly Solve[] {
    return [...this.#active].filter(({ request, endedAt }) => !request.internal && endedAt === undefined);
  }

  /** The name of a result; `image` tells the id of its image, which may have to be made. */
  keep(solve: Solve, image: () => Promise<string>): string {
    const id = randomUUID();
    this.#results.set(id, { solve, image });
    return id;
  }

  /** Errors: not-found. */
  resultOf(id: string): { readonly image: () => Promise<string> } {
    const result = this.#results.get(id);
    if (result === undefined) throw notFound(`no such result ${id}`);
    return result;
  }

  /** The name of a result that is a directory. */
  keepFiles(solve: Solve, root: number): string {
    const id = randomUUID();
    this.#files.set(id, { solve, root });
    return id;
  }

  /** Errors: not-found. */
  filesOf(id: string): number {
    const files = this.#files.get(id);
    if (files === undefined) throw notFound(`no such result of files ${id}`);
    return files.root;
  }

  /** Is over: nobody has to wait for it. A short build may be before its Status comes. */
  isOver(ref: string): boolean {
    return !this.has(ref) && this.#ended.includes(ref);
  }

  has(ref: string): boolean {
    return this.#solves.has(ref);
  }

  /** Errors: not-found when it does not come; cancelled. */
  async get(ref: string, signal: AbortSignal): Promise<Solve> {
    if (this.isOver(ref)) throw notFound(`no such job ${ref}`);
    return this.#solves.get(ref, { signal, waitMs: WAIT_MS, missing: notFound(`no such job ${ref}`) });
  }
}
