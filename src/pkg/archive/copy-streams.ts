/**
 * Packs for and unpacks from clients, off the main thread. Pieces of a megabyte go to and fro by transfer, and their
 * memory goes back; a reader or writer that is slower holds up nobody, since Workers do a piece at a time and never wait.
 * What is longer, and comes over a socket that can be lent, does not pass this thread at all: a Worker that has nothing
 * else to do reads or writes the socket itself, and waits for it.
 *
 * A file system that hangs (nfs, fuse in a container) holds up its Worker, hence more than one. Workers are made when
 * needed and kept. The URL below has the form that tools/build.ts looks for.
 */
import { BerthError, cancelled, systemError } from '#errdefs/errors.ts';
import type { BodyInput, BodyOutput, BodyRest, LentInput } from '#pkg/http-body/lent.ts';
import { eventfd, ring } from '#sys/epoll.ts';
import { close, dup, ownedFd } from '#sys/files.ts';
import { PIECE_BYTES } from './pack.ts';
import type {
  FromWorker,
  KeepJob,
  PackOneJob,
  PackTreeJob,
  StreamJob,
  TakingJob,
  ToWorker,
  UnpackIntoJob,
} from './copy-jobs.ts';
import type { KeptSummary } from './kept/receive.ts';
import type { UnpackCounts } from './unpack.ts';

const WORKERS_MAX = 4;
/** Workers that wait for a socket; one at least is left for the others. */
const LENT_MAX = WORKERS_MAX - 1;
/** What is shorter is not worth it. */
const LEND_BYTES = PIECE_BYTES / 2;
/** Pieces under way in each direction: one is made, one is moved, one waits. */
const PIECES_AHEAD = 3;

export interface StreamOptions {
  readonly signal?: AbortSignal | undefined;
}

interface Active {
  readonly slot: Slot;
  readonly pieces: { memory: ArrayBuffer; length: number }[];
  readonly free: ArrayBuffer[];
  result: UnpackCounts | KeptSummary | undefined;
  ended: boolean;
  failure: Error | undefined;
  /** Bytes sent to an unpacking job and not taken yet, in pieces. */
  sent: number;
  wake: (() => void) | undefined;
  /** Ends the Worker's waiting for its socket. */
  stop: number;
  rest: BodyRest | undefined;
}

interface Slot {
  readonly worker: Worker;
  active: number;
  /** Its Worker waits for a socket, and hears nothing meanwhile. */
  lent: boolean;
}

export class ArchiveStreams {
  readonly #slots: Slot[] = [];
  readonly #active = new Map<number, Active>();
  #next = 1;
  #closed = false;

