/**
 * The one opener of SQLite. It keeps documents (kind, id → JSON), edges (parent, name → child) and the event log of one
 * data root; what a document means is known by who stores it.
 *
 * Invariants: transactions are synchronous functions, hence atomic against everything else in the process; a write
 * outside of one is a transaction of its own. WAL with synchronous=NORMAL: a power failure may forget the last moments
 * but never corrupts; `durable` commits are on the disk when the call returns. Documents are copied in and out.
 */
import { Database, SQLiteError, type Statement } from 'bun:sqlite';
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { type BerthError, conflict, dataLoss, systemError } from '#errdefs/errors.ts';
import { migrate } from './migrations.ts';

export interface Entity {
  readonly id: string;
  readonly document: unknown;
}

export interface Edge {
  readonly parent: string;
  readonly name: string;
  readonly child: string;
}

export interface LoggedEvent {
  /** Nanoseconds since the epoch. */
  readonly timeNs: bigint;
  readonly document: unknown;
}

/** Events kept, by number, age and size; the oldest go first. */
const EVENTS_MAX = 50_000;
const EVENTS_NS_MAX = 90n * 24n * 3600n * 1_000_000_000n;
const EVENTS_BYTES_MAX = 64 << 20;
/** Trimming is done once for so many appended events. */
const TRIM_EVERY = 1000;

export class GraphDb implements Disposable {
  readonly #db: Database;
  readonly #file: string;
  readonly #statements = new Map<string, Statement<Record<string, unknown>>>();
  #depth = 0;
  #sinceTrim = TRIM_EVERY;
  #bytesSinceTrim = 0;

  private constructor(db: Database, file: string) {
    this.#db = db;
    this.#file = file;
  }

  /** Opens or creates the file (0600). Errors: data-loss when it is damaged or newer than this program. */
  static open(file: string): GraphDb {
    let db: Database | undefined;
    try {
      fs.closeSync(fs.openSync(file, fs.constants.O_CREAT | fs.constants.O_RDWR | fs.constants.O_NOFOLLOW, 0o600));
      db = new Database(file, { create: true, readwrite: true, safeIntegers: true, strict: true });
      db.run('PRAGMA busy_timeout = 5000');
      // One opener: the lock is taken once, not for each transaction (90 calls of a `docker run`), and no file is shared.
      db.run('PRAGMA locking_mode = EXCLUSIVE');
      db.run('PRAGMA journal_mode = WAL');
      db.run('PRAGMA synchronous = NORMAL');
      db.run('PRAGMA foreign_keys = ON');
      migrate(db, file);
      const graph = new GraphDb(db, file);
      graph.#assertIntact();
      return graph;
    } catch (error) {
      db?.close(false);
      throw explain(error, 'open', file);
    }
  }

  /** Runs `work` as one transaction: all of it or nothing. Nested calls join the outer one. */
  transaction<T>(work: () => T, options: { readonly durable?: boolean } = {}): T {
    if (this.#depth > 0) {
      assert(options.durable !== true, 'a durable transaction must be the outermost one');
      return work();
    }
    try {
      if (options.durable === true) this.#db.run('PRAGMA synchronous = FULL');
      this.#db.run('BEGIN IMMEDIATE');
      this.#depth += 1;
      let result: T;
      try {
        result = work();
        assert(!(result instanceof Promise), 'a transaction is a synchronous function');
      } catch (error) {
        // SQLite has rolled back by itself after some errors (disk full): only then there is nothing to roll back.
        if (this.#db.inTransaction) this.#db.run('ROLLBACK');
        throw error;
      } finally {
        this.#depth -= 1;
      }
      this.#commit();
      return result;
    } catch (error) {
      throw explain(error, 'write', this.#file);
    } finally {
      if (options.durable === true) this.#db.run('PRAGMA synchronous = NORMAL');
    }
  }

  /**
   * What has been committed until now reaches the disk; the runtime's threads wait for it. All of it is in the log file,
   * or has been synced by the checkpoint that took it from there. (SQLite's own locks are on the other file: closing a
   * descriptor of this one loses none.)
   */
  async flush(): Promise<void> {
    assert(this.#depth === 0, 'nothing is flushed inside a transaction');
    try {
      await using log = await fs.promises.open(`${this.#file}-wal`, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
      await log.datasync();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw systemError(`Cannot write "${this.#file}": ${why}`, { cause: error });
    }
  }

  put(kind: string, id: string, document: unknown): void {
    const text = JSON.stringify(document);
    assert(typeof text === 'string', 'a document is a JSON value');
    this.#write(
      'INSERT INTO entities (kind, id, document) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET document = excluded.document',
      kind,
      id,
      text,
    );
  }

  get(kind: string, id: string): unknown {
    const row = this.#read('SELECT document FROM entities WHERE kind = ? AND id = ?', kind, id)[0];
    return row === undefined ? undefined : this.#decode(row['document'], `${kind} ${id}`);
  }

  list(kind: string): Entity[] {
    return this.#read('SELECT id, document FROM entities WHERE kind = ? ORDER BY id', kind).map((row) => ({
      id: String(row['id']),
      document: this.#decode(row['document'], `${kind} ${String(row['id'])}`),
    }));
  }

  delete(kind: string, id: string): void {
    this.#write('DELETE FROM entities WHERE kind = ? AND id = ?', kind, id);
  }

  /** Errors: conflict when `parent` has a child of that name (also when it is the same child). */
  link(parent: string, name: string, child: string): void {
    try {
      this.#write('INSERT INTO edges (parent, name, child) VALUES (?, ?, ?)', parent, name, child);
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      if (cause instanceof SQLiteError && cause.code?.startsWith('SQLITE_CONSTRAINT') === true) {
        throw conflict(`Cannot link "${name}" below "${parent}": the name is taken`, { cause });
      }
      throw error;
    }
  }

