import { Database } from 'bun:sqlite';
import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { GraphDb } from './graphdb.ts';

let directory = '';
let file = '';
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-graphdb-'));
  file = path.join(directory, 'graph.db');
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

const failure = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('did not fail');
};

test('documents are kept across openings and listed in order of id', () => {
  {
    using db = GraphDb.open(file);
    db.put('container', 'b', { n: 1 });
    db.put('container', 'a', { n: 2 });
    db.put('volume', 'a', 'text');
    db.put('container', 'b', { n: 3 });
  }
  using db = GraphDb.open(file);
  expect(db.list('container')).toEqual([
    { id: 'a', document: { n: 2 } },
    { id: 'b', document: { n: 3 } },
  ]);
  expect(db.get('volume', 'a')).toBe('text');
  expect(db.get('volume', 'x')).toBeUndefined();
  db.delete('volume', 'a');
  db.delete('volume', 'a');
  expect(db.list('volume')).toEqual([]);
  expect(fs.statSync(file).mode & 0o777).toBe(0o600);
});

test('a transaction happens wholly or not at all; nested ones join', () => {
  using db = GraphDb.open(file);
  const wrong = failure(() =>
    db.transaction(() => {
      db.put('k', '1', 1);
      db.transaction(() => db.put('k', '2', 2));
      throw new Error('no');
    }),
  );
  expect(messageOf(wrong)).toBe('no');
  expect(db.list('k')).toEqual([]);
  expect(db.transaction(() => (db.put('k', '1', 1), 7), { durable: true })).toBe(7);
  expect(db.get('k', '1')).toBe(1);
  failure(() => db.transaction(() => Promise.resolve(db.put('k', '3', 1))));
  expect(db.get('k', '3')).toBeUndefined();
});

test('what was committed is flushed, also when nothing was, and again after a checkpoint', async () => {
  {
    using db = GraphDb.open(file);
    await db.flush();
    db.put('image', 'a', { size: 1 });
    await db.flush();
    // More pages than the log holds before they go into the database.
    db.transaction(() => {
      for (let i = 0; i < 3000; i++) db.put('image', `i${i}`, 'x'.repeat(3000));
    });
    db.put('image', 'b', { size: 2 });
    await db.flush();
  }
  using db = GraphDb.open(file);
  expect(db.get('image', 'b')).toEqual({ size: 2 });
});

test('a name below a parent belongs to one child', () => {
  using db = GraphDb.open(file);
  db.link('names', 'web', 'c1');
  expect(kindOf(failure(() => db.link('names', 'web', 'c2')))).toBe('conflict');
  expect(kindOf(failure(() => db.transaction(() => db.link('names', 'web', 'c2'))))).toBe('conflict');
  db.link('names', 'db', 'c2');
  db.link('other', 'db', 'c2');
  expect(db.child('names', 'web')).toBe('c1');
  expect(db.children('names').map((edge) => edge.name)).toEqual(['db', 'web']);
  expect(db.parents('c2').map((edge) => edge.parent)).toEqual(['names', 'other']);
  db.unlink('names', 'web');
  db.unlink('names', 'web');
  expect(db.child('names', 'web')).toBeUndefined();
});

test('events keep their order and their nanoseconds', () => {
  using db = GraphDb.open(file);
  const now = 1_790_000_000_123_456_789n;
  db.appendEvents([0n, 1n, 2n].map((n) => ({ timeNs: now + n, document: { n: Number(n) } })));
  expect(db.eventsBetween(now + 1n, undefined)).toEqual([
    { timeNs: now + 1n, document: { n: 1 } },
    { timeNs: now + 2n, document: { n: 2 } },
  ]);
  expect(db.eventsBetween(undefined, now).length).toBe(1);
  expect(db.eventsBetween(now + 5n, undefined)).toEqual([]);
});

test('the event log is bounded', () => {
  using db = GraphDb.open(file);
  const batch = Array.from({ length: 26_000 }, (_, n) => ({ timeNs: BigInt(n), document: n }));
  db.appendEvents(batch);
  db.appendEvents(batch);
  expect(db.eventsBetween(undefined, undefined).length).toBe(50_000);
}, 60_000);

test('the event log is bounded by age and by size too', () => {
  using db = GraphDb.open(file);
  const now = 1_790_000_000_000_000_000n;
  const day = 24n * 3600n * 1_000_000_000n;
  db.appendEvents([{ timeNs: now - 100n * day, document: 'old' }]);
  db.appendEvents(Array.from({ length: 1000 }, (_, n) => ({ timeNs: now + BigInt(n), document: n })));
  expect(db.eventsBetween(undefined, now - 1n)).toEqual([]);
  const large = 'x'.repeat(50_000);
  db.appendEvents(Array.from({ length: 2000 }, (_, n) => ({ timeNs: now + 2000n + BigInt(n), document: large })));
  const left = db.eventsBetween(undefined, undefined);
  expect(left.length).toBeGreaterThan(1200);
  expect(left.length).toBeLessThan(1400);
}, 60_000);

test('a file that is no database, a damaged one and a newer one are told apart', () => {
  fs.writeFileSync(file, 'x'.repeat(8192));
  const none = failure(() => GraphDb.open(file));
  expect(kindOf(none)).toBe('data-loss');
  expect(messageOf(none)).toContain(`Cannot open "${file}": it is not a database`);
  fs.rmSync(file);
  {
    using db = GraphDb.open(file);
    for (let n = 0; n < 2000; n++) db.put('k', String(n), 'y'.repeat(100));
  }
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, Buffer.alloc(8192, 0xff), 0, 8192, 16384);
  fs.closeSync(fd);
  const damaged = failure(() => GraphDb.open(file));
  expect(kindOf(damaged)).toBe('data-loss');
  expect(messageOf(damaged)).toContain('damaged');
  for (const suffix of ['', '-wal', '-shm']) fs.rmSync(file + suffix, { force: true });
  const raw = new Database(file);
  raw.run('PRAGMA user_version = 99');
  raw.close();
  expect(messageOf(failure(() => GraphDb.open(file)))).toContain('is newer than this program');
});
