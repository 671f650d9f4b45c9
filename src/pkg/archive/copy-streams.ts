/**
 * Packs for and unpacks from clients, off the main thread. Pieces of a megabyte go to and fro by transfer, and their
 * memory goes back; a reader or writer that is slower holds up nobody, since Workers do a piece at a time and never wait.
 *
 * A file system that hangs (nfs, fuse in a container) holds up its Worker, hence more than one. Workers are made when
 * needed and kept. The URL below has the form that tools/build.ts looks for.
 */
import { BerthError, cancelled, systemError } from '#errdefs/errors.ts';
import { PIECE_BYTES } from './pack.ts';
import type { FromWorker, PackOneJob, PackTreeJob, StreamJob, ToWorker, UnpackIntoJob } from './copy-jobs.ts';
import type { UnpackCounts } from './unpack.ts';

const WORKERS_MAX = 4;
/** Pieces under way in each direction: one is made, one is moved, one waits. */
const PIECES_AHEAD = 3;

export interface StreamOptions {
  readonly signal?: AbortSignal | undefined;
}

interface Active {
  readonly slot: Slot;
  readonly pieces: { memory: ArrayBuffer; length: number }[];
  readonly free: ArrayBuffer[];
  counts: UnpackCounts | undefined;
  ended: boolean;
  failure: Error | undefined;
  /** Bytes sent to an unpacking job and not taken yet, in pieces. */
  sent: number;
  wake: (() => void) | undefined;
}

interface Slot {
  readonly worker: Worker;
  active: number;
}

export class ArchiveStreams {
  readonly #slots: Slot[] = [];
  readonly #active = new Map<number, Active>();
  #next = 1;
  #closed = false;

  /**
   * Packs, and gives each piece to `write`, which takes the bytes before it returns and settles when there is room.
   * Settles when the Worker has let go of the job's descriptors. Errors: those of the files; cancelled by `signal`.
   */
  async pack(
    job: PackTreeJob | PackOneJob,
    write: (bytes: Uint8Array) => Promise<void>,
    options: StreamOptions = {},
  ): Promise<void> {
    const id = this.#start(job, options);
    const active = this.#get(id);
    try {
      for (let i = 0; i < PIECES_AHEAD; i++) this.#post(active, { kind: 'more', id, memory: undefined });
      for (;;) {
        const piece = active.pieces.shift();
        if (piece !== undefined) {
          await write(new Uint8Array(piece.memory, 0, piece.length));
          if (!active.ended) this.#post(active, { kind: 'more', id, memory: piece.memory }, [piece.memory]);
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
  async unpack(
    job: UnpackIntoJob,
    source: AsyncIterable<Uint8Array>,
    options: StreamOptions = {},
  ): Promise<UnpackCounts> {
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
    try {
      for await (const chunk of untilAborted(source, options.signal)) {
        if (active.ended) break;
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
        options.signal?.throwIfAborted();
      }
      send();
      if (!active.ended) this.#post(active, { kind: 'end', id });
      while (!active.ended) await this.#something(active);
      if (active.failure !== undefined) throw active.failure;
      if (active.counts === undefined) throw systemError('the archive worker counted nothing');
      return active.counts;
    } finally {
      await this.#finish(id, active);
    }
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
      counts: undefined,
      ended: false,
      failure: undefined,
      sent: 0,
      wake: undefined,
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
      this.#post(active, { kind: 'cancel', id });
      while (!active.ended) await this.#something(active);
    }
    this.#active.delete(id);
    const { slot } = active;
    slot.active -= 1;
    if (slot.active === 0) slot.worker.unref();
  }

  /** An idle Worker, a new one, or the least busy. */
  #slot(): Slot {
    const best = this.#slots.reduce<Slot | undefined>(
      (a, b) => (a === undefined || b.active < a.active ? b : a),
      undefined,
    );
    if (best !== undefined && (best.active === 0 || this.#slots.length >= WORKERS_MAX)) return best;
    const worker = new Worker(new URL('./copy-worker.ts', import.meta.url));
    const slot: Slot = { worker, active: 0 };
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
      if (active.slot === slot) this.#settle(active, systemError(`the archive worker failed: ${why}`));
    }
  }

  #take(message: FromWorker): void {
    const active = this.#active.get(message.id);
    if (active === undefined) return;
    if (message.kind === 'piece') active.pieces.push(message);
    else if (message.kind === 'taken') {
      active.sent -= 1;
      active.free.push(message.memory);
    } else if (message.kind === 'done') {
      active.counts = message.counts;
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

/** The source itself, but an abort is heard also while it is silent. */
async function* untilAborted(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void =>
    reject(signal?.reason instanceof Error ? signal.reason : cancelled('copying was cancelled'));
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
