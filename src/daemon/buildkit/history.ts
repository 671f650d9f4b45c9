/**
 * Builds of the control API that have ended: what was asked, how it ended, and its progress, one file each. As in
 * BuildKit they are kept for two days, the newest fifty, unless `builder.history` says else; pinned ones stay. Files
 * hold build arguments, so only root reads them.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { BuilderSettings } from '#config/builder.ts';
import { eventTypes, type historyRecord, keptBuild } from '#builder/buildkit/history-methods.ts';
import { statusResponse } from '#builder/buildkit/status-messages.ts';
import type { StatusMessage } from '#builder/buildkit/trace.ts';
import { invalidParameter, messageOf, notFound } from '#errdefs/errors.ts';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { log } from '#pkg/log/log.ts';
import { decode, encode, type MessageOf } from '#pkg/protobuf/protobuf.ts';

export type BuildRecord = MessageOf<typeof historyRecord>;

export interface HistoryEvent {
  readonly type: number;
  readonly record: BuildRecord;
}

/** Progress beyond it is not kept. */
const PROGRESS_BYTES_MAX = 8 * 1024 * 1024;
const SUFFIX = '.build';

export class History {
  readonly #directory: string;
  readonly #listeners = new Set<(event: HistoryEvent) => void>();
  #loaded: Map<string, BuildRecord> | undefined;

  readonly #limits: () => BuilderSettings['history'];

  constructor(directory: string, limits: () => BuilderSettings['history']) {
    this.#directory = directory;
    this.#limits = limits;
  }

  /** A build has begun. */
  began(record: BuildRecord): void {
    this.#tell({ type: eventTypes.started, record });
  }

  /** A build has ended. Never throws: what cannot be kept is not. */
  ended(record: BuildRecord, messages: readonly StatusMessage[]): void {
    try {
      this.#records().set(record.ref, record);
      this.#write(
        record,
        messages.map((message) => encode(statusResponse, message)),
      );
      this.#limit();
    } catch (error) {
      log.warn('the history of a build was not kept', { build: record.ref, err: messageOf(error) });
    }
    this.#tell({ type: eventTypes.complete, record });
  }

  /** The oldest first. */
  list(): readonly BuildRecord[] {
    this.#limit();
    return [...this.#records().values()].sort((a, b) => startOf(a) - startOf(b));
  }

  /** What a build has told; undefined for one that is not known. */
  messages(ref: string): readonly MessageOf<typeof statusResponse>[] | undefined {
    if (!this.#records().has(ref)) return undefined;
    return this.#read(ref).messages.map((message) => decode(statusResponse, message));
  }

  /** Errors: not-found. */
  remove(ref: string): void {
    const record = this.#known(ref);
    this.#forget(record);
    this.#tell({ type: eventTypes.deleted, record });
  }

  /** Errors: not-found. */
  pin(ref: string, pinned: boolean): void {
    const record = { ...this.#known(ref), pinned, generation: this.#known(ref).generation + 1 };
    this.#write(record, this.#read(ref).messages);
    this.#records().set(ref, record);
  }

  listen(listener: (event: HistoryEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #tell(event: HistoryEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #known(ref: string): BuildRecord {
    const record = this.#records().get(ref);
    if (record === undefined) throw notFound(`no record found for ref ${ref}`);
    return record;
  }

  #records(): Map<string, BuildRecord> {
    return (this.#loaded ??= this.#load());
  }

  #load(): Map<string, BuildRecord> {
    const records = new Map<string, BuildRecord>();
    const names = fs.existsSync(this.#directory) ? fs.readdirSync(this.#directory) : [];
    for (const name of names) {
      if (!name.endsWith(SUFFIX)) continue;
      try {
        const { record } = this.#read(name.slice(0, -SUFFIX.length));
        if (record !== undefined) records.set(record.ref, record);
      } catch (error) {
        log.warn('a record of the history of builds is broken', { file: name, err: messageOf(error) });
        fs.rmSync(path.join(this.#directory, name), { force: true });
      }
    }
    return records;
  }

  #read(ref: string): MessageOf<typeof keptBuild> {
    return decode(keptBuild, fs.readFileSync(this.#file(ref)));
  }

  #write(record: BuildRecord, messages: readonly Uint8Array[]): void {
    const kept: Uint8Array[] = [];
    let size = 0;
    for (const message of messages) {
      size += message.length;
      if (size > PROGRESS_BYTES_MAX) break;
      kept.push(message);
    }
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    // Not worth a wait for the disk: after a loss of power it may be missing.
    const options = { durable: false } as const;
    writeFileAtomic(this.#file(record.ref), encode(keptBuild, { record, messages: kept }), options);
  }

  /** Refs come from clients. Errors: invalid-parameter. */
  #file(ref: string): string {
    if (!/^[\w-]{1,100}$/.test(ref)) throw invalidParameter(`invalid build ref ${JSON.stringify(ref)}`);
    return path.join(this.#directory, `${ref}${SUFFIX}`);
  }

  #limit(): void {
    const free = [...this.#records().values()].filter(({ pinned }) => !pinned).sort((a, b) => startOf(b) - startOf(a));
    const { entriesMax, ageMsMax } = this.#limits();
    const oldest = Date.now() - ageMsMax;
    for (const [at, record] of free.entries()) if (at >= entriesMax || startOf(record) < oldest) this.#forget(record);
  }

  #forget({ ref }: BuildRecord): void {
    this.#records().delete(ref);
    fs.rmSync(this.#file(ref), { force: true });
  }
}

const startOf = ({ createdAt }: BuildRecord): number =>
  createdAt === undefined ? 0 : Number(createdAt.seconds) * 1000 + createdAt.nanos / 1_000_000;