  /**
   * Packs to `output`. Settles when the Worker has let go of the job's descriptors. Errors: those of the files; cancelled by `signal`.
   */
  async pack(job: PackTreeJob | PackOneJob, output: BodyOutput, options: StreamOptions = {}): Promise<void> {
    const id = this.#start(job, options);
    const active = this.#get(id);
    try {
      // One alone before it is known who writes the others.
      this.#post(active, { kind: 'more', id, memory: undefined });
      let ahead = 1;
      for (;;) {
        const piece = active.pieces.shift();
        if (piece !== undefined) {
          await heeding(options.signal, output.write(new Uint8Array(piece.memory, 0, piece.length)));
          if (active.ended) continue;
          if (ahead === 1 && piece.length >= LEND_BYTES && (await this.#writeTo(id, active, output, options))) continue;
          this.#post(active, { kind: 'more', id, memory: piece.memory }, [piece.memory]);
          for (; ahead < PIECES_AHEAD; ahead++) this.#post(active, { kind: 'more', id, memory: undefined });
        } else if (active.ended) break;
        else await this.#something(active);
        options.signal?.throwIfAborted();
      }
      if (active.failure !== undefined) throw active.failure;
    } finally {
      await this.#finish(id, active);
    }
  }

  /** Unpacks what comes. Settles as `pack` does. Errors: data-loss, invalid-parameter, system; cancelled; the source's. */
  async unpack(job: UnpackIntoJob, source: BodyInput, options: StreamOptions = {}): Promise<UnpackCounts> {
    // as: the Worker answers each kind of job with its own result.
    return (await this.#feed(job, source, options)) as UnpackCounts;
  }

  /** Takes what comes into a kept tree. Settles as `pack` does. Errors: as `unpack`. */
  async keep(job: KeepJob, source: BodyInput, options: StreamOptions = {}): Promise<KeptSummary> {
    // as: the Worker answers each kind of job with its own result.
    return (await this.#feed(job, source, options)) as KeptSummary;
  }

  async #feed(job: TakingJob, source: BodyInput, options: StreamOptions): Promise<UnpackCounts | KeptSummary> {
    const id = this.#start(job, options);
    const active = this.#get(id);
    let memory: ArrayBuffer | undefined;
    let view = new Uint8Array(0);
    let used = 0;
    const send = (): void => {
      if (memory === undefined || used === 0) return;
      active.sent += 1;
      this.#post(active, { kind: 'bytes', id, memory, length: used }, [memory]);
      memory = undefined;
      used = 0;
    };
    const add = async (chunk: Uint8Array): Promise<void> => {
      for (let at = 0; at < chunk.length; ) {
        if (memory === undefined) {
          while (active.sent >= PIECES_AHEAD && !active.ended) await this.#something(active);
          if (active.ended) break;
          memory = active.free.pop() ?? new ArrayBuffer(PIECE_BYTES);
          view = new Uint8Array(memory);
        }
        const count = Math.min(PIECE_BYTES - used, chunk.length - at);
        view.set(at === 0 && count === chunk.length ? chunk : chunk.subarray(at, at + count), used);
        used += count;
        at += count;
        // A full piece, or a Worker that would have nothing to do.
        if (used === PIECE_BYTES || active.sent === 0) send();
      }
    };
    let lent: LentInput | undefined;
    let wait = LEND_BYTES;
    try {
      for await (const chunk of untilAborted(source, options.signal)) {
        if (active.ended) break;
        await add(chunk);
        options.signal?.throwIfAborted();
        wait -= chunk.length;
        if (wait > 0) continue;
        lent = await this.#reserved(active, () => source.lend?.());
        if (lent !== undefined) break;
        wait = Number.POSITIVE_INFINITY;
      }
      for (const chunk of lent?.queued ?? []) await add(chunk);
      send();
      if (lent !== undefined) this.#readFrom(id, active, lent);
      else if (!active.ended) this.#post(active, { kind: 'end', id });
      while (!active.ended) {
        await this.#something(active);
        options.signal?.throwIfAborted();
      }
      if (active.failure !== undefined) throw active.failure;
      if (active.result === undefined) throw systemError('the archive worker counted nothing');
      return active.result;
    } finally {
      await this.#finish(id, active);
      lent?.giveBack(active.rest);
    }
  }

  /** Asks for a socket where the Worker has nothing else to do, and gives it nothing else to do from then on. */
  async #reserved<T>({ slot, ended }: Active, lend: () => Promise<T | undefined> | undefined): Promise<T | undefined> {
    const lentTo = this.#slots.filter((other) => other.lent).length;
    if (ended || slot.active !== 1 || lentTo >= LENT_MAX) return undefined;
    slot.lent = true;
    let lent: T | undefined;
    try {
      lent = await lend();
    } finally {
      slot.lent = lent !== undefined;
    }
    return lent;
  }

  /** False: nobody lends a socket. */
  async #writeTo(id: number, active: Active, output: BodyOutput, { signal }: StreamOptions): Promise<boolean> {
    const lent = await this.#reserved(active, () => heeding(signal, output.lend?.()));
    if (lent === undefined) return false;
    this.#post(active, { kind: 'write-to', id, chunked: lent.chunked, ...this.#lendTo(active, lent.fd) });
    return true;
  }

  #readFrom(id: number, active: Active, lent: LentInput): void {
    // Until the Worker says otherwise: one whose job has failed reads nothing.
    active.rest = { position: lent.position, bytes: new Uint8Array(0) };
    if (active.ended) return;
    this.#post(active, { kind: 'read-from', id, position: lent.position, ...this.#lendTo(active, lent.fd) });
  }

