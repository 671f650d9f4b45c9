/** The distribution specification, point by point, without a socket. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { digestOf } from '#content/content-store.ts';
import { MANIFEST_BYTES_MAX, MEDIA } from './manifest.ts';
import { TestRegistry } from './testing/test-registry.ts';

const NOWHERE = `sha256:${'0'.repeat(64)}`;
const locationOf = (answer: Response): string => answer.headers.get('location') ?? '';

test('an image is pushed in the ways there are, and comes back byte by byte', async () => {
  using r = new TestRegistry();
  const begun = await r.ask('POST', '/v2/a/b/blobs/uploads/');
  expect([begun.status, begun.headers.get('range')]).toEqual([202, '0-0']);
  const location = locationOf(begun);
  const one = await r.ask('PATCH', location, { body: 'hello ', headers: { 'content-range': '0-5' } });
  expect([one.status, one.headers.get('range')]).toEqual([202, '0-5']);
  // A chunk at the wrong place is told where the upload goes on.
  const wrong = await r.ask('PATCH', location, { body: 'x', headers: { 'content-range': '9-9' } });
  expect([wrong.status, wrong.headers.get('range'), wrong.headers.get('location')]).toEqual([416, '0-5', location]);
  const asked = await r.ask('GET', location);
  expect([asked.status, asked.headers.get('range')]).toEqual([204, '0-5']);
  const digest = digestOf(Buffer.from('hello world'));
  const put = await r.ask('PUT', `${location}?digest=${encodeURIComponent(digest)}`, { body: 'world' });
  expect([put.status, locationOf(put)]).toEqual([201, `/v2/a/b/blobs/${digest}`]);
  const got = await r.ask('GET', `/v2/a/b/blobs/${digest}`);
  expect(await got.text()).toBe('hello world');
  const head = await r.ask('HEAD', `/v2/a/b/blobs/${digest}`);
  expect([head.status, head.headers.get('content-length'), head.headers.get('docker-content-digest')]).toEqual([
    200,
    '11',
    digest,
  ]);
  expect((await r.ask('GET', `/v2/a/b/blobs/${digest}`, { headers: { 'if-none-match': `"${digest}"` } })).status).toBe(
    304,
  );

  const manifest = await r.manifestOf('a/b', 'a layer');
  const pushed = await r.ask('PUT', '/v2/a/b/manifests/v1', {
    body: manifest,
    headers: { 'content-type': MEDIA.ociManifest },
  });
  expect(pushed.status).toBe(201);
  for (const reference of ['v1', digestOf(Buffer.from(manifest))]) {
    const answer = await r.ask('GET', `/v2/a/b/manifests/${reference}`);
    expect([answer.headers.get('content-type'), await answer.text()]).toEqual([MEDIA.ociManifest, manifest]);
  }
  const headOf = await r.ask('HEAD', '/v2/a/b/manifests/v1');
  expect([headOf.headers.get('content-length'), await headOf.text()]).toEqual([String(manifest.length), '']);
  r.reopen();
  expect(await (await r.ask('GET', '/v2/a/b/manifests/v1')).text()).toBe(manifest);
});

test('failures have the codes and statuses of the specification', async () => {
  using r = new TestRegistry({ limits: { blobBytesMax: 10 } });
  const digest = await r.push('a', 'x');
  const cases: [string, string, string, { body?: string; headers?: Record<string, string> }?][] = [
    ['404 BLOB_UNKNOWN', 'GET', `/v2/a/blobs/${NOWHERE}`],
    ['404 BLOB_UNKNOWN', 'GET', `/v2/other/blobs/${digest}`],
    ['404 BLOB_UNKNOWN', 'DELETE', `/v2/a/blobs/${NOWHERE}`],
    ['400 DIGEST_INVALID', 'GET', '/v2/a/blobs/sha256:12'],
    ['400 DIGEST_INVALID', 'GET', `/v2/a/blobs/sha384:${'0'.repeat(96)}`],
    ['400 NAME_INVALID', 'GET', '/v2/A/tags/list'],
    ['400 NAME_INVALID', 'GET', '/v2/a%2f..%2fb/tags/list'],
    ['400 NAME_INVALID', 'GET', '/v2/%ff/tags/list'],
    ['400 NAME_INVALID', 'GET', `/v2/${'a'.repeat(256)}/tags/list`],
    ['404 NAME_UNKNOWN', 'GET', '/v2/none/tags/list'],
    ['404 NAME_UNKNOWN', 'GET', '/v2/none/manifests/latest'],
    ['404 MANIFEST_UNKNOWN', 'GET', '/v2/a/manifests/latest'],
    ['404 MANIFEST_UNKNOWN', 'GET', `/v2/a/manifests/${NOWHERE}`],
    ['404 MANIFEST_UNKNOWN', 'DELETE', `/v2/a/manifests/${NOWHERE}`],
    ['400 DIGEST_INVALID', 'GET', '/v2/a/manifests/sha256:1'],
    ['400 TAG_INVALID', 'PUT', '/v2/a/manifests/-x', { body: '{}' }],
    ['400 MANIFEST_INVALID', 'PUT', '/v2/a/manifests/x', { body: 'no json' }],
    ['400 MANIFEST_INVALID', 'PUT', '/v2/a/manifests/x', { body: '{"schemaVersion":1}' }],
    ['400 MANIFEST_INVALID', 'PUT', '/v2/a/manifests/x', { body: '{}', headers: { 'content-type': 'text/html' } }],
    ['404 BLOB_UPLOAD_UNKNOWN', 'PATCH', `/v2/a/blobs/uploads/${'0'.repeat(32)}`, { body: 'x' }],
    ['404 BLOB_UPLOAD_UNKNOWN', 'DELETE', '/v2/a/blobs/uploads/xyz'],
    ['400 DIGEST_INVALID', 'POST', `/v2/a/blobs/uploads/?digest=${NOWHERE}`, { body: 'x' }],
    ['413 SIZE_INVALID', 'POST', `/v2/a/blobs/uploads/?digest=${NOWHERE}`, { body: 'x'.repeat(11) }],
    ['400 PAGINATION_NUMBER_INVALID', 'GET', '/v2/_catalog?n=-1'],
    ['405 UNSUPPORTED', 'POST', '/v2/a/tags/list'],
    ['405 UNSUPPORTED', 'PUT', `/v2/a/blobs/${digest}`],
    ['404 UNSUPPORTED', 'GET', '/v2/a/nothing/here'],
    ['404 UNSUPPORTED', 'GET', '/elsewhere'],
  ];
  for (const [expected, method, target, init] of cases) {
    expect(`${await r.failure(method, target, init)} for ${method} ${target}`).toBe(
      `${expected} for ${method} ${target}`,
    );
  }
  expect(fs.readdirSync(path.join(r.root, 'uploads'))).toEqual([]);
});

test('a manifest may have 4 MiB, not one byte more, and needs what it names', async () => {
  using r = new TestRegistry();
  const base = await r.manifestOf('a', 'layer');
  const padded = base + ' '.repeat(MANIFEST_BYTES_MAX - base.length);
  expect((await r.ask('PUT', '/v2/a/manifests/x', { body: padded })).status).toBe(201);
  expect(await r.failure('PUT', '/v2/a/manifests/x', { body: `${padded} ` })).toBe('413 MANIFEST_INVALID');
  const missing = base.replace(/"layers".*/, `"layers":[{"digest":"${NOWHERE}","size":1}]}`);
  expect(await r.failure('PUT', '/v2/a/manifests/y', { body: missing })).toBe('400 MANIFEST_BLOB_UNKNOWN');
  const elsewhere = missing.replace('"size":1}', '"size":1,"urls":["https://example.test/x"]}');
  expect((await r.ask('PUT', '/v2/a/manifests/y', { body: elsewhere })).status).toBe(201);
  const index = JSON.stringify({ schemaVersion: 2, manifests: [{ digest: NOWHERE, size: 1 }] });
  expect(await r.failure('PUT', '/v2/a/manifests/z', { body: index })).toBe('400 MANIFEST_BLOB_UNKNOWN');
  const wrong = { body: base, headers: { 'content-type': MEDIA.dockerManifest } };
  expect(await r.failure('PUT', '/v2/a/manifests/z', wrong)).toBe('400 MANIFEST_INVALID');
  expect(await r.failure('PUT', `/v2/a/manifests/${NOWHERE}`, { body: base })).toBe('400 DIGEST_INVALID');
});

