/**
 * Statistics for whoever asks: one collector for all streams of a container, samples only while somebody asks. An answer
 * always stands on two real samples of the same process, so that a client can tell the use of the processor from it; of
 * a container that was sampled a moment ago the earlier one is there already, else the second follows after a window.
 *
 * Invariants: without streams there is no timer; a frame's `precpu_stats` is older than its `cpu_stats` and of the same
 * process.
 */
import type { ContainerStats } from '#api/types/stats.ts';

export interface Sample {
  /** Names the process: a restarted container counts from zero. */
  readonly startTicks: bigint;
  /** Monotonic. */
  readonly atMs: number;
  readonly stats: ContainerStats<bigint>;
}

export interface StatsSource {
  /** undefined when the container does not run. */
  sample(id: string): Sample | undefined;
  /** Of a container that does not run; undefined when there is none any more. */
  empty(id: string): ContainerStats<bigint> | undefined;
  /** Time between two samples of a first answer. */
  windowMs(id: string): number;
  sleep(ms: number): Promise<void>;
  nowMs(): number;
}

type Frame = ContainerStats<bigint>;

export interface Subscriber {
  /** Resolves when there is room for another. */
  readonly emit: (frame: Frame) => Promise<void>;
  /** The container is gone, or the client. */
  readonly end: (error?: unknown) => void;
}

interface Stream {
  readonly subscribers: Map<Subscriber, { busy: boolean }>;
  readonly timer: NodeJS.Timeout;
  last: Sample | undefined;
  frame: Frame | undefined;
}

const STREAM_INTERVAL_MS = 1000;
/** How long a sample may serve as the earlier one of an answer. */
const KEPT_MS = 5000;

export class StatsCollector {
  readonly #source: StatsSource;
  readonly #streams = new Map<string, Stream>();
  /** Last samples, oldest first. */
  readonly #kept = new Map<string, Sample>();
  readonly #underWay = new Map<string, Promise<Frame | undefined>>();

  constructor(source: StatsSource) {
    this.#source = source;
  }

  /** How many containers are being streamed: for tests and metrics. */
  get streams(): number {
    return this.#streams.size;
  }

  /** One sample, without an earlier one, as the API has it. */
  oneShot(id: string): Frame | undefined {
    const sample = this.#sample(id);
    return sample?.stats ?? this.#source.empty(id);
  }

  /** A frame that stands on two samples. Whoever asks for the same at the same time gets the same. */
  once(id: string): Promise<Frame | undefined> {
    const known = this.#underWay.get(id);
    if (known !== undefined) return known;
    const work = this.#pair(id).finally(() => this.#underWay.delete(id));
    this.#underWay.set(id, work);
    return work;
  }

  /** A frame as soon as there is one, then one a second. */
  subscribe(id: string, subscriber: Subscriber): Disposable {
    const known = this.#streams.get(id);
    const stream = known ?? this.#open(id);
    stream.subscribers.set(subscriber, { busy: false });
    if (known === undefined) void this.#first(id, stream);
    else if (stream.frame !== undefined) this.#deliver(stream, subscriber, stream.frame);
    return { [Symbol.dispose]: () => this.#leave(id, stream, subscriber) };
  }

  async #pair(id: string): Promise<Frame | undefined> {
    const window = this.#source.windowMs(id);
    let first = this.#kept.get(id);
    const age = first === undefined ? Infinity : this.#source.nowMs() - first.atMs;
    if (age < window || age > KEPT_MS) {
      first = this.#sample(id);
      if (first === undefined) return this.#source.empty(id);
      await this.#source.sleep(window);
    }
    const second = this.#sample(id);
    if (second === undefined) return this.#source.empty(id);
    return joined(first, second);
  }

  /** Samples and keeps the sample for the next answer. */
  #sample(id: string): Sample | undefined {
    const sample = this.#source.sample(id);
    this.#kept.delete(id);
    if (sample !== undefined) this.#kept.set(id, sample);
    for (const [other, { atMs }] of this.#kept) {
      if (this.#source.nowMs() - atMs <= KEPT_MS) break;
      this.#kept.delete(other);
    }
    return sample;
  }

  #open(id: string): Stream {
    const timer = setInterval(() => this.#tick(id), STREAM_INTERVAL_MS);
    const stream: Stream = { subscribers: new Map(), timer, last: undefined, frame: undefined };
    this.#streams.set(id, stream);
    return stream;
  }

  async #first(id: string, stream: Stream): Promise<void> {
    try {
      const frame = await this.once(id);
      // A tick may have been faster.
      if (stream.frame !== undefined) return;
      stream.last = this.#kept.get(id);
      this.#publish(id, stream, frame);
    } catch (error) {
      this.#end(id, stream, error);
    }
  }

  #tick(id: string): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    try {
      const sample = this.#sample(id);
      const frame = sample === undefined ? this.#source.empty(id) : joined(stream.last, sample);
      stream.last = sample;
      this.#publish(id, stream, frame);
    } catch (error) {
      this.#end(id, stream, error);
    }
  }

  #publish(id: string, stream: Stream, frame: Frame | undefined): void {
    if (frame === undefined) return this.#end(id, stream);
    stream.frame = frame;
    for (const subscriber of stream.subscribers.keys()) this.#deliver(stream, subscriber, frame);
  }

  /** A slow client misses frames; it does not hold up others nor make the daemon grow. */
  #deliver(stream: Stream, subscriber: Subscriber, frame: Frame): void {
    const state = stream.subscribers.get(subscriber);
    if (state === undefined || state.busy) return;
    state.busy = true;
    subscriber.emit(frame).then(
      () => (state.busy = false),
      (error: unknown) => subscriber.end(error),
    );
  }

  #end(id: string, stream: Stream, error?: unknown): void {
    for (const subscriber of [...stream.subscribers.keys()]) {
      this.#leave(id, stream, subscriber);
      subscriber.end(error);
    }
  }

  #leave(id: string, stream: Stream, subscriber: Subscriber): void {
    stream.subscribers.delete(subscriber);
    if (stream.subscribers.size > 0 || this.#streams.get(id) !== stream) return;
    clearInterval(stream.timer);
    this.#streams.delete(id);
  }
}

function joined(first: Sample | undefined, second: Sample): Frame {
  if (first === undefined || first.startTicks !== second.startTicks) return second.stats;
  return { ...second.stats, preread: first.stats.read, precpu_stats: first.stats.cpu_stats };
}