  /** Descriptors that the Worker closes. */
  #lendTo(active: Active, fd: number): { fd: number; stop: number } {
    using ours = ownedFd(eventfd());
    using stop = ownedFd(dup(ours.fd));
    const socket = dup(fd);
    active.stop = ours.release();
    return { fd: socket, stop: stop.release() };
  }

  /** Ends the Workers. */
  close(): void {
    this.#closed = true;
    for (const slot of this.#slots.splice(0)) slot.worker.terminate();
    for (const active of this.#active.values()) this.#settle(active, cancelled('the archive streams are closed'));
  }

  #start(job: StreamJob, options: StreamOptions): number {
    if (this.#closed) throw cancelled('the archive streams are closed');
    options.signal?.throwIfAborted();
    const slot = this.#slot();
    const id = this.#next++;
    const active: Active = {
      slot,
      pieces: [],
      free: [],
      result: undefined,
      ended: false,
      failure: undefined,
      sent: 0,
      wake: undefined,
      stop: -1,
      rest: undefined,
    };
    this.#active.set(id, active);
    slot.active += 1;
    if (slot.active === 1) slot.worker.ref();
    options.signal?.addEventListener('abort', () => this.#wakeUp(active), { once: true });
    this.#post(active, { kind: 'start', id, job });
    return id;
  }

  #get(id: number): Active {
    const active = this.#active.get(id);
    if (active === undefined) throw systemError('an archive stream ended before it began');
    return active;
  }

  /** Whatever happened, the Worker has let go of the job afterwards. */
  async #finish(id: number, active: Active): Promise<void> {
    if (!active.ended) {
      if (active.stop >= 0) ring(active.stop);
      this.#post(active, { kind: 'cancel', id });
      while (!active.ended) await this.#something(active);
    }
    this.#active.delete(id);
    const { slot } = active;
    slot.active -= 1;
    if (slot.active === 0) slot.lent = false;
    if (active.stop >= 0) close(active.stop);
    if (slot.active === 0) slot.worker.unref();
  }

  /** An idle Worker, a new one, or the least busy. */
  #slot(): Slot {
    const free = this.#slots.filter((slot) => !slot.lent);
    const best = free.reduce<Slot | undefined>((a, b) => (a === undefined || b.active < a.active ? b : a), undefined);
    if (best !== undefined && (best.active === 0 || this.#slots.length >= WORKERS_MAX)) return best;
    const worker = new Worker(new URL('./copy-worker.ts', import.meta.url));
    const slot: Slot = { worker, active: 0, lent: false };
    worker.onmessage = (event: MessageEvent<FromWorker>) => this.#take(event.data);
    worker.onerror = (event: ErrorEvent) => {
      event.preventDefault();
      this.#died(slot, event.message);
    };
    worker.unref();
    this.#slots.push(slot);
    return slot;
  }

  #died(slot: Slot, why: string): void {
    this.#slots.splice(this.#slots.indexOf(slot), 1);
    slot.worker.terminate();
    for (const active of this.#active.values()) {
      if (active.slot !== slot) continue;
      // Nobody knows how far it has read.
      active.rest = undefined;
      this.#settle(active, systemError(`the archive worker failed: ${why}`));
    }
  }

  #take(message: FromWorker): void {
    const active = this.#active.get(message.id);
    if (active === undefined) return;
    if (message.kind === 'piece') active.pieces.push(message);
    else if (message.kind === 'rest') active.rest = message.rest;
    else if (message.kind === 'taken') {
      active.sent -= 1;
      active.free.push(message.memory);
    } else if (message.kind === 'done') {
      active.result = message.result;
      active.ended = true;
    } else {
      active.failure = new BerthError(message.error, message.message);
      active.ended = true;
    }
    this.#wakeUp(active);
  }

  #settle(active: Active, failure: Error): void {
    active.failure ??= failure;
    active.ended = true;
    this.#wakeUp(active);
  }

  #something(active: Active): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    active.wake = resolve;
    return promise;
  }

  #wakeUp(active: Active): void {
    const { wake } = active;
    active.wake = undefined;
    wake?.();
  }

  #post(active: Active, message: ToWorker, transfer: ArrayBuffer[] = []): void {
    active.slot.worker.postMessage(message, transfer);
  }
}

/** The promise's, unless it is aborted first: a client that reads nothing must not hold up a removal. */
async function heeding<T>(signal: AbortSignal | undefined, promise: Promise<T> | undefined): Promise<T | undefined> {
  if (promise === undefined || signal === undefined) return promise;
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(reasonOf(signal));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function reasonOf(signal: AbortSignal | undefined): Error {
  return signal?.reason instanceof Error ? signal.reason : cancelled('copying was cancelled');
}

/** The source itself, but an abort is heard also while it is silent. */
async function* untilAborted(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(reasonOf(signal));
  // Nobody may be waiting when it happens.
  aborted.catch(() => undefined);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