test('a blob is mounted from another repository that has it', async () => {
  using r = new TestRegistry();
  const digest = await r.push('from', 'x');
  const mounted = await r.ask('POST', `/v2/to/blobs/uploads/?mount=${digest}&from=from`);
  expect([mounted.status, locationOf(mounted)]).toEqual([201, `/v2/to/blobs/${digest}`]);
  expect((await r.ask('HEAD', `/v2/to/blobs/${digest}`)).status).toBe(200);
  expect((await r.ask('POST', `/v2/to/blobs/uploads/?mount=${NOWHERE}&from=from`)).status).toBe(202);
  expect((await r.ask('POST', `/v2/to/blobs/uploads/?mount=${digest}&from=none`)).status).toBe(202);
});

test('an upload goes on after the server was killed, in its own repository only', async () => {
  using r = new TestRegistry();
  const location = locationOf(await r.ask('POST', '/v2/a/blobs/uploads/'));
  await r.ask('PATCH', location, { body: 'first ' });
  r.reopen();
  expect((await r.ask('GET', location)).headers.get('range')).toBe('0-5');
  expect((await r.ask('GET', location.replace('/v2/a/', '/v2/b/'))).status).toBe(404);
  const digest = digestOf(Buffer.from('first second'));
  expect((await r.ask('PUT', `${location}?digest=${digest}`, { body: 'second' })).status).toBe(201);
  expect(await (await r.ask('GET', `/v2/a/blobs/${digest}`)).text()).toBe('first second');
  const other = locationOf(await r.ask('POST', '/v2/a/blobs/uploads/'));
  expect((await r.ask('DELETE', other)).status).toBe(204);
  expect((await r.ask('GET', other)).status).toBe(404);
});

