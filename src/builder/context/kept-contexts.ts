/**
 * Contexts that builds have sent, kept as trees (pkg/archive/kept), so that the next build of the same takes what has
 * changed only. They are caches: whole or not there. A key says which is compared with; what is found equal was compared
 * byte for byte or hashed here, never believed. After a reboot none is trusted, since none was synced.
 *
 * A build has its tree's files open: an update or removal meanwhile does not touch what it sees.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { conflict, messageOf } from '#errdefs/errors.ts';
import type { ArchiveStreams } from '#pkg/archive/copy-streams.ts';
import { type KeptDelta, KeptIndex } from '#pkg/archive/kept/kept-index.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import type { BodyInput } from '#pkg/http-body/lent.ts';
import { log } from '#pkg/log/log.ts';
import { close, open, statfs } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { spreadDirectories } from '#sys/spread.ts';

const KIND = 'build-context';
/** All of them together; a tenth of the disk when that is less. */
const KEPT_BYTES_MAX = 8 * 2 ** 30;
const KEPT_MAX = 32;
const ANSWERS_MAX = 64;
const KEPT_MS_MAX = 14 * 24 * 3600 * 1000;
/** How long a build waits for another one that is sending the same; then it keeps a tree of its own. */
const WAIT_MS = 10_000;

export interface KeptRecord {
  /** Name of its directory. */
  readonly id: string;
  readonly generation: string;
  readonly contents: string;
  /** Where the next content goes. */
  readonly end: number;
  readonly entries: number;
  readonly plain: boolean;
  /** Of its root. */
  readonly seconds: number;
  readonly bootId: string;
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly usageCount: number;
}

/** A tree as it was when it was received, for one build. */
export interface KeptContext extends Disposable {
  readonly generation: string;
  readonly plain: boolean;
  readonly seconds: number;
  /** Descriptors. */
  readonly contents: number;
  readonly index: number;
  readonly entries: number;
  /** Bytes that were written. */
  readonly written: number;
  /** What makes it of an earlier generation. */
  readonly delta: (KeptDelta & { readonly from: string }) | undefined;
}

export interface Receiving {
  /** '' is kept for this build only. */
  readonly key: string;
  /** Generation that the archive has the changes of; undefined: it has everything. */
  readonly changesOf: string | undefined;
}

interface Archive {
  readonly tar: BodyInput;
  /** It has changes only. */
  readonly changes: boolean;
}

export class KeptContexts {
  readonly #db: GraphDb;
  readonly #root: string;
  readonly #bootId: string;
  readonly #now: () => Date;
  /** Ids that are written to, until then; and those that builds have open. */
  readonly #busy = new Map<string, PromiseWithResolvers<void>>();
  readonly #used = new Map<string, number>();
  readonly #answers = new Map<string, { readonly answer: unknown }>();

