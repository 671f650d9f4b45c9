/**
 * Snapshots: states of a file system that a build has reached, each a sealed directory of the graph driver above another
 * snapshot or a layer. They have no tar and no digest, so the next step can begin at once; the one that an image needs
 * becomes a layer by `registerSnapshots`, in its place, without being copied.
 *
 * Invariants: a snapshot's directory is sealed before its record is written; what it stands on is kept while it is
 * there. After a reboot those that were never synced are dropped: their files may be incomplete.
 */
import { conflict, dataLoss, notFound } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { GraphDriver } from '#graphdriver/driver.ts';
import { log } from '#pkg/log/log.ts';
import type { ChainId } from './chain-id.ts';

const SNAPSHOT_KIND = 'snapshot';

export interface Snapshot {
  /** Of the graph driver, too. */
  readonly id: string;
  /** The snapshot below it; undefined: it stands on `base` alone. */
  readonly parent: string | undefined;
  /** The layers at the bottom; undefined: none. */
  readonly base: ChainId | undefined;
  /** A snapshot on the same parent whose files are this one's, too, but for those that it has itself. */
  readonly over: string | undefined;
  /** No result of a build any more: it is kept for layers that are made of its directory. */
  readonly retired: boolean;
  readonly bootId: string;
  /** Its files have reached the disk. */
  readonly synced: boolean;
}

/** What a new read-write layer or snapshot stands on. */
export interface Standing {
  readonly snapshot: string | undefined;
  readonly base: ChainId | undefined;
  /** See Snapshot. */
  readonly over?: string | undefined;
}

export class Snapshots {
  readonly #db: GraphDb;
  readonly #driver: GraphDriver;
  readonly #bootId: string;
  readonly #snapshots = new Map<string, Snapshot>();
  /** Ids that are mounted or built on right now, with how often. */
  readonly #held = new Map<string, number>();

  constructor(options: { readonly db: GraphDb; readonly driver: GraphDriver; readonly bootId: string }) {
    this.#db = options.db;
    this.#driver = options.driver;
    this.#bootId = options.bootId;
    for (const { id, document } of options.db.list(SNAPSHOT_KIND)) this.#snapshots.set(id, decode(id, document));
  }

  get(id: string): Snapshot | undefined {
    return this.#snapshots.get(id);
  }

  /** Errors: not-found. */
  need(id: string): Snapshot {
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) throw notFound(`No such snapshot: ${id}`);
    return snapshot;
  }

  list(): Snapshot[] {
    return [...this.#snapshots.values()];
  }

  /** The snapshot and those below it, topmost first. */
  chain(id: string): Snapshot[] {
    const chain: Snapshot[] = [];
    for (let at: string | undefined = id; at !== undefined; ) {
      const snapshot: Snapshot = this.need(at);
      chain.push(snapshot);
      at = snapshot.parent;
    }
    return chain;
  }

  /** Keeps it from being removed. Errors: not-found. */
  hold(id: string): Disposable {
    this.need(id);
    this.#held.set(id, (this.#held.get(id) ?? 0) + 1);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const left = (this.#held.get(id) ?? 1) - 1;
        if (left > 0) this.#held.set(id, left);
        else this.#held.delete(id);
      },
    };
  }

  isHeld(id: string): boolean {
    return this.#held.has(id);
  }

  hasChildren(id: string): boolean {
    return this.list().some((snapshot) => snapshot.parent === id);
  }

  /** Others show its files. */
  isUnder(id: string): boolean {
    return this.list().some((snapshot) => snapshot.over === id);
  }

  /** Preconditions: the driver has sealed it. `forget` runs in the same transaction. */
  record(id: string, on: Standing, forget: () => void): Snapshot {
    if (this.#snapshots.has(id)) throw conflict(`snapshot "${id}" exists`);
    const { snapshot: parent, base, over } = on;
    const snapshot: Snapshot = { id, parent, base, over, retired: false, bootId: this.#bootId, synced: false };
    this.#db.transaction(() => {
      this.#db.put(SNAPSHOT_KIND, id, encode(snapshot));
      forget();
    });
    this.#snapshots.set(id, snapshot);
    return snapshot;
  }

  change(id: string, change: Partial<Pick<Snapshot, 'parent' | 'base' | 'synced' | 'retired'>>): void {
    const snapshot = { ...this.need(id), ...change };
    this.#db.put(SNAPSHOT_KIND, id, encode(snapshot));
    this.#snapshots.set(id, snapshot);
  }

  /** The record only. Errors: conflict while something stands on it or holds it. */
  forget(id: string): void {
    if (this.hasChildren(id) || this.isUnder(id) || this.#held.has(id)) throw conflict(`snapshot "${id}" is in use`);
    this.#db.delete(SNAPSHOT_KIND, id);
    this.#snapshots.delete(id);
  }

  /** At start-up: what may be incomplete after a power failure goes, with all that stands on it; `isLayer` stays. */
  dropIncomplete(isLayer: (id: string) => boolean): void {
    const bad = new Set<string>();
    const isBad = (snapshot: Snapshot): boolean => {
      if (isLayer(snapshot.id) || snapshot.synced) return !this.#driver.exists(snapshot.id);
      return snapshot.bootId !== this.#bootId || !this.#driver.exists(snapshot.id);
    };
    for (const snapshot of this.list()) if (isBad(snapshot)) bad.add(snapshot.id);
    for (let grown = true; grown; ) {
      grown = false;
      const isGone = (id: string | undefined): boolean => id !== undefined && (bad.has(id) || !this.#snapshots.has(id));
      for (const { id, parent, over } of this.list()) {
        if (bad.has(id) || (!isGone(parent) && !isGone(over))) continue;
        bad.add(id);
        grown = true;
      }
    }
    if (bad.size === 0) return;
    log.info('results of builds that may be incomplete are dropped', { count: bad.size });
    this.#db.transaction(() => {
      for (const id of bad) this.#db.delete(SNAPSHOT_KIND, id);
    });
    for (const id of bad) this.#snapshots.delete(id);
  }
}

function encode({ parent, base, over, retired, bootId, synced }: Snapshot): unknown {
  return {
    parent: parent ?? null,
    base: base ?? null,
    ...(over === undefined ? {} : { over }),
    ...(retired ? { retired } : {}),
    bootId,
    synced,
  };
}

function decode(id: string, document: unknown): Snapshot {
  // as: every object has string keys with unknown values.
  const fields = (typeof document === 'object' && document !== null ? document : {}) as Readonly<
    Record<string, unknown>
  >;
  const { parent, base, over = null, retired, bootId, synced } = fields;
  const isName = (value: unknown): value is string | null => value === null || typeof value === 'string';
  if (!isName(parent) || !isName(base) || !isName(over) || typeof bootId !== 'string' || typeof synced !== 'boolean') {
    throw dataLoss(`Cannot read snapshot ${id}: its record is damaged`);
  }
  // as: written by `encode` with this brand.
  const chainId = (base ?? undefined) as ChainId | undefined;
  return {
    id,
    parent: parent ?? undefined,
    base: chainId,
    over: over ?? undefined,
    retired: retired === true,
    bootId,
    synced,
  };
}
