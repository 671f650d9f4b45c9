/**
 * What is known of the health of containers, also of those that do not run. A change of status or streak is on the disk
 * at once; the log of a container that just goes on being healthy is not worth a write and follows when the daemon stops
 * or the container ends.
 */
import type { Health } from '#container/health.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { log } from '#pkg/log/log.ts';

const HEALTH_KIND = 'health';

export class HealthStates {
  readonly #db: Pick<GraphDb, 'list' | 'put' | 'delete'>;
  readonly #states = new Map<string, Health>();
  readonly #unwritten = new Set<string>();

  constructor(db: Pick<GraphDb, 'list' | 'put' | 'delete'>) {
    this.#db = db;
    for (const { id, document } of db.list(HEALTH_KIND)) {
      // as: only this class writes documents of this kind.
      if (typeof document === 'object' && document !== null) this.#states.set(id, document as Health);
    }
  }

  get(id: string): Health | undefined {
    return this.#states.get(id);
  }

  ids(): string[] {
    return [...this.#states.keys()];
  }

  set(id: string, health: Health): void {
    const before = this.#states.get(id);
    this.#states.set(id, health);
    if (before?.status === health.status && before.failingStreak === health.failingStreak) this.#unwritten.add(id);
    else this.#write(id, health);
  }

  /** Writes what has not been worth it until now. */
  flush(id: string): void {
    const health = this.#states.get(id);
    if (health !== undefined && this.#unwritten.has(id)) this.#write(id, health);
  }

  flushAll(): void {
    for (const id of this.#unwritten) this.flush(id);
  }

  /** May join the transaction that forgets the container. */
  forget(id: string): void {
    this.#unwritten.delete(id);
    if (this.#states.delete(id)) this.#db.delete(HEALTH_KIND, id);
  }

  #write(id: string, health: Health): void {
    this.#unwritten.delete(id);
    try {
      this.#db.put(HEALTH_KIND, id, health);
    } catch (error) {
      // A full disk must not end the probing: it holds in memory.
      this.#unwritten.add(id);
      log.error('health of a container not recorded', { container: id, err: error });
    }
  }
}
