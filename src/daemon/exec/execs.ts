/**
 * Exec'd processes: what was asked for, and how it went. An exec is a document, so that its code can be asked for after a
 * restart of the daemon; ended ones are forgotten with their container or when it has had too many.
 */
import type { ExecCreateRequest } from '#api/types/exec.ts';
import type { RunningProcess } from '#execdriver/driver.ts';
import { dataLoss, notFound } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';

export const EXEC_KIND = 'exec';

export interface ExecRecord {
  readonly id: string;
  readonly containerId: string;
  readonly request: ExecCreateRequest;
  readonly status: 'created' | 'running' | 'ended';
  readonly pid: number;
  readonly exitCode: number | null;
}

/** Ended execs kept per container. */
const ENDED_MAX = 256;

export class Execs {
  readonly #db: GraphDb;
  readonly #records = new Map<string, ExecRecord>();
  readonly #byContainer = new Map<string, Set<string>>();
  readonly #processes = new Map<string, RunningProcess>();
  /** Who waits for the process of an exec that is being launched. */
  readonly #launches = new Map<string, (() => void)[]>();

  constructor(db: GraphDb) {
    this.#db = db;
    for (const { id, document } of db.list(EXEC_KIND)) this.#index(decode(id, document));
  }

  #index(record: ExecRecord): void {
    this.#records.set(record.id, record);
    const ids = this.#byContainer.get(record.containerId) ?? new Set();
    this.#byContainer.set(record.containerId, ids.add(record.id));
  }

  all(): ExecRecord[] {
    return [...this.#records.values()];
  }

  /** By id or a unique prefix of it. Errors: not-found. */
  get(id: string): ExecRecord {
    const record = this.#records.get(id);
    if (record === undefined) throw notFound(`No such exec instance: ${id}`);
    return record;
  }

  find(id: string): ExecRecord | undefined {
    return this.#records.get(id);
  }

  /** Ids of those that have not ended, for inspect; null when there is none. */
  idsOf(containerId: string): string[] | null {
    const ids = [...(this.#byContainer.get(containerId) ?? [])].filter(
      (id) => this.#records.get(id)?.status !== 'ended',
    );
    return ids.length === 0 ? null : ids;
  }

  save(record: ExecRecord): void {
    this.#db.put(EXEC_KIND, record.id, record);
    this.#index(record);
    if (record.status !== 'ended') return;
    this.#launched(record.id);
    this.#trim(record.containerId);
  }

  /** The oldest ended ones go (a Set keeps the order of insertion). */
  #trim(containerId: string): void {
    const ids = this.#byContainer.get(containerId) ?? new Set<string>();
    const ended = [...ids].filter((id) => this.#records.get(id)?.status === 'ended');
    for (const id of ended.slice(0, Math.max(0, ended.length - ENDED_MAX))) {
      this.#db.delete(EXEC_KIND, id);
      this.#records.delete(id);
      ids.delete(id);
    }
  }

  process(id: string): RunningProcess | undefined {
    return this.#processes.get(id);
  }

  setProcess(id: string, process: RunningProcess | undefined): void {
    if (process === undefined) this.#processes.delete(id);
    else this.#processes.set(id, process);
    this.#launched(id);
  }

  /** The process of an exec that is being launched, when it is there; undefined when there is none (any more). */
  async launchedProcess(id: string): Promise<RunningProcess | undefined> {
    const known = this.#processes.get(id);
    if (known !== undefined || this.#records.get(id)?.status !== 'running') return known;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#launches.set(id, [...(this.#launches.get(id) ?? []), resolve]);
    await promise;
    return this.#processes.get(id);
  }

  #launched(id: string): void {
    for (const resolve of this.#launches.get(id) ?? []) resolve();
    this.#launches.delete(id);
  }

  /** Call inside the transaction that forgets the container. */
  forget(containerId: string): void {
    for (const id of this.#byContainer.get(containerId) ?? []) {
      this.#db.delete(EXEC_KIND, id);
      this.#records.delete(id);
      this.#processes.delete(id);
      this.#launched(id);
    }
    this.#byContainer.delete(containerId);
  }
}

function decode(id: string, document: unknown): ExecRecord {
  if (typeof document === 'object' && document !== null && Reflect.get(document, 'id') === id) {
    // as: only `save` writes documents of this kind.
    return document as ExecRecord;
  }
  throw dataLoss(`Cannot read exec "${id}": the document is not an exec`);
}
