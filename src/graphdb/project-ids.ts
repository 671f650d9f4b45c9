/**
 * Project ids (of file system quotas) and who has them: `layer/<container>`, `volume/<name>`. Each data root takes them
 * from a range of its own, derived from its path, since several daemons may share a file system. Recorded before the id
 * is given to a directory, so that a crash leaves at most an id that its owner still holds.
 */
import { createHash } from 'node:crypto';
import { unavailable } from '#errdefs/errors.ts';
import type { GraphDb } from './graphdb.ts';

const KIND = 'project-id';
const RANGE_BITS = 16;
/** Far above what people number by hand in /etc/projects and what dockerd counts up from 1. */
const LOWEST = 0x4000_0000;

export class ProjectIds {
  readonly #db: GraphDb;
  readonly #first: number;

  constructor(db: GraphDb, dataRoot: string) {
    this.#db = db;
    const range = createHash('sha256').update(dataRoot).digest().readUInt16BE(0) >> 2;
    this.#first = LOWEST + range * 2 ** RANGE_BITS;
  }

  of(owner: string): number | undefined {
    const document = this.#db.get(KIND, owner);
    return document === undefined ? undefined : idIn(document);
  }

  /** The owner's id, a new one when it has none. `isUnused`: nobody else has it on the file system. */
  take(owner: string, isUnused: (project: number) => boolean): number {
    const known = this.of(owner);
    if (known !== undefined) return known;
    return this.#db.transaction(
      () => {
        const taken = new Set(this.#db.list(KIND).map(({ document }) => idIn(document)));
        for (let project = this.#first; project < this.#first + 2 ** RANGE_BITS; project++) {
          if (taken.has(project) || !isUnused(project)) continue;
          this.#db.put(KIND, owner, { project });
          return project;
        }
        throw unavailable('every project id of this data root is taken');
      },
      { durable: true },
    );
  }

  /** Idempotent. */
  release(owner: string): void {
    this.#db.delete(KIND, owner);
  }

  owners(): string[] {
    return this.#db.list(KIND).map(({ id }) => id);
  }
}

function idIn(document: unknown): number {
  // as: only `take` writes documents of this kind.
  return (document as { readonly project: number }).project;
}
