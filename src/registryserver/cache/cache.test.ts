/** The cache before an upstream that is away, lies, breaks off, or has had enough. */
import { afterEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { digestOf } from '#content/content-store.ts';
import { collect } from '../collect.ts';
import { MEDIA } from '../manifest.ts';
import { TestRegistry } from '../testing/test-registry.ts';
import { Cache } from './cache.ts';
import { type Upstream, type UpstreamAsk, UpstreamFailure, type UpstreamFailureKind } from './upstream.ts';

const CHUNK = 100_000;

class FakeUpstream implements Upstream {
  readonly blobs = new Map<string, Buffer>();
  readonly tagged = new Map<string, string>();
  readonly asked: string[] = [];
  failing: UpstreamFailureKind | undefined;
  retryAfterS: number | undefined;
  /** A download breaks off after so many bytes, so often. */
  breaks = 0;
  lie: ((bytes: Buffer) => Buffer) | undefined;
  gate: Promise<void> = Promise.resolve();
  referring: readonly unknown[] | undefined;

  add(bytes: Buffer): string {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return digest;
  }

  addImage(tag: string, layer: Buffer): string {
    const config = { digest: this.add(Buffer.from('{}')), size: 2 };
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA.ociManifest,
      config,
      layers: [{ digest: this.add(layer), size: layer.length }],
    };
    const digest = this.add(Buffer.from(JSON.stringify(manifest)));
    this.tagged.set(tag, digest);
    return digest;
  }

  async find({ path: name }: UpstreamAsk, tag: string): Promise<string | undefined> {
    this.#ask(`find ${name}:${tag}`);
    return this.tagged.get(tag);
  }

  async manifest({ path: name }: UpstreamAsk, reference: string): Promise<{ bytes: Buffer; mediaType: string }> {
    this.#ask(`manifest ${name} ${reference.slice(0, 15)}`);
    return { bytes: this.#get(this.tagged.get(reference) ?? reference), mediaType: MEDIA.ociManifest };
  }

  async blobSize({ path: name }: UpstreamAsk, digest: string): Promise<number> {
    this.#ask(`size ${name}`);
    return this.#get(digest).length;
  }

  async blob({ path: name }: UpstreamAsk, digest: string, offset: number) {
    this.#ask(`blob ${name} ${offset}`);
    const whole = this.#get(digest);
    const next = (): boolean => (this.breaks -= 1) >= 0;
    const gate = this.gate;
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let at = offset; at < whole.length; at += CHUNK) {
        yield whole.subarray(at, at + CHUNK);
        if (next()) throw new Error('connection reset');
        await gate;
      }
    }
    return { offset, size: whole.length, body: body() };
  }

  async tags(): Promise<string[]> {
    this.#ask('tags');
    return [...this.tagged.keys()];
  }

  async referrers(): Promise<readonly unknown[] | undefined> {
    this.#ask('referrers');
    return this.referring;
  }

  #ask(what: string): void {
    this.asked.push(what);
    if (this.failing === undefined) return;
    throw new UpstreamFailure(
      this.failing,
      'test',
      this.retryAfterS === undefined ? {} : { retryAfterS: this.retryAfterS },
    );
  }

  #get(digest: string): Buffer {
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) throw new UpstreamFailure('missing', 'there is none');
    return this.lie?.(bytes) ?? bytes;
  }
}

const opened: { r: TestRegistry; cache: Cache }[] = [];
afterEach(() => {
  for (const { r, cache } of opened.splice(0)) {
    cache[Symbol.dispose]();
    r[Symbol.dispose]();
  }
});

function cached(prefix = '', limits = { blobBytesMax: 1 << 30 }): { r: TestRegistry; upstream: FakeUpstream } {
  const r = new TestRegistry({ limits });
  const upstream = new FakeUpstream();
  const cache = new Cache({
    registry: r.registry,
    upstreams: [{ prefix, upstream }],
    freshMs: 60_000,
    keepMs: 30 * 86_400_000,
  });
  r.registry.cache = cache;
  opened.push({ r, cache });
  return { r, upstream };
}

const digestOfAnswer = (answer: Response): string => answer.headers.get('docker-content-digest') ?? '';

test('what has been pulled once is served without the upstream', async () => {
  const { r, upstream } = cached();
  const layer = Buffer.alloc(700_000, 3);
  const digest = upstream.addImage('v1', layer);
  const first = await r.ask('GET', '/v2/lib/app/manifests/v1');
  expect([first.status, digestOfAnswer(first)]).toEqual([200, digest]);
  const blob = await r.ask('GET', `/v2/lib/app/blobs/${digestOf(layer)}`);
  expect(blob.headers.get('content-length')).toBe('700000');
  expect(Buffer.from(await blob.arrayBuffer()).equals(layer)).toBe(true);
  expect(upstream.asked).toEqual(['manifest lib/app v1', 'blob lib/app 0']);
  upstream.failing = 'unreachable';
  expect((await r.ask('GET', '/v2/lib/app/manifests/v1')).headers.get('warning')).toBeNull();
  expect((await r.ask('GET', `/v2/lib/app/manifests/${digest}`)).status).toBe(200);
  const again = await r.ask('GET', `/v2/lib/app/blobs/${digestOf(layer)}`);
  expect(Buffer.from(await again.arrayBuffer()).equals(layer)).toBe(true);
  expect(upstream.asked).toHaveLength(2);
  expect(await r.failure('PUT', '/v2/lib/app/manifests/v1', { body: '{}' })).toBe('405 UNSUPPORTED');
  expect(await r.failure('POST', '/v2/lib/app/blobs/uploads/')).toBe('405 UNSUPPORTED');
});

