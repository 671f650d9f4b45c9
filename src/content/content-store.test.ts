import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { kindOf } from '#errdefs/errors.ts';
import { ContentStore, digestOf } from './content-store.ts';

let root = '';
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-content-'));
});
afterEach(() => fs.rmSync(root, { recursive: true }));

const failureOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return kindOf(error);
  }
  return 'none';
};

test('a blob is kept under its digest, in a layout that other tools read', () => {
  const store = ContentStore.open(root);
  const { digest } = store.put(Buffer.from('hello'));
  expect(digest).toBe('sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824');
  expect(store.put(Buffer.from('hello')).digest).toBe(digest);
  expect(ContentStore.open(root).read(digest, 100).toString()).toBe('hello');
  expect(JSON.parse(fs.readFileSync(path.join(root, 'oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' });
  expect(store.list()).toEqual([digest]);
  store.remove(digest);
  store.remove(digest);
  expect(store.has(digest)).toBe(false);
  expect(failureOf(() => store.read(digest, 100))).toBe('not-found');
});

test('a blob that has changed, or is longer than allowed, is not read', () => {
  const store = ContentStore.open(root);
  const { digest } = store.put(Buffer.from('hello'));
  expect(failureOf(() => store.read(digest, 4))).toBe('data-loss');
  fs.writeFileSync(store.path(digest), 'other');
  expect(failureOf(() => store.read(digest, 100))).toBe('data-loss');
  expect(failureOf(() => store.path('sha256:../../x'))).toBe('system');
});

test('what is written in pieces of any size arrives whole', async () => {
  const store = ContentStore.open(root);
  const bytes = Buffer.alloc(3_500_000);
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(i, i);
  for (const piece of [999_999, 33_333, 4_000_000]) {
    const ingest = store.ingest();
    for (let at = 0; at < bytes.length; at += piece) {
      ingest.write(bytes.subarray(at, at + piece));
      await ingest.room();
    }
    await ingest.seal();
    expect(ingest.size).toBe(bytes.length);
    expect(fs.readFileSync(ingest.path).equals(bytes)).toBe(true);
    store.keep([{ file: ingest.path, digest: digestOf(bytes) }]);
    await ingest[Symbol.asyncDispose]();
  }
  expect(store.list()).toEqual([digestOf(bytes)]);
  expect(fs.readdirSync(path.join(root, 'ingest'))).toEqual([]);
});

test('what was not kept goes, at the latest with the next start', async () => {
  const store = ContentStore.open(root);
  {
    await using dropped = store.ingest();
    dropped.write(Buffer.from('x'));
  }
  expect(fs.readdirSync(path.join(root, 'ingest'))).toEqual([]);
  const left = store.ingest();
  left.write(Buffer.from('x'));
  await left.seal();
  ContentStore.open(root);
  expect(fs.readdirSync(path.join(root, 'ingest'))).toEqual([]);
});