test('of two requests that write to one upload the second is refused', async () => {
  using r = new TestRegistry();
  const location = locationOf(await r.ask('POST', '/v2/a/blobs/uploads/'));
  const started = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      started.resolve();
      await go.promise;
      controller.enqueue(new TextEncoder().encode('slow'));
      controller.close();
    },
  });
  const slow = r.ask('PATCH', location, { body });
  await started.promise;
  expect(await r.failure('PATCH', location, { body: 'fast' })).toBe('409 BLOB_UPLOAD_INVALID');
  go.resolve();
  expect((await slow).headers.get('range')).toBe('0-3');
});

test('a body that breaks off leaves what has arrived, to be resumed', async () => {
  using r = new TestRegistry();
  const location = locationOf(await r.ask('POST', '/v2/a/blobs/uploads/'));
  let sent = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent) controller.error(new DOMException('The connection was closed.', 'AbortError'));
      else controller.enqueue(new TextEncoder().encode('half'));
      sent = true;
    },
  });
  await r.ask('PATCH', location, { body });
  expect((await r.ask('GET', location)).headers.get('range')).toBe('0-3');
  const digest = digestOf(Buffer.from('half done'));
  expect((await r.ask('PUT', `${location}?digest=${digest}`, { body: ' done' })).status).toBe(201);
});

test('many push the same blob at once', async () => {
  using r = new TestRegistry();
  const content = Buffer.alloc(300_000, 7);
  const digests = await Promise.all(Array.from({ length: 20 }, (_, i) => r.push(`r${i % 3}`, content)));
  expect(new Set(digests).size).toBe(1);
  const [digest = ''] = digests;
  expect(fs.statSync(r.registry.options.content.path(digest)).size).toBe(content.length);
  expect(fs.readdirSync(path.join(r.root, 'uploads'))).toEqual([]);
});

test('a blob that was damaged on the disk is repaired by the next push', async () => {
  using r = new TestRegistry();
  const digest = await r.push('a', 'content');
  fs.writeFileSync(r.registry.options.content.path(digest), '');
  await r.push('a', 'content');
  expect(await (await r.ask('GET', `/v2/a/blobs/${digest}`)).text()).toBe('content');
});

test('tags and repositories are listed in pages', async () => {
  using r = new TestRegistry();
  for (const tag of ['b', 'a', 'c', 'A']) await r.pushImage('x', tag, 'layer');
  await r.pushImage('w', 'a', 'layer');
  const list = async (target: string): Promise<unknown> => (await r.ask('GET', target)).json();
  expect(await list('/v2/x/tags/list')).toEqual({ name: 'x', tags: ['A', 'a', 'b', 'c'] });
  const page = await r.ask('GET', '/v2/x/tags/list?n=2');
  expect(await page.json()).toEqual({ name: 'x', tags: ['A', 'a'] });
  const next = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
  const rest = await r.ask('GET', next);
  expect([await rest.json(), rest.headers.get('link')]).toEqual([{ name: 'x', tags: ['b', 'c'] }, null]);
  expect(await list('/v2/x/tags/list?n=0')).toEqual({ name: 'x', tags: [] });
  expect(await list('/v2/x/tags/list?last=b')).toEqual({ name: 'x', tags: ['c'] });
  expect(await list('/v2/_catalog')).toEqual({ repositories: ['w', 'x'] });
  expect(await list('/v2/_catalog?n=1&last=w')).toEqual({ repositories: ['x'] });
});

