/**
 * In which repositories blobs have been seen: a push to another repository of the same registry lets it take them from
 * there. Hints only, a registry that has one no more is sent it.
 */
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { Repository } from '#registry/registry-client.ts';

const KIND = 'blob-source';
/** Of one blob; the newest are kept. */
const REPOSITORIES_MAX = 20;

export class BlobSources {
  readonly #db: GraphDb;

  constructor(db: GraphDb) {
    this.#db = db;
  }

  /** The repository has these blobs. */
  note(repository: Pick<Repository, 'name'>, digests: readonly string[]): void {
    this.#db.transaction(() => {
      for (const digest of digests) {
        const known = this.#read(digest);
        if (known[0] === repository.name) continue;
        const names = [repository.name, ...known.filter((name) => name !== repository.name)];
        this.#db.put(KIND, digest, names.slice(0, REPOSITORIES_MAX));
      }
    });
  }

  /** Paths of repositories of a registry that have the blob, the newest first. */
  of(domain: string, digest: string): string[] {
    return this.#read(digest).flatMap((name) => (name.startsWith(`${domain}/`) ? [name.slice(domain.length + 1)] : []));
  }

  /** `registry/path` of every repository that is known to have the blob, the newest first. */
  all(digest: string): readonly string[] {
    return this.#read(digest);
  }

  #read(digest: string): string[] {
    const document = this.#db.get(KIND, digest);
    return Array.isArray(document) ? document.filter((name: unknown) => typeof name === 'string') : [];
  }
}
