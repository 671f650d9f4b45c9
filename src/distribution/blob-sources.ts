/**
 * In which repositories blobs have been seen: a push to another repository of the same registry lets it take them from
 * there, and an archive that was dropped here is fetched from one of them. Hints only: what a registry has no more is
 * forgotten when it says so, and what nobody has seen for long, unless it is all that is known of an archive that is not
 * here.
 */
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { Repository } from '#registry/registry-client.ts';

const KIND = 'blob-source';
/** Of one blob; the newest are kept. */
const REPOSITORIES_MAX = 20;
const DAY_MS = 24 * 3600 * 1000;
const AGE_MAX_MS = 90 * DAY_MS;

interface Source {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly seen: number;
}

export interface BlobSourcesOptions {
  readonly now?: () => number;
  /** A layer's archive that is not here: one place of it is remembered whatever its age. */
  readonly isMissed?: (digest: string) => boolean;
}

export class BlobSources {
  readonly #db: GraphDb;
  readonly #now: () => number;
  readonly #isMissed: (digest: string) => boolean;
  #expired = 0;

  constructor(db: GraphDb, options: BlobSourcesOptions = {}) {
    this.#db = db;
    this.#now = options.now ?? Date.now;
    this.#isMissed = options.isMissed ?? (() => false);
  }

  /** The repository has these blobs. */
  note({ name }: Pick<Repository, 'name'>, digests: readonly string[]): void {
    const now = this.#now();
    this.#db.transaction(() => {
      for (const digest of digests) {
        const known = this.#read(digest);
        const [first] = known;
        if (first?.name === name && now - first.seen < DAY_MS) continue;
        this.#write(digest, [{ name, seen: now }, ...known.filter((source) => source.name !== name)]);
      }
      if (now - this.#expired < DAY_MS) return;
      this.#expired = now;
      this.#expire(now);
    });
  }

  /** `registry/path` says that it has it no more. */
  forget(name: string, digest: string): void {
    const known = this.#read(digest);
    const left = known.filter((source) => source.name !== name);
    if (left.length < known.length) this.#write(digest, left);
  }

  /** Paths of repositories of a registry that have the blob, the newest first. */
  of(domain: string, digest: string): string[] {
    return this.all(digest).flatMap((name) => (name.startsWith(`${domain}/`) ? [name.slice(domain.length + 1)] : []));
  }

  /** `registry/path` of every repository that is known to have the blob, the newest first. */
  all(digest: string): readonly string[] {
    return this.#read(digest).map(({ name }) => name);
  }

  #expire(now: number): void {
    for (const { id, document } of this.#db.list(KIND)) {
      const known = this.#decode(document);
      const young = known.filter(({ seen }) => now - seen < AGE_MAX_MS);
      const left = young.length === 0 && this.#isMissed(id) ? known.slice(0, 1) : young;
      if (left.length < known.length || !isDated(document)) this.#write(id, left);
    }
  }

  #write(digest: string, sources: readonly Source[]): void {
    if (sources.length === 0) this.#db.delete(KIND, digest);
    else this.#db.put(KIND, digest, sources.slice(0, REPOSITORIES_MAX));
  }

  #read(digest: string): Source[] {
    return this.#decode(this.#db.get(KIND, digest));
  }

  /** Names alone, as earlier versions wrote them, have been seen now. */
  #decode(document: unknown): Source[] {
    if (!Array.isArray(document)) return [];
    return document.flatMap((entry: unknown) => {
      if (typeof entry === 'string') return [{ name: entry, seen: this.#now() }];
      if (typeof entry !== 'object' || entry === null || !('name' in entry) || !('seen' in entry)) return [];
      const { name, seen } = entry;
      return typeof name === 'string' && typeof seen === 'number' ? [{ name, seen }] : [];
    });
  }
}

const isDated = (document: unknown): boolean =>
  Array.isArray(document) && document.every((entry: unknown) => typeof entry !== 'string');
