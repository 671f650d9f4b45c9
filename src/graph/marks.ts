/** What people and time have left on images: locks, and when an image was last used. By id. */
import type { GraphDb } from '#graphdb/graphdb.ts';

const LOCK_KIND = 'image-lock';
const USE_KIND = 'image-use';
/** Uses are noted no more often than this. */
const USE_STEP_MS = 60_000;

export class ImageMarks {
  readonly #db: GraphDb;
  readonly #now: () => Date;
  readonly #locked: Set<string>;
  readonly #used = new Map<string, number>();

  constructor(db: GraphDb, now: () => Date) {
    this.#db = db;
    this.#now = now;
    this.#locked = new Set(db.list(LOCK_KIND).map(({ id }) => id));
    for (const { id, document } of db.list(USE_KIND)) if (typeof document === 'number') this.#used.set(id, document);
  }

  isLocked(id: string): boolean {
    return this.#locked.has(id);
  }

  /** Idempotent. */
  setLocked(id: string, locked: boolean): void {
    if (this.#locked.has(id) === locked) return;
    if (locked) {
      this.#db.put(LOCK_KIND, id, { at: this.#now().toISOString() });
      this.#locked.add(id);
    } else {
      this.#db.delete(LOCK_KIND, id);
      this.#locked.delete(id);
    }
  }

  /** A container was made of it. */
  use(id: string): void {
    const now = this.#now().getTime();
    if (now - (this.#used.get(id) ?? 0) < USE_STEP_MS) return;
    this.#used.set(id, now);
    this.#db.put(USE_KIND, id, now);
  }

  /** Milliseconds since the epoch. */
  lastUsed(id: string): number | undefined {
    return this.#used.get(id);
  }

  /** Of images that are gone for good nothing is kept. */
  keepOnly(isHere: (id: string) => boolean): void {
    for (const id of [...this.#used.keys()]) {
      if (isHere(id)) continue;
      this.#used.delete(id);
      this.#db.delete(USE_KIND, id);
    }
    for (const id of [...this.#locked]) if (!isHere(id)) this.setLocked(id, false);
  }
}