test('a tag that moves upstream is followed once it is no longer fresh, and found by HEAD alone when it has not', async () => {
  const { r, upstream } = cached();
  const old = upstream.addImage('v1', Buffer.from('old'));
  await r.ask('GET', '/v2/app/manifests/v1');
  const moved = upstream.addImage('v1', Buffer.from('new'));
  expect(digestOfAnswer(await r.ask('GET', '/v2/app/manifests/v1'))).toBe(old);
  r.nowMs += 61_000;
  expect(digestOfAnswer(await r.ask('GET', '/v2/app/manifests/v1'))).toBe(moved);
  upstream.asked.length = 0;
  r.nowMs += 61_000;
  expect(digestOfAnswer(await r.ask('GET', '/v2/app/manifests/v1'))).toBe(moved);
  expect(upstream.asked).toEqual(['find app:v1']);
});

for (const failing of ['limited', 'unreachable'] as const) {
  test(`an upstream that is ${failing}: what is here is served as stale, what is not is refused with the reason`, async () => {
    const { r, upstream } = cached();
    const digest = upstream.addImage('v1', Buffer.from('layer'));
    await r.ask('GET', '/v2/app/manifests/v1');
    upstream.failing = failing;
    r.nowMs += 3600_000;
    const stale = await r.ask('GET', '/v2/app/manifests/v1');
    expect([stale.status, digestOfAnswer(stale)]).toEqual([200, digest]);
    expect([stale.headers.get('warning'), stale.headers.get('age')]).toEqual(['110 - "Response is Stale"', '3600']);
    const head = await r.ask('HEAD', '/v2/app/manifests/v1');
    expect(head.headers.get('berth-stale')).toBe('true');
    // It is left alone for a while.
    expect(upstream.asked).toEqual(['manifest app v1', 'find app:v1']);
    const expected = failing === 'limited' ? '429 TOOMANYREQUESTS' : '503 UNAVAILABLE';
    expect(await r.failure('GET', '/v2/app/manifests/other')).toBe(expected);
    expect(await (await r.ask('GET', '/v2/app/tags/list')).json()).toEqual({ name: 'app', tags: ['v1'] });
    upstream.failing = undefined;
    r.nowMs += 60_000;
    expect((await r.ask('GET', '/v2/app/manifests/v1')).headers.get('warning')).toBeNull();
  });
}

test('Retry-After is passed on and kept', async () => {
  const { r, upstream } = cached();
  upstream.failing = 'limited';
  upstream.retryAfterS = 120;
  const answer = await r.ask('GET', '/v2/app/manifests/v1');
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '120']);
});

test('a tag that is gone upstream is gone here, but not what it meant', async () => {
  const { r, upstream } = cached();
  const digest = upstream.addImage('v1', Buffer.from('layer'));
  await r.ask('GET', '/v2/app/manifests/v1');
  upstream.failing = 'missing';
  r.nowMs += 61_000;
  expect(await r.failure('GET', '/v2/app/manifests/v1')).toBe('404 MANIFEST_UNKNOWN');
  expect((await r.ask('GET', `/v2/app/manifests/${digest}`)).status).toBe(200);
  upstream.failing = 'refused';
  expect(await r.failure('GET', '/v2/app/manifests/v1')).toBe('403 DENIED');
});

test('many that ask for the same are one download, and each gets it whole while it comes', async () => {
  const { r, upstream } = cached();
  const layer = Buffer.alloc(3_000_000);
  for (let i = 0; i < layer.length; i += 4) layer.writeUInt32LE(i, i);
  upstream.addImage('v1', layer);
  await r.ask('GET', '/v2/app/manifests/v1');
  const open = Promise.withResolvers<void>();
  upstream.gate = open.promise;
  const target = `/v2/app/blobs/${digestOf(layer)}`;
  const answers = await Promise.all(Array.from({ length: 10 }, () => r.ask('GET', target)));
  open.resolve();
  for (const answer of answers) expect(Buffer.from(await answer.arrayBuffer()).equals(layer)).toBe(true);
  expect(upstream.asked.filter((what) => what.startsWith('blob'))).toHaveLength(1);
  expect(fs.readdirSync(path.join(r.root, 'ingest'))).toEqual([]);
});

