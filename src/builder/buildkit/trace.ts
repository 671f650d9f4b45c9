/**
 * A build's progress as BuildKit's StatusResponse. Vertices get digests, since clients refer to them by such; each
 * change goes out as one message. Times come from one clock.
 */
import { createHash } from 'node:crypto';
import type { MessageOf } from '#pkg/protobuf/protobuf.ts';
import type { Dockerfile } from '../dockerfile/instructions.ts';
import type { SourceFile, SourceRange } from '../dockerfile/source.ts';
import { CommandFailed } from '../errors.ts';
import type { EndDetail, Progress, StepOutcome, Vertex } from '../progress.ts';
import { type Base, type Described, StepNames } from './step-names.ts';
import type { statusResponse, vertexWarning } from './status-messages.ts';

export type StatusMessage = Partial<MessageOf<typeof statusResponse>>;

interface Known {
  readonly digest: string;
  readonly vertex: Vertex;
  /** Undefined: it is not shown. */
  name: string | undefined;
  started: Date | undefined;
  ended: boolean;
  readonly transfers: Map<string, Date>;
}

type Time = { readonly seconds: bigint; readonly nanos: number };

function timeOf(date: Date): Time {
  const ms = date.getTime();
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}

/** What an undefined time is in a message: not there. */
const timeOrNone = (date: Date | undefined): Time | undefined => (date === undefined ? undefined : timeOf(date));

const wordsOf = ({ error, failure }: EndDetail): string =>
  failure instanceof CommandFailed ? failure.asProcess : (error ?? 'failed');

const metadataName = ({ image, context }: Base, platform: string | undefined): string =>
  `[${platform === undefined ? '' : `${platform} `}${context === '' ? 'internal' : `context ${context}`}] load metadata for ${image}`;

export class Trace implements Progress {
  readonly #send: (message: StatusMessage) => void;
  readonly #now: () => Date;
  /** Equal steps of different builds must not share a digest. */
  readonly #ref: string;
  readonly #known = new Map<string, Known>();
  #names: StepNames | undefined;
  /** The step that the build failed at. */
  #failed: string | undefined;

  constructor(ref: string, send: (message: StatusMessage) => void, now: () => Date = () => new Date()) {
    this.#ref = ref;
    this.#send = send;
    this.#now = now;
  }