  /** Idempotent. */
  unlink(parent: string, name: string): void {
    this.#write('DELETE FROM edges WHERE parent = ? AND name = ?', parent, name);
  }

  child(parent: string, name: string): string | undefined {
    const row = this.#read('SELECT child FROM edges WHERE parent = ? AND name = ?', parent, name)[0];
    return row === undefined ? undefined : String(row['child']);
  }

  children(parent: string): Edge[] {
    return this.#read('SELECT parent, name, child FROM edges WHERE parent = ? ORDER BY name', parent).map(edgeOf);
  }

  parents(child: string): Edge[] {
    return this.#read('SELECT parent, name, child FROM edges WHERE child = ? ORDER BY parent, name', child).map(edgeOf);
  }

  /** Adds to the event log, in order; the log keeps the newest `EVENTS_MAX`. */
  appendEvents(events: readonly LoggedEvent[]): void {
    this.transaction(() => {
      for (const event of events) {
        const text = JSON.stringify(event.document);
        this.#bytesSinceTrim += text.length;
        this.#write('INSERT INTO events (time_ns, document) VALUES (?, ?)', event.timeNs, text);
      }
      this.#sinceTrim += events.length;
      if (this.#sinceTrim >= TRIM_EVERY) this.#trimEvents(events.at(-1)?.timeNs ?? 0n);
    });
  }

  #trimEvents(nowNs: bigint): void {
    this.#sinceTrim = 0;
    this.#write('DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?', BigInt(EVENTS_MAX));
    this.#write('DELETE FROM events WHERE time_ns < ?', nowNs - EVENTS_NS_MAX);
    // Adding them all up is done only when many large ones have come.
    if (this.#bytesSinceTrim < EVENTS_BYTES_MAX / 8) return;
    this.#bytesSinceTrim = 0;
    this.#write(
      `DELETE FROM events WHERE seq <= (SELECT coalesce(max(seq), 0) FROM (
         SELECT seq, sum(length(document)) OVER (ORDER BY seq DESC) AS bytes FROM events) WHERE bytes > ?)`,
      BigInt(EVENTS_BYTES_MAX),
    );
  }

  /** Events with sinceNs ≤ time ≤ untilNs (undefined: no bound), oldest first. */
  eventsBetween(sinceNs: bigint | undefined, untilNs: bigint | undefined): LoggedEvent[] {
    const lowest = sinceNs ?? -(2n ** 63n);
    const highest = untilNs ?? 2n ** 63n - 1n;
    return this.#read(
      'SELECT time_ns, document FROM events WHERE time_ns BETWEEN ? AND ? ORDER BY seq',
      lowest,
      highest,
    ).map((row) => ({
      // as: the column is INTEGER in a STRICT table and the database is opened with safeIntegers.
      timeNs: row['time_ns'] as bigint,
      document: this.#decode(row['document'], 'event'),
    }));
  }

  close(): void {
    for (const statement of this.#statements.values()) statement.finalize();
    this.#statements.clear();
    this.#db.close(false);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #commit(): void {
    try {
      this.#db.run('COMMIT');
    } catch (error) {
      if (this.#db.inTransaction) this.#db.run('ROLLBACK');
      throw error;
    }
  }

  /** A damaged page is told at start, not at some later read; bounded by the small size of the file. */
  #assertIntact(): void {
    const row = this.#db.query<{ quick_check: string }, []>('PRAGMA quick_check(1)').get();
    if (row !== null && row.quick_check !== 'ok') {
      throw dataLoss(`Cannot open "${this.#file}": the database is damaged (${row.quick_check})`);
    }
  }

  #statement(sql: string): Statement<Record<string, unknown>> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare<Record<string, unknown>, never>(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #read(sql: string, ...values: (string | bigint)[]): Record<string, unknown>[] {
    try {
      return this.#statement(sql).all(...values);
    } catch (error) {
      throw explain(error, 'read', this.#file);
    }
  }

  #write(sql: string, ...values: (string | bigint)[]): void {
    try {
      this.#statement(sql).run(...values);
    } catch (error) {
      throw explain(error, 'write', this.#file);
    }
  }

  #decode(text: unknown, what: string): unknown {
    try {
      return JSON.parse(String(text));
    } catch (cause) {
      throw dataLoss(`Cannot read ${what} from "${this.#file}": not JSON`, { cause });
    }
  }
}

function edgeOf(row: Record<string, unknown>): Edge {
  return { parent: String(row['parent']), name: String(row['name']), child: String(row['child']) };
}

/** SQLite's error as one of ours, with the file in the message; everything else passes through. */
function explain(error: unknown, verb: string, file: string): unknown {
  if (!(error instanceof SQLiteError)) return error;
  const failed = (make: (message: string, o: { cause: unknown }) => BerthError, why: string): BerthError =>
    make(`Cannot ${verb} "${file}": ${why}`, { cause: error });
  const code = error.code ?? '';
  if (code === 'SQLITE_FULL') return failed(systemError, 'no space left on device');
  if (code === 'SQLITE_NOTADB') return failed(dataLoss, 'it is not a database');
  if (code.startsWith('SQLITE_CORRUPT')) return failed(dataLoss, 'the database is damaged');
  if (code === 'SQLITE_BUSY') return failed(systemError, 'another process uses it');
  if (code === 'SQLITE_READONLY' || code === 'SQLITE_CANTOPEN') return failed(systemError, error.message);
  return failed(systemError, error.message);
}
