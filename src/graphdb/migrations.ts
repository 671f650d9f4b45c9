/**
 * The schema, as a list of steps; `user_version` is how many have been done. Steps are never edited after a release,
 * only added. A file written by a newer program is refused: it may mean things that this one would break.
 */
import type { Database } from 'bun:sqlite';
import { dataLoss } from '#errdefs/errors.ts';

const steps: readonly string[] = [
  `CREATE TABLE entities (
     kind TEXT NOT NULL,
     id TEXT NOT NULL,
     document TEXT NOT NULL,
     PRIMARY KEY (kind, id)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE edges (
     parent TEXT NOT NULL,
     name TEXT NOT NULL,
     child TEXT NOT NULL,
     PRIMARY KEY (parent, name)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX edges_by_child ON edges (child);
   CREATE TABLE events (
     seq INTEGER PRIMARY KEY,
     time_ns INTEGER NOT NULL,
     document TEXT NOT NULL
   ) STRICT;
   CREATE INDEX events_by_time ON events (time_ns);`,
];

/** Brings the schema up to date; each step is one transaction with its number. */
export function migrate(db: Database, file: string): void {
  const row = db.query<{ user_version: bigint }, []>('PRAGMA user_version').get();
  const version = Number(row?.user_version ?? 0n);
  if (version > steps.length) {
    throw dataLoss(`Cannot open "${file}": its version ${version} is newer than this program's ${steps.length}`);
  }
  for (const [index, step] of steps.entries()) {
    if (index < version) continue;
    db.transaction(() => {
      db.run(step);
      db.run(`PRAGMA user_version = ${index + 1}`);
    }).immediate();
  }
}