  /** The file is known from now on; it begins with asking what its images are. `platforms`: when there are several. */
  describe(
    file: Dockerfile,
    described: Described,
    platforms: readonly string[],
    isHere: (image: string) => boolean,
  ): void {
    this.#names = new StepNames(file, described);
    for (const platform of platforms.length > 1 ? platforms : [undefined]) {
      for (const base of described.bases.values()) {
        const name = metadataName(base, platform);
        if (base.image === '' || this.#known.has(name)) continue;
        this.vertex({ id: name, name, instruction: '', number: 0, total: 0, stage: '', inputs: [] });
        this.started(name);
        if (isHere(base.image)) this.ended(name, 'done', {});
      }
    }
  }

  /** Where the file says what failed. */
  get failedAt(): { readonly source: SourceFile; readonly range: SourceRange } | undefined {
    return this.#failed === undefined ? undefined : this.#names?.placeOf(this.#failed);
  }

  vertex(vertex: Vertex): void {
    const digest = this.#digestOf(vertex.id);
    const name = this.#names === undefined ? vertex.name : this.#names.nameOf(vertex);
    const known: Known = { digest, vertex, name, started: undefined, ended: false, transfers: new Map() };
    this.#known.set(vertex.id, known);
    this.#tell(known, {});
  }

  expanded(id: string, instruction: string): void {
    const known = this.#known.get(id);
    if (known?.name !== undefined) known.name = this.#names?.nameOf(known.vertex, instruction) ?? known.name;
  }

  started(id: string): void {
    const known = this.#known.get(id);
    // What an image is comes before its files.
    if (known === undefined || this.#metadataOf(id) !== undefined) return;
    known.started = this.#now();
    this.#tell(known, {});
  }

  container(): void {}

  containerGone(): void {}

  log(id: string, stream: 1 | 2, bytes: Uint8Array): void {
    const known = this.#known.get(id);
    if (known === undefined) return;
    this.#begun(id, known);
    // The caller may use its memory again.
    const msg = Uint8Array.from(bytes);
    this.#send({ logs: [{ vertex: known.digest, timestamp: timeOf(this.#now()), stream, msg }] });
  }

  status(id: string, name: string, current: number, total: number | undefined): void {
    const known = this.#known.get(id);
    if (known === undefined) return;
    const now = this.#now();
    const started = known.transfers.get(name) ?? now;
    known.transfers.set(name, started);
    const completed = total !== undefined && current >= total ? timeOf(now) : undefined;
    // Clients show "all of all" as that; a transfer whose size is known at its end only has none.
    const common = { id: name, vertex: known.digest, name, current, total: current === total ? 0 : (total ?? 0) };
    this.#send({ statuses: [{ ...common, timestamp: timeOf(now), started: timeOf(started), completed }] });
  }

  ended(id: string, outcome: StepOutcome, detail: EndDetail): void {
    const known = this.#known.get(id);
    // A step that has told its own end may be told of again by what it was part of.
    if (known === undefined || known.ended) return;
    const metadata = this.#metadataOf(id);
    if (metadata !== undefined && this.#known.get(metadata)?.ended === false && outcome !== 'cached') {
      this.ended(metadata, outcome, detail);
      if (outcome !== 'done') {
        if (outcome === 'failed') this.#failed = id;
        return;
      }
    }
    known.ended = true;
    const now = this.#now();
    known.started ??= now;
    if (outcome === 'failed') {
      this.#failed ??= id;
      known.name ??= this.#names?.nameOfFailed(known.vertex);
    }
    const error = outcome === 'failed' ? wordsOf(detail) : outcome === 'cancelled' ? 'context canceled' : '';
    this.#tell(known, { completed: now, cached: outcome === 'cached', error });
  }

  why(): void {}

  note(text: string): void {
    const id = `note ${this.#known.size} ${text}`;
    this.vertex({ id, name: `[internal] ${text}`, instruction: '', number: 0, total: 0, stage: '', inputs: [] });
    this.started(id);
    this.ended(id, 'done', {});
  }

  warning(text: string): void {
    this.warn({ short: Buffer.from(text) });
  }

  /** A warning of no step in particular: clients want one, so it is the first. */
  warn(warning: Partial<MessageOf<typeof vertexWarning>>): void {
    const [first] = this.#known.values();
    const vertex = first?.digest ?? this.#digestOf('');
    const short = warning.short ?? new Uint8Array(0);
    const { url = '', info, ranges = [] } = warning;
    this.#send({ warnings: [{ vertex, level: 1, short, url, info, ranges }] });
  }

  /** Of a FROM: its image is known, and its files come. */
  #begun(id: string, known: Known): void {
    const metadata = this.#metadataOf(id);
    if (metadata === undefined || known.started !== undefined) return;
    this.ended(metadata, 'done', {});
    known.started = this.#now();
    this.#tell(known, {});
  }

  #metadataOf(id: string): string | undefined {
    const found = this.#names?.baseOf(id);
    return found === undefined ? undefined : metadataName(found.base, found.platform);
  }

  #digestOf(id: string): string {
    return `sha256:${createHash('sha256').update(`${this.#ref}\0${id}`).digest('hex')}`;
  }

  #tell(known: Known, end: { readonly completed?: Date; readonly cached?: boolean; readonly error?: string }): void {
    const { vertex, digest, started, name } = known;
    if (name === undefined) return;
    this.#send({
      vertexes: [
        {
          digest,
          inputs: vertex.inputs.map((input) => this.#digestOf(input)),
          name,
          cached: end.cached ?? false,
          started: timeOrNone(started),
          completed: timeOrNone(end.completed),
          error: end.error ?? '',
        },
      ],
    });
  }
}
