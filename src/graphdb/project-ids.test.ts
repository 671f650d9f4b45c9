import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { GraphDb } from './graphdb.ts';
import { ProjectIds } from './project-ids.ts';

let directory: string;
let db: GraphDb;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-project-'));
  db = GraphDb.open(path.join(directory, 'graph.db'));
});
afterEach(() => {
  db[Symbol.dispose]();
  fs.rmSync(directory, { recursive: true });
});

test('each owner has one id for good, and no two the same', () => {
  const ids = new ProjectIds(db, '/a');
  const one = ids.take('volume/x', () => true);
  expect(ids.take('volume/x', () => false)).toBe(one);
  expect(ids.take('volume/y', () => true)).toBe(one + 1);
  expect(ids.of('volume/y')).toBe(one + 1);
  expect(ids.owners()).toEqual(['volume/x', 'volume/y']);
});

test('what somebody else uses on the file system is left alone', () => {
  const ids = new ProjectIds(db, '/a');
  const first = ids.take('a', () => true);
  expect(ids.take('b', (id) => id > first + 3)).toBe(first + 4);
});

test('a released id is given out again', () => {
  const ids = new ProjectIds(db, '/a');
  const one = ids.take('a', () => true);
  ids.release('a');
  ids.release('a');
  expect(ids.of('a')).toBeUndefined();
  expect(ids.take('b', () => true)).toBe(one);
});

test('data roots have ranges of their own', () => {
  expect(new ProjectIds(db, '/a').take('a', () => true)).not.toBe(new ProjectIds(db, '/b').take('b', () => true));
});
