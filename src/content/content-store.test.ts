import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { kindOf } from '#errdefs/errors.ts';
import { ContentStore, digestOf } from './content-store.ts';
import { decodeManifest, MEDIA } from './descriptor.ts';

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
  const { digest } = store.putNow(Buffer.from('hello'));
  expect(digest).toBe('sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824');
  expect(store.putNow(Buffer.from('hello')).digest).toBe(digest);
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
  const { digest } = store.putNow(Buffer.from('hello'));
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
    store.keepNow([{ file: ingest.path, digest: digestOf(bytes) }]);
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

test('what neither an owner nor a lease names is collected', async () => {
  const store = ContentStore.open(root);
  const [owned, leased, garbage] = ['a', 'b', 'c'].map((text) => store.putNow(Buffer.from(text)).digest);
  if (owned === undefined || leased === undefined || garbage === undefined) throw new Error('three blobs');
  store.addRoots((mark) => mark(owned));
  const lease = store.lease({ purpose: 'test' });
  lease.add(leased);
  fs.writeFileSync(store.partial(leased).path, 'half');
  fs.writeFileSync(store.partial(garbage).path, 'half');
  expect(store.collect()).toEqual({ digests: [garbage], bytes: 1 });
  expect(store.partial(leased).size).toBe(4);
  expect(store.partial(garbage).size).toBe(0);
  expect(store.list().sort()).toEqual([owned, leased].sort());
  lease[Symbol.dispose]();
  lease[Symbol.dispose]();
  expect(store.collect().digests).toEqual([leased]);
  await store.deleted();
  expect(fs.readdirSync(path.join(root, 'trash'))).toEqual([]);
  expect(fs.readdirSync(path.join(root, 'leases'))).toEqual([]);
  expect(fs.readdirSync(path.join(root, 'partial'))).toEqual([]);
});

test('a lease ends with the process; one with a key is taken up again until it is done or too old', () => {
  let now = Date.now();
  const open = (): ContentStore => {
    const store = ContentStore.open(root, { now: () => now });
    store.addRoots(() => undefined);
    return store;
  };
  let store = open();
  const { digest } = store.putNow(Buffer.from('x'));
  const { digest: other } = store.putNow(Buffer.from('y'));
  store.lease({ purpose: 'build' }).add(other);
  store.lease({ purpose: 'pull x', key: 'x', keepMs: 60_000 }).add(digest);
  fs.writeFileSync(path.join(root, 'leases', 'broken'), '{"key"');

  store = open();
  expect(store.collect().digests).toEqual([other]);
  {
    using again = store.lease({ purpose: 'pull x', key: 'x' });
    expect(again.digests()).toEqual([digest]);
  }
  expect(store.collect().digests).toEqual([]);
  now += 61_000;
  expect(store.collect().digests).toEqual([digest]);

  store.putNow(Buffer.from('x'));
  {
    using first = store.lease({ purpose: 'pull x', key: 'x' });
    first.add(digest);
    using second = store.lease({ purpose: 'pull x', key: 'x' });
    second.done();
    expect(store.collect().digests).toEqual([]);
  }
  expect(store.collect().digests).toEqual([digest]);
  expect(fs.readdirSync(path.join(root, 'leases'))).toEqual([]);
});

test('manifests are decoded with bounds and in one meaning', () => {
  const descriptor = { mediaType: MEDIA.config, digest: `sha256:${'a'.repeat(64)}`, size: 3 };
  const decode = (value: unknown) => decodeManifest(Buffer.from(JSON.stringify(value)));
  const manifest = { schemaVersion: 2, config: descriptor, layers: [descriptor] };
  expect(decode(manifest)).toMatchObject({ kind: 'manifest', mediaType: MEDIA.manifest });
  expect(decode({ schemaVersion: 2, manifests: [descriptor] })).toMatchObject({ kind: 'index' });
  for (const wrong of [
    [],
    { schemaVersion: 2 },
    { schemaVersion: 1, fsLayers: [] },
    { ...manifest, schemaVersion: 3 },
    { ...manifest, manifests: [] },
    { ...manifest, mediaType: MEDIA.index },
    { schemaVersion: 2, manifests: [], mediaType: MEDIA.dockerManifest },
    { ...manifest, config: undefined },
    { ...manifest, layers: Array.from({ length: 1001 }, () => descriptor) },
    { ...manifest, layers: [{ ...descriptor, size: -1 }] },
    { ...manifest, layers: [{ ...descriptor, size: 2 ** 60 }] },
    { ...manifest, layers: [{ ...descriptor, digest: 'sha256:../../x' }] },
  ]) {
    expect(failureOf(() => decode(wrong))).toBe('data-loss');
  }
});

test('what is put or kept without holding the thread up is named by its lease from the first moment', async () => {
  const store = ContentStore.open(root);
  store.addRoots(() => undefined);
  const bytes = Buffer.from('a manifest');
  const sealed = Buffer.from('a layer');
  const file = path.join(store.root, 'ingest', 'x');
  fs.writeFileSync(file, sealed);
  {
    using lease = store.lease({ purpose: 'test' });
    // Twice at once: one name, the same content.
    const put = Promise.all([store.put(bytes, lease), store.put(bytes, lease)]);
    const keep = store.keep([{ file, digest: digestOf(sealed) }], lease);
    expect(store.collect().digests).toEqual([]);
    expect((await put).map(({ digest }) => digest)).toEqual([digestOf(bytes), digestOf(bytes)]);
    await keep;
    expect(store.collect().digests).toEqual([]);
    expect(store.read(digestOf(bytes), 100).equals(bytes)).toBe(true);
    expect(store.read(digestOf(sealed), 100).equals(sealed)).toBe(true);
    expect(fs.readdirSync(path.join(store.root, 'blobs/sha256')).filter((name) => name.startsWith('.'))).toEqual([]);
  }
  expect(store.collect().digests.length).toBe(2);
});
