/**
 * The ends of every container, kept on the disk also after it has been removed: the newest `ENDS_MAX` of each, and of the
 * removed ones the newest `REMOVED_MAX`. Ends that went well are gathered for a moment before they are written; that
 * somebody asked for an end is written at once, for it must be known when the daemon does not live to see it.
 */
import type { OomFacts, WhyEnding } from '#api/types/why.ts';
import type { Asked } from '#container/ending.ts';
import type { ContainerRecord } from '#container/record.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { log } from '#pkg/log/log.ts';

const ENDING_KIND = 'ending';
const ENDS_MAX = 20;
const REMOVED_MAX = 500;
/** Once for so many removals. */
const TRIM_EVERY = 50;
const WRITE_AFTER_MS = 200;

export interface KeptEnds {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  /** '' while it is there. */
  readonly removedAt: string;
  /** Of the run that goes on. */
  readonly asked?: Asked | undefined;
  readonly oom?: OomFacts | undefined;
  /** Oldest first. */
  readonly ends: readonly WhyEnding[];
}

type Named = Pick<ContainerRecord, 'id' | 'name' | 'config'>;

export class Endings {
  readonly #db: GraphDb;
  /** Of whom something is written: most containers end well once and are gone, and are not looked for on the disk. */
  readonly #written = new Set<string>();
  readonly #unwritten = new Map<string, KeptEnds>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sinceTrim = TRIM_EVERY - 1;

  constructor(db: GraphDb) {
    this.#db = db;
  }

  get(id: string): KeptEnds | undefined {
    const unwritten = this.#unwritten.get(id);
    if (unwritten !== undefined || !this.#written.has(id)) return unwritten;
    const document = this.#db.get(ENDING_KIND, id);
    // as: only this class writes documents of this kind.
    return typeof document === 'object' && document !== null ? (document as KeptEnds) : undefined;
  }

  /** A removed one by its id, the beginning of it, or its name; the newest of that name. */
  findRemoved(reference: string): KeptEnds | undefined {
    this.flush();
    const name = reference.replace(/^\//, '');
    return this.#removed().find(
      (kept) =>
        kept.name === name ||
        kept.id === reference ||
        (/^[0-9a-f]{4,}$/.test(reference) && kept.id.startsWith(reference)),
    );
  }

  /** Newest first. */
  #removed(): KeptEnds[] {
    return this.#db
      .list(ENDING_KIND)
      .map(({ document }) => document as KeptEnds) // as: see get
      .filter((kept) => kept.removedAt !== '')
      .sort((a, b) => (a.removedAt > b.removedAt ? -1 : 1));
  }

  /** The run of a container that has just begun knows nothing of the one before. */
  begun(record: Named): void {
    const kept = this.get(record.id);
    if (kept?.asked === undefined && kept?.oom === undefined) return;
    this.#later({ ...kept, asked: undefined, oom: undefined });
  }

  asked(record: Named, asked: Asked): void {
    this.#now({ ...this.#of(record), asked });
  }

  oom(record: Named, oom: OomFacts): void {
    this.#now({ ...this.#of(record), oom });
  }

  ended(record: Named, end: WhyEnding): void {
    const kept = this.#of(record);
    this.#write({ ...kept, asked: undefined, oom: undefined, ends: [...kept.ends.slice(1 - ENDS_MAX), end] });
  }

  removed(record: Named, at: string): void {
    const kept = this.#of(record);
    // One that never ran has no end to tell of.
    if (kept.ends.length === 0) return this.#forget(record.id);
    this.#sinceTrim += 1;
    this.#write({ ...kept, asked: undefined, removedAt: at });
  }

  /** At the start of the daemon: what was removed in the last moments of the one before may not be noted as such. */
  reconcile(exists: (id: string) => boolean, at: string): void {
    for (const { id, document } of this.#db.list(ENDING_KIND)) {
      this.#written.add(id);
      const kept = document as KeptEnds; // as: see get
      if (kept.removedAt === '' && !exists(id)) this.#later({ ...kept, removedAt: at });
    }
    this.flush();
  }

  /** Writes what is waiting. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#unwritten.size === 0) return;
    const kept = [...this.#unwritten.values()];
    this.#unwritten.clear();
    for (const { id } of kept) this.#written.add(id);
    try {
      this.#db.transaction(() => {
        for (const one of kept) this.#db.put(ENDING_KIND, one.id, one);
      });
      if (this.#sinceTrim >= TRIM_EVERY) this.#trim();
    } catch (error) {
      // A full disk must not keep containers from ending.
      log.error('ends of containers not kept', { count: kept.length, err: error });
    }
  }

  #trim(): void {
    this.#sinceTrim = 0;
    const old = this.#removed().slice(REMOVED_MAX);
    if (old.length === 0) return;
    this.#db.transaction(() => {
      for (const { id } of old) {
        this.#db.delete(ENDING_KIND, id);
        this.#written.delete(id);
      }
    });
  }

  #of({ id, name, config }: Named): KeptEnds {
    const kept = this.get(id);
    return { removedAt: '', ends: [], ...kept, id, name, image: config.Image };
  }

  #now(kept: KeptEnds): void {
    this.#unwritten.set(kept.id, kept);
    this.flush();
  }

  /** What went well can wait: nobody will ask why. */
  #write(kept: KeptEnds): void {
    if (kept.ends.at(-1)?.Cause === 'completed') this.#later(kept);
    else this.#now(kept);
  }

  #later(kept: KeptEnds): void {
    this.#unwritten.set(kept.id, kept);
    this.#timer ??= setTimeout(() => this.flush(), WRITE_AFTER_MS);
  }

  #forget(id: string): void {
    this.#unwritten.delete(id);
    if (this.#written.delete(id)) this.#db.delete(ENDING_KIND, id);
  }
}
