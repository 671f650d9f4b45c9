import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { GraphDb } from '#graphdb/graphdb.ts';
import { BlobSources } from './blob-sources.ts';

const DAY_MS = 24 * 3600 * 1000;
const KIND = 'blob-source';
let directory = '';
let db: GraphDb;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'blob-sources-'));
  db = GraphDb.open(path.join(directory, 'db'));
});
afterAll(() => {
  db.close();
  fs.rmSync(directory, { recursive: true });
});

test('the newest place is first; a registry that says no more is forgotten', () => {
  const sources = new BlobSources(db);
  sources.note({ name: 'a.example/one' }, ['sha256:1', 'sha256:2']);
  sources.note({ name: 'a.example/two' }, ['sha256:1']);
  expect(sources.of('a.example', 'sha256:1')).toEqual(['two', 'one']);
  expect(sources.all('sha256:2')).toEqual(['a.example/one']);
  sources.forget('a.example/two', 'sha256:1');
  sources.forget('a.example/one', 'sha256:2');
  sources.forget('nobody.example/one', 'sha256:2');
  expect(sources.all('sha256:1')).toEqual(['a.example/one']);
  expect(db.get(KIND, 'sha256:2')).toBeUndefined();
});

test('what nobody has seen for long is forgotten, but for the last place of an archive that is not here', () => {
  let now = 1000 * DAY_MS;
  const sources = new BlobSources(db, { now: () => now, isMissed: (digest) => digest === 'sha256:missed' });
  for (const name of ['a.example/old', 'a.example/newer']) sources.note({ name }, ['sha256:missed', 'sha256:here']);
  // As earlier versions wrote them: from now on they have a time.
  db.put(KIND, 'sha256:plain', ['a.example/plain']);
  now += 60 * DAY_MS;
  sources.note({ name: 'a.example/again' }, ['sha256:other']);
  expect(sources.all('sha256:here').length).toBe(2);
  now += 60 * DAY_MS;
  sources.note({ name: 'a.example/again' }, ['sha256:new']);
  expect(sources.all('sha256:here')).toEqual([]);
  expect(sources.all('sha256:missed')).toEqual(['a.example/newer']);
  expect(sources.all('sha256:plain')).toEqual(['a.example/plain']);
  expect(sources.all('sha256:other')).toEqual(['a.example/again']);
  now += 40 * DAY_MS;
  sources.note({ name: 'a.example/again' }, ['sha256:new']);
  expect(sources.all('sha256:plain')).toEqual([]);
});