test('what refers to a manifest is found, by type too, and by the tag of clients of before', async () => {
  using r = new TestRegistry();
  const subject = await r.pushImage('a', 'v1', 'layer');
  const descriptor = { mediaType: MEDIA.ociManifest, digest: subject, size: 100 };
  const list = async (query = ''): Promise<{ manifests: Record<string, unknown>[] }> =>
    (await r.ask('GET', `/v2/a/referrers/${subject}${query}`)).json() as Promise<{
      manifests: Record<string, unknown>[];
    }>;
  expect((await list()).manifests).toEqual([]);
  const more = { subject: descriptor, artifactType: 'application/x.sbom', annotations: { kind: 'sbom' } };
  const body = await r.manifestOf('a', 'sbom', more);
  const pushed = await r.ask('PUT', `/v2/a/manifests/${digestOf(Buffer.from(body))}`, { body });
  expect([pushed.status, pushed.headers.get('oci-subject')]).toEqual([201, subject]);
  const entry = {
    mediaType: MEDIA.ociManifest,
    digest: digestOf(Buffer.from(body)),
    size: body.length,
    artifactType: 'application/x.sbom',
    annotations: { kind: 'sbom' },
  };
  expect((await list()).manifests).toEqual([entry]);
  const filtered = await r.ask('GET', `/v2/a/referrers/${subject}?artifactType=other`);
  expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType');
  expect(await filtered.json()).toMatchObject({ mediaType: MEDIA.ociIndex, manifests: [] });
  expect((await list(`?artifactType=${encodeURIComponent('application/x.sbom')}`)).manifests).toHaveLength(1);
  // A subject that is not here is allowed, and its referrers wait for it.
  const early = await r.manifestOf('a', 'early', { subject: { ...descriptor, digest: NOWHERE } });
  expect((await r.ask('PUT', '/v2/a/manifests/early', { body: early })).headers.get('oci-subject')).toBe(NOWHERE);
  const old = await r.pushImage('a', 'signature', 'signature');
  const index = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [{ digest: old, size: 1 }] });
  await r.ask('PUT', `/v2/a/manifests/${subject.replace(':', '-')}`, { body: index });
  expect(new Set((await list()).manifests.map(({ digest }) => digest))).toEqual(new Set([entry.digest, old]));
  r.reopen();
  expect((await list()).manifests).toHaveLength(2);
  await r.ask('DELETE', `/v2/a/manifests/${entry.digest}`);
  expect((await list()).manifests).toHaveLength(1);
  expect(await (await r.ask('GET', `/v2/none/referrers/${subject}`)).json()).toMatchObject({ manifests: [] });
});

test('tags, manifests and blobs are deleted, unless that is turned off', async () => {
  using r = new TestRegistry();
  const digest = await r.pushImage('a', 'one', 'layer');
  await r.pushImage('a', 'two', 'layer');
  expect((await r.ask('DELETE', '/v2/a/manifests/one')).status).toBe(202);
  expect(await r.failure('GET', '/v2/a/manifests/one')).toBe('404 MANIFEST_UNKNOWN');
  expect((await r.ask('GET', '/v2/a/manifests/two')).status).toBe(200);
  expect((await r.ask('DELETE', `/v2/a/manifests/${digest}`)).status).toBe(202);
  expect(await (await r.ask('GET', '/v2/a/tags/list')).json()).toEqual({ name: 'a', tags: [] });
  const blob = await r.push('a', 'layer');
  expect((await r.ask('DELETE', `/v2/a/blobs/${blob}`)).status).toBe(202);
  expect(await r.failure('GET', `/v2/a/blobs/${blob}`)).toBe('404 BLOB_UNKNOWN');
  using kept = new TestRegistry({ allowDelete: false });
  await kept.pushImage('a', 'one', 'layer');
  expect(await kept.failure('DELETE', '/v2/a/manifests/one')).toBe('405 UNSUPPORTED');
  using frozen = new TestRegistry({ readOnly: true });
  expect(await frozen.failure('POST', '/v2/a/blobs/uploads/')).toBe('405 UNSUPPORTED');
  expect((await frozen.ask('GET', '/v2/')).status).toBe(200);
});
