/** Garbage collection beside pushes: what it removes, and above all what it does not. */
import { expect, test } from 'bun:test';
import { digestOf } from '#content/content-store.ts';
import { collect } from './collect.ts';
import { TestRegistry } from './testing/test-registry.ts';

const DAY_MS = 24 * 3600_000;

/** The clock goes forward; files have the real time of their writing. */
const later = (r: TestRegistry, ms = 2 * DAY_MS): void => {
  r.nowMs += ms;
};

test('what no manifest names is removed once it is old enough, and only then', async () => {
  using r = new TestRegistry();
  await r.pushImage('a', 'v1', 'kept');
  const orphan = await r.push('a', 'orphan');
  expect(await collect(r.registry, { dryRun: false })).toMatchObject({ blobs: 0 });
  later(r);
  const dry = await collect(r.registry, { dryRun: true });
  expect(dry).toMatchObject({ dryRun: true, blobs: 1, bytes: 6 });
  expect(r.registry.options.content.has(orphan)).toBe(true);
  expect(await collect(r.registry, { dryRun: false })).toMatchObject({ blobs: 1, bytes: 6 });
  expect(await r.failure('GET', `/v2/a/blobs/${orphan}`)).toBe('404 BLOB_UNKNOWN');
  r.reopen();
  expect(await (await r.ask('GET', `/v2/a/blobs/${digestOf(Buffer.from('kept'))}`)).text()).toBe('kept');
});

test('a blob goes with the last manifest that names it, in whichever repository', async () => {
  using r = new TestRegistry();
  const first = await r.pushImage('a', 'v1', 'shared');
  await r.pushImage('b', 'v1', 'shared');
  const shared = digestOf(Buffer.from('shared'));
  await r.ask('DELETE', `/v2/a/manifests/${first}`);
  later(r);
  await collect(r.registry, { dryRun: false });
  expect((await r.ask('GET', `/v2/b/blobs/${shared}`)).status).toBe(200);
  expect((await r.ask('GET', `/v2/a/blobs/${shared}`)).status).toBe(404);
  await r.ask('DELETE', `/v2/b/manifests/${first}`);
  later(r);
  await collect(r.registry, { dryRun: false });
  expect(r.registry.options.content.list()).toEqual([]);
  expect(await (await r.ask('GET', '/v2/_catalog')).json()).toEqual({ repositories: [] });
});

test('a push that found its layers already here is safe from a collection before its manifest', async () => {
  using r = new TestRegistry();
  const layer = await r.push('a', 'old layer');
  const config = await r.push('a', '{}');
  later(r);
  // The client asks, is told that it is there, and does not send it.
  expect((await r.ask('HEAD', `/v2/a/blobs/${layer}`)).status).toBe(200);
  expect((await r.ask('POST', `/v2/b/blobs/uploads/?mount=${config}&from=a`)).status).toBe(201);
  await collect(r.registry, { dryRun: false });
  expect((await r.ask('HEAD', `/v2/a/blobs/${layer}`)).status).toBe(200);
  expect((await r.ask('HEAD', `/v2/b/blobs/${config}`)).status).toBe(200);
});

test('uploads in progress stay, those that nobody goes on with are dropped', async () => {
  using r = new TestRegistry();
  const location = (await r.ask('POST', '/v2/a/blobs/uploads/')).headers.get('location') ?? '';
  await r.ask('PATCH', location, { body: 'part' });
  expect(await collect(r.registry, { dryRun: false })).toMatchObject({ uploads: 0 });
  expect((await r.ask('GET', location)).status).toBe(204);
  later(r);
  expect(await collect(r.registry, { dryRun: false })).toMatchObject({ uploads: 1 });
  expect((await r.ask('GET', location)).status).toBe(404);
});

test('manifests without a tag go when that is wished, but not what a tag leads to', async () => {
  using r = new TestRegistry({ collectUntagged: true });
  const child = await r.pushImage('a', 'child', 'child');
  const index = JSON.stringify({ schemaVersion: 2, manifests: [{ digest: child, size: 1 }] });
  await r.ask('PUT', '/v2/a/manifests/index', { body: index });
  await r.ask('DELETE', '/v2/a/manifests/child');
  const subject = { digest: digestOf(Buffer.from(index)), size: 1 };
  const signature = await r.pushImage('a', 'sig', 'signature', { subject });
  await r.ask('DELETE', '/v2/a/manifests/sig');
  const lonely = await r.pushImage('a', 'lonely', 'lonely');
  await r.ask('DELETE', '/v2/a/manifests/lonely');
  later(r);
  // Its manifest and its layer; the configuration is everybody's.
  expect(await collect(r.registry, { dryRun: true })).toMatchObject({ manifests: 1, blobs: 2 });
  expect(await collect(r.registry, { dryRun: false })).toMatchObject({ manifests: 1, blobs: 2 });
  expect((await r.ask('GET', `/v2/a/manifests/${child}`)).status).toBe(200);
  expect((await r.ask('GET', `/v2/a/manifests/${signature}`)).status).toBe(200);
  expect((await r.ask('GET', `/v2/a/manifests/${lonely}`)).status).toBe(404);
});

test('collections beside pushes never lose a layer of what was pushed', async () => {
  using r = new TestRegistry({ graceMs: 1000, collectUntagged: true });
  const pushing = Array.from({ length: 40 }, async (_, i) => {
    await r.pushImage(`r${i % 4}`, `t${i}`, `layer ${i % 7}`);
    if (i % 5 === 0) await r.ask('DELETE', `/v2/r${i % 4}/manifests/t${i}`);
  });
  const collecting = (async () => {
    for (let i = 0; i < 20; i += 1) {
      await collect(r.registry, { dryRun: false });
      await Bun.sleep(0);
    }
  })();
  await Promise.all([...pushing, collecting]);
  for (let i = 0; i < 40; i += 1) {
    if (i % 5 === 0) continue;
    const manifest = await (await r.ask('GET', `/v2/r${i % 4}/manifests/t${i}`)).text();
    for (const [digest] of manifest.matchAll(/sha256:[0-9a-f]{64}/g)) {
      expect((await r.ask('HEAD', `/v2/r${i % 4}/blobs/${digest}`)).status).toBe(200);
    }
  }
});
