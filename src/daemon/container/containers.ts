/**
 * Every container of the data root: records, names and one FIFO each. All changes of a container go through `run`, which
 * hands in a handle with the fresh record; the record is written to graphdb before it is seen by anybody else.
 *
 * Invariants: a name or id belongs to one container; a record in memory equals its document; a container that is being
 * made has its name and is found by nobody but its maker until it is complete.
 */
import assert from 'node:assert/strict';
import { type ContainerRecord, CONTAINER_KIND, decodeRecord, NAMES_PARENT } from '#container/record.ts';
import { nameConflict, noSuchContainer } from '#container/name.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { log } from '#pkg/log/log.ts';
import { KeyedQueue } from '#pkg/keyed-queue/keyed-queue.ts';

/** A container inside its queue. */
export interface Held {
  /** Always the latest. */
  readonly record: ContainerRecord;
  /** Writes a change; `also` joins the same transaction. */
  update(change: Partial<ContainerRecord>, also?: () => void): void;
  /**
   * Takes a change that has happened already and cannot be refused. False: the disk does not take it; it holds in memory
   * and is found again by restore, as long as the driver keeps what it knows of the process.
   */
  note(change: Partial<ContainerRecord>): boolean;
}

/** What makes room on a full disk, once. */
export interface Room {
  release(): boolean;
  restore(): boolean;
}

export class Containers {
  readonly #db: GraphDb;
  readonly #room: Room | undefined;
  readonly #queue = new KeyedQueue();
  readonly #records = new Map<string, ContainerRecord>();
  readonly #idsByName = new Map<string, string>();

  constructor(db: GraphDb, room?: Room) {
    this.#db = db;
    this.#room = room;
    for (const { id, document } of db.list(CONTAINER_KIND)) {
      const record = decodeRecord(id, document);
      this.#records.set(id, record);
      this.#idsByName.set(record.name, id);
    }
  }

  /** Complete containers, oldest first. */
  all(): ContainerRecord[] {
    return this.everything().filter((record) => record.complete);
  }

  /** Those of unfinished creations too: for restore. */
  everything(): ContainerRecord[] {
    return [...this.#records.values()].sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
  }

  get size(): number {
    return this.#records.size;
  }

  get(id: string): ContainerRecord | undefined {
    return this.#records.get(id);
  }

  nameIsFree(name: string): boolean {
    return !this.#idsByName.has(name);
  }

  idIsFree(id: string): boolean {
    return !this.#records.has(id);
  }

  /** By id, name (with or without slash) or unique prefix of the id. Errors: not-found, invalid-parameter. */
  resolve(reference: string): ContainerRecord {
    if (reference === '') throw invalidParameter('invalid name or ID supplied: ""');
    const exact = this.#records.get(reference);
    if (exact?.complete === true) return exact;
    const name = reference.startsWith('/') ? reference.slice(1) : reference;
    const named = this.#records.get(this.#idsByName.get(name) ?? '');
    if (named?.complete === true) return named;
    if (!/^[0-9a-f]{1,64}$/.test(reference)) throw noSuchContainer(reference);
    let found: ContainerRecord | undefined;
    for (const record of this.#records.values()) {
      if (!record.complete || !record.id.startsWith(reference)) continue;
      if (found !== undefined) throw invalidParameter(`multiple IDs found with provided prefix: ${reference}`);
      found = record;
    }
    if (found === undefined) throw noSuchContainer(reference);
    return found;
  }

  /** Work on one container, after all that was asked for it before. Errors: not-found when it is gone by then. */
  run<T>(id: string, work: (held: Held) => Promise<T> | T): Promise<T> {
    return this.#queue.run(id, () => {
      if (!this.#records.has(id)) throw noSuchContainer(id);
      return work(this.#hold(id));
    });
  }

  #hold(id: string): Held {
    const current = (): ContainerRecord => {
      const record = this.#records.get(id);
      if (record === undefined) throw noSuchContainer(id);
      return record;
    };
    return {
      get record() {
        return current();
      },
      update: (change, also) => this.#write({ ...current(), ...change }, also),
      note: (change) => this.#note({ ...current(), ...change }),
    };
  }

  #note(record: ContainerRecord): boolean {
    try {
      this.#withRoom(() => this.#db.put(CONTAINER_KIND, record.id, record));
      return true;
    } catch (error) {
      log.error('state of a container not recorded', { container: record.id, err: error });
      return false;
    } finally {
      this.#records.set(record.id, record);
    }
  }

  /** A second try with the reserve given up, if there was one. */
  #withRoom(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (this.#room?.release() !== true) throw error;
      work();
    }
  }

  #write(record: ContainerRecord, also: (() => void) | undefined): void {
    if (also === undefined) this.#db.put(CONTAINER_KIND, record.id, record);
    else {
      this.#db.transaction(() => {
        this.#db.put(CONTAINER_KIND, record.id, record);
        also();
      });
    }
    this.#records.set(record.id, record);
  }

  /** Takes the id and the name. Errors: conflict when the name is taken. */
  insert(record: ContainerRecord, also?: () => void): void {
    assert(!this.#records.has(record.id), 'an id is used once');
    this.#checkName(record.name);
    // The reserve goes before new containers: those that are there must be able to end.
    this.#room?.restore();
    this.#db.transaction(() => {
      this.#db.link(NAMES_PARENT, record.name, record.id);
      this.#db.put(CONTAINER_KIND, record.id, record);
      also?.();
    });
    this.#records.set(record.id, record);
    this.#idsByName.set(record.name, record.id);
  }

  /** Only inside the container's queue. Errors: conflict. */
  rename(held: Held, name: string): void {
    const { record } = held;
    this.#checkName(name);
    held.update({ name }, () => {
      this.#db.unlink(NAMES_PARENT, record.name);
      this.#db.link(NAMES_PARENT, name, record.id);
    });
    this.#idsByName.delete(record.name);
    this.#idsByName.set(name, record.id);
  }

  #checkName(name: string): void {
    const owner = this.#idsByName.get(name);
    if (owner !== undefined) throw nameConflict(name, owner);
  }

  /** Record and name are gone afterwards. Only inside the container's queue. */
  forget(id: string, also?: () => void): void {
    const record = this.#records.get(id);
    if (record === undefined) return;
    this.#withRoom(() =>
      this.#db.transaction(() => {
        this.#db.unlink(NAMES_PARENT, record.name);
        this.#db.delete(CONTAINER_KIND, id);
        also?.();
      }),
    );
    this.#records.delete(id);
    if (this.#idsByName.get(record.name) === id) this.#idsByName.delete(record.name);
  }
}