test('a download that breaks off goes on where it broke', async () => {
  const { r, upstream } = cached();
  const layer = Buffer.alloc(1_000_000, 9);
  upstream.addImage('v1', layer);
  await r.ask('GET', '/v2/app/manifests/v1');
  upstream.breaks = 2;
  const answer = await r.ask('GET', `/v2/app/blobs/${digestOf(layer)}`);
  expect(Buffer.from(await answer.arrayBuffer()).equals(layer)).toBe(true);
  expect(upstream.asked.slice(1)).toEqual(['blob app 0', `blob app ${CHUNK}`, `blob app ${2 * CHUNK}`]);
});

test('an upstream that lies never gives a client a whole wrong blob, and nothing is kept', async () => {
  const { r, upstream } = cached();
  const layer = Buffer.alloc(1_000_000, 9);
  const digest = upstream.addImage('v1', layer);
  await r.ask('GET', '/v2/app/manifests/v1');
  for (const lie of [
    (bytes: Buffer) => Buffer.alloc(bytes.length, 1),
    (bytes: Buffer) => bytes.subarray(0, bytes.length - 1),
    (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('x')]),
  ]) {
    upstream.lie = lie;
    const answer = await r.ask('GET', `/v2/app/blobs/${digestOf(layer)}`);
    const got = await answer.arrayBuffer().then(
      ({ byteLength }) => byteLength,
      () => 'broken',
    );
    expect(got).toBe('broken');
    expect(r.registry.options.content.has(digestOf(layer))).toBe(false);
  }
  expect(fs.readdirSync(path.join(r.root, 'ingest'))).toEqual([]);
  const other = upstream.addImage('v2', Buffer.from('other'));
  upstream.lie = () => upstream.blobs.get(digest) ?? Buffer.alloc(0);
  expect(await r.failure('GET', `/v2/app/manifests/${other}`)).toBe('503 UNAVAILABLE');
});

test('what refers to a manifest is asked of the upstream; what it sends is looked at', async () => {
  const { r, upstream } = cached();
  const digest = upstream.addImage('v1', Buffer.from('layer'));
  const list = async (query = ''): Promise<unknown> =>
    Reflect.get(Object(await (await r.ask('GET', `/v2/app/referrers/${digest}${query}`)).json()), 'manifests');
  expect(await list()).toEqual([]);
  const entry = { mediaType: MEDIA.ociManifest, digest, size: 1, artifactType: 'a/b' };
  upstream.referring = [entry, null, { digest: '../x' }, 'x'];
  expect(await list()).toEqual([entry]);
  expect(await list('?artifactType=other')).toEqual([]);
  upstream.referring = undefined;
  expect(await list()).toEqual([]);
  upstream.failing = 'unreachable';
  expect(await list()).toEqual([]);
});

test('a blob beyond the limit is refused', async () => {
  const { r, upstream } = cached('', { blobBytesMax: 1000 });
  upstream.addImage('v1', Buffer.alloc(5000));
  await r.ask('GET', '/v2/app/manifests/v1');
  expect(await r.failure('GET', `/v2/app/blobs/${digestOf(Buffer.alloc(5000))}`)).toBe('403 DENIED');
});

test('one cache for some registries, by prefix or as a mirror; other repositories are our own', async () => {
  const { r, upstream } = cached('hub.test');
  const digest = upstream.addImage('v1', Buffer.from('layer'));
  expect(digestOfAnswer(await r.ask('GET', '/v2/hub.test/lib/app/manifests/v1'))).toBe(digest);
  expect(digestOfAnswer(await r.ask('GET', '/v2/lib/app/manifests/v1?ns=hub.test'))).toBe(digest);
  expect(upstream.asked).toEqual(['manifest lib/app v1']);
  expect(await r.failure('GET', '/v2/lib/app/manifests/v1')).toBe('404 NAME_UNKNOWN');
  await r.pushImage('own', 'v1', 'layer');
  expect((await r.ask('GET', '/v2/own/manifests/v1')).status).toBe(200);
});

test('what nobody asks for is forgotten, what is used stays', async () => {
  const { r, upstream } = cached();
  const used = upstream.addImage('used', Buffer.from('used'));
  const unused = upstream.addImage('unused', Buffer.from('unused'));
  for (const name of ['used', 'unused']) {
    await r.ask('GET', `/v2/app/manifests/${name}`);
    await (await r.ask('GET', `/v2/app/blobs/${digestOf(Buffer.from(name))}`)).text();
  }
  upstream.failing = 'unreachable';
  for (let day = 0; day < 40; day += 5) {
    r.nowMs += 5 * 86_400_000;
    await r.ask('GET', '/v2/app/manifests/used');
  }
  expect(await collect(r.registry, { dryRun: true })).toMatchObject({ manifests: 1, blobs: 2 });
  expect(await collect(r.registry, { dryRun: false })).toMatchObject({ manifests: 1, blobs: 2 });
  expect((await r.ask('GET', `/v2/app/manifests/${used}`)).status).toBe(200);
  expect(await r.failure('GET', `/v2/app/manifests/${unused}`)).toBe('503 UNAVAILABLE');
});