  constructor(options: {
    readonly db: GraphDb;
    readonly root: string;
    readonly bootId: string;
    readonly now: () => Date;
  }) {
    this.#db = options.db;
    this.#root = options.root;
    this.#bootId = options.bootId;
    this.#now = options.now;
    fs.mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    spreadDirectories(this.#root);
    const known = new Set<string>();
    for (const record of this.list()) {
      if (record.bootId !== this.#bootId || !this.#isWhole(record)) this.#db.delete(KIND, record.id);
      else known.add(record.id);
    }
    for (const name of fs.readdirSync(this.#root)) {
      if (known.has(name)) this.#removeOthers(name);
      else fs.rmSync(path.join(this.#root, name), { recursive: true, force: true });
    }
  }

  /** What was found out about a generation is asked for by one build after the other. */
  async remembered<T>(generation: string, question: unknown, ask: () => Promise<T>): Promise<T> {
    const key = `${generation} ${JSON.stringify(question)}`;
    const known = this.#answers.get(key);
    // as: the question says what kind of answer it has.
    if (known !== undefined) return known.answer as T;
    const answer = await ask();
    this.#answers.set(key, { answer });
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= ANSWERS_MAX) break;
      this.#answers.delete(oldest);
    }
    return answer;
  }

  list(): KeptRecord[] {
    return this.#db.list(KIND).flatMap(({ id, document }) => decode(id, document) ?? []);
  }

  isUsed(id: string): boolean {
    return this.#busy.has(id) || this.#used.has(id);
  }

  bytes(id: string): number {
    return sizeOf(path.join(this.#root, id));
  }

  current(key: string): KeptRecord | undefined {
    const record = decode(idOf(key), this.#db.get(KIND, idOf(key)));
    return record !== undefined && this.#isWhole(record) ? record : undefined;
  }

  /** Errors: conflict when changes are of another generation; those of archives and of a full disk: nothing is kept then. */
  async receive(
    { key, changesOf }: Receiving,
    archives: ArchiveStreams,
    tar: BodyInput,
    signal: AbortSignal,
  ): Promise<KeptContext> {
    const known = key === '' ? undefined : this.current(key);
    if (changesOf !== undefined && (known?.generation !== changesOf || this.#busy.has(known.id))) {
      throw conflict('the kept context is another one by now: send all of it');
    }
    return this.#receive(key, known, () => ({ tar, changes: changesOf !== undefined }), archives, signal);
  }

  /**
   * Of a sender that can be asked: `tarOf` sees what is kept, and gives the changes; without anything it gives all.
   * Errors: those of archives and of a full disk: nothing is kept then.
   */
  async receiveFrom(
    key: string,
    tarOf: (base: KeptIndex | undefined) => AsyncIterable<Uint8Array>,
    archives: ArchiveStreams,
    signal: AbortSignal,
  ): Promise<KeptContext> {
    if (key !== '') await this.#settled(idOf(key), signal);
    const known = key === '' ? undefined : this.current(key);
    const askFor = (record: KeptRecord | undefined): Archive => {
      const base =
        record === undefined
          ? undefined
          : KeptIndex.read(path.join(this.#root, record.id, `index-${record.generation}`));
      return { tar: tarOf(base), changes: base !== undefined };
    };
    return this.#receive(key, known, askFor, archives, signal);
  }

  /** Nobody writes to it, or has for long enough. */
  async #settled(id: string, signal: AbortSignal): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, WAIT_MS);
    let isLate = false;
    void late.promise.then(() => (isLate = true));
    signal.addEventListener('abort', () => late.resolve(), { once: true });
    try {
      for (let busy = this.#busy.get(id); busy !== undefined && !isLate; busy = this.#busy.get(id))
        await Promise.race([busy.promise, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #receive(
    key: string,
    current: KeptRecord | undefined,
    askFor: (known: KeptRecord | undefined) => Archive,
    archives: ArchiveStreams,
    signal: AbortSignal,
  ): Promise<KeptContext> {
    // Two at once under one key: the later one is for itself.
    const isOwn = key === '' || this.#busy.has(idOf(key));
    const id = isOwn ? `own-${randomBytes(8).toString('hex')}` : idOf(key);
    const known = isOwn ? undefined : current;
    const busy = Promise.withResolvers<void>();
    this.#busy.set(id, busy);
    try {
      const made = await this.#update(id, known, askFor(known), archives, signal);
      if (!isOwn) this.#db.put(KIND, id, made.record);
      failpoint('build.context-kept');
      const opened = this.#open(made.record, made);
      if (isOwn) fs.rmSync(path.join(this.#root, id), { recursive: true, force: true });
      else this.#removeOthers(id);
      return opened;
    } finally {
      this.#busy.delete(id);
      busy.resolve();
    }
  }

  async #update(
    id: string,
    known: KeptRecord | undefined,
    { tar, changes }: Archive,
    archives: ArchiveStreams,
    signal: AbortSignal,
  ): Promise<{ record: KeptRecord } & Pick<KeptContext, 'written' | 'delta'>> {
    const directory = path.join(this.#root, id);
    const fresh = known === undefined;
    if (fresh) {
      fs.rmSync(directory, { recursive: true, force: true });
      fs.mkdirSync(directory, { mode: 0o700 });
    }
    const generation = randomBytes(16).toString('hex');
    const now = this.#now().toISOString();
    const seconds = known?.seconds ?? Math.floor(Date.parse(now) / 1000);
    const contents = known?.contents ?? `contents-${generation}`;
    const spare = `contents-${generation}`;
    const fd = open(path.join(directory, contents), O.RDWR | O.CREAT | O.NOFOLLOW, 0o600);
    try {
      const summary = await archives.keep(
        {
          kind: 'keep',
          contents: fd,
          at: known?.end ?? 0,
          base: known === undefined ? '' : path.join(directory, `index-${known.generation}`),
          changes,
          index: path.join(directory, `index-${generation}`),
          spare: path.join(directory, spare),
          nowSeconds: seconds,
        },
        tar,
        { signal },
      );
      const { end, written } = summary;
      const { entries, plain } = summary.untouched && known !== undefined ? known : summary;
      const record: KeptRecord = {
        id,
        generation: known !== undefined && !summary.changed ? known.generation : generation,
        contents: summary.compacted ? spare : contents,
        end,
        entries,
        plain,
        seconds,
        bootId: this.#bootId,
        createdAt: known?.createdAt ?? now,
        lastUsedAt: now,
        usageCount: (known?.usageCount ?? 0) + 1,
      };
      const { delta } = summary;
      return {
        record,
        written,
        delta: delta === undefined || known === undefined ? undefined : { ...delta, from: known.generation },
      };
    } catch (error) {
      if (fresh) fs.rmSync(directory, { recursive: true, force: true });
      throw error;
    } finally {
      close(fd);
    }
  }

  #open(
    { id, generation, contents, plain, seconds, entries }: KeptRecord,
    { written, delta }: Pick<KeptContext, 'written' | 'delta'>,
  ): KeptContext {
    const directory = path.join(this.#root, id);
    const index = open(path.join(directory, `index-${generation}`), O.RDONLY | O.NOFOLLOW);
    let file: number;
    try {
      file = open(path.join(directory, contents), O.RDONLY | O.NOFOLLOW);
    } catch (error) {
      close(index);
      throw error;
    }
    this.#used.set(id, (this.#used.get(id) ?? 0) + 1);
    return {
      generation,
      plain,
      seconds,
      contents: file,
      index,
      entries,
      written,
      delta,
      [Symbol.dispose]: () => {
        close(index);
        close(file);
        const left = (this.#used.get(id) ?? 1) - 1;
        if (left > 0) this.#used.set(id, left);
        else this.#used.delete(id);
      },
    };
  }

  remove(id: string): void {
    // The files first: on a full disk they are what makes room for the database. A record without them means nothing.
    fs.rmSync(path.join(this.#root, id), { recursive: true, force: true });
    this.#db.delete(KIND, id);
  }

  /** Least recently used first, until all are within their bounds. Those in use stay. Tried again after the next build. */
  shrink(): void {
    try {
      this.#shrink();
    } catch (error) {
      log.warn('kept contexts could not be dropped', { err: messageOf(error) });
    }
  }

  #shrink(): void {
    const { blockBytes, blocks } = statfs(this.#root);
    const bytesMax = Math.min(KEPT_BYTES_MAX, (blockBytes * Number(blocks)) / 10);
    const oldest = this.#now().getTime() - KEPT_MS_MAX;
    const newestFirst = this.list().sort((a, b) => (a.lastUsedAt < b.lastUsedAt ? 1 : -1));
    let bytes = 0;
    for (const [index, { id, lastUsedAt }] of newestFirst.entries()) {
      bytes += this.bytes(id);
      if (index < KEPT_MAX && bytes <= bytesMax && Date.parse(lastUsedAt) >= oldest) continue;
      if (this.isUsed(id)) continue;
      log.info('a kept context is dropped', { id, lastUsedAt });
      this.remove(id);
    }
  }

  #isWhole({ id, generation, contents, end }: KeptRecord): boolean {
    const directory = path.join(this.#root, id);
    const size = fs.statSync(path.join(directory, contents), { throwIfNoEntry: false })?.size ?? -1;
    return size >= end && fs.existsSync(path.join(directory, `index-${generation}`));
  }

  /** Indexes and contents of generations before. */
  #removeOthers(id: string): void {
    const record = decode(id, this.#db.get(KIND, id));
    if (record === undefined) return;
    const directory = path.join(this.#root, id);
    const kept = new Set([record.contents, `index-${record.generation}`]);
    for (const name of fs.readdirSync(directory)) if (!kept.has(name)) fs.rmSync(path.join(directory, name));
  }
}

const idOf = (key: string): string => createHash('sha256').update(key).digest('hex').slice(0, 32);

function sizeOf(directory: string): number {
  try {
    return fs.readdirSync(directory).reduce((sum, name) => sum + fs.statSync(path.join(directory, name)).size, 0);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 0;
    throw error;
  }
}

function decode(id: string, document: unknown): KeptRecord | undefined {
  if (typeof document !== 'object' || document === null || !('generation' in document)) return undefined;
  // as: only `receive` writes documents of this kind.
  return { ...(document as Omit<KeptRecord, 'id'>), id };
}
