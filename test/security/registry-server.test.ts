/** The registry server against clients that mean it no good. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { digestOf } from '#content/content-store.ts';
import { RegistryProcess } from '../support/registry-server.ts';

let registry: RegistryProcess;
beforeAll(async () => {
  registry = await RegistryProcess.start(['--blob-size-max', '8m']);
}, 60_000);
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
}, 60_000);

/** Sends bytes as they are; resolves with what came back when the other side has closed, or after the first answer. */
function raw(text: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = net.connect(Number(registry.host.split(':')[1]), '127.0.0.1', () => socket.write(text));
  let got = '';
  socket.on('data', (bytes: Buffer) => {
    got += bytes.toString('latin1');
    if (got.includes('\r\n\r\n')) socket.end();
  });
  socket.on('close', () => resolve(got));
  socket.on('error', reject);
  return promise;
}

const get = (target: string): Promise<string> => raw(`GET ${target} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n`);

/** Every file below the root and beside it. */
const files = (): string[] =>
  fs
    .readdirSync(registry.directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.includes('registry.db'));

test('names and digests never become paths', async () => {
  const secret = path.join(registry.directory, 'secret');
  fs.writeFileSync(secret, 'secret');
  const hex = '0'.repeat(64);
  const before = files();
  const targets = [
    '/v2/../secret',
    '/v2/a/../../secret/manifests/x',
    '/v2/..%2f..%2fsecret/manifests/x',
    '/v2/%2e%2e/%2e%2e/manifests/x',
    '/v2/a/blobs/sha256:..%2f..%2f..%2fsecret',
    `/v2/a/blobs/../../secret:${hex}`,
    '/v2/a/manifests/..%2f..%2fregistry.db',
    '/v2/a/manifests/%00',
    '/v2/a%00b/manifests/x',
    '/v2/a/blobs/uploads/..%2f..%2f..%2fsecret',
    '/-/..%2f..%2fsecret',
    '/-/%3Cscript%3Ealert(1)%3C/script%3E',
    '//secret',
    '/v2/',
  ];
  for (const target of targets) {
    const answer = await get(target);
    expect(`${target} ${answer.slice(0, 12)}`).toMatch(target === '/v2/' ? / HTTP\/1.1 200/ : / HTTP\/1.1 40[04]/);
    expect(answer).not.toContain('secret\n');
    expect(answer).not.toMatch(/content-type: text\/html[^]*<script>/i);
  }
  for (const name of ['..', '../x', 'a//b', 'a/', '/a', 'A', 'a..b', 'a_-b', '%2e%2e', 'ä', 'a b']) {
    const answer = await registry.fetch(`/v2/${encodeURIComponent(name)}/blobs/uploads/`, { method: 'POST' });
    expect([400, 404]).toContain(answer.status);
  }
  expect(files()).toEqual(before);
});

test('what a manifest says about itself is text on the page, never markup', async () => {
  const evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>';
  const config = await registry.push('page', Buffer.from('{}'));
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType: evil,
    config: { mediaType: evil, digest: config, size: 2 },
    layers: [],
    annotations: { [evil]: evil },
  });
  const put = await registry.fetch('/v2/page/manifests/v1', { method: 'PUT', body: manifest });
  expect(put.status).toBe(201);
  for (const target of ['/', '/-/page']) {
    const answer = await registry.fetch(target);
    const html = await answer.text();
    expect(answer.headers.get('content-security-policy')).toStartWith("default-src 'none'; style-src 'sha256-");
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(html).not.toContain('<script');
    expect(html).not.toContain('<img');
    expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  }
  expect(await (await registry.fetch('/-/page')).text()).toContain('&#60;script&#62;');
  // A layer is a download, whatever is in it.
  const page = await registry.push('page', Buffer.from('<script>alert(1)</script>'));
  const blob = await registry.fetch(`/v2/page/blobs/${page}`);
  expect([blob.headers.get('content-type'), blob.headers.get('content-disposition')]).toEqual([
    'application/octet-stream',
    'attachment',
  ]);
});

test('an upload beyond the limit ends when it is reached, told or not, and leaves nothing', async () => {
  const body = Buffer.alloc(9 << 20);
  const digest = digestOf(body);
  const told = await registry.fetch(`/v2/big/blobs/uploads/?digest=${digest}`, { method: 'POST', body });
  expect(told.status).toBe(413);
  const begun = await registry.fetch('/v2/big/blobs/uploads/', { method: 'POST' });
  const location = begun.headers.get('location') ?? '';
  let left = 20;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (left-- > 0) controller.enqueue(new Uint8Array(1 << 20));
      else controller.close();
    },
  });
  const answer = await registry.fetch(location, { method: 'PATCH', body: endless }).catch(() => undefined);
  if (answer !== undefined) expect(answer.status).toBe(413);
  expect((await registry.fetch(location)).status).toBe(404);
  expect(fs.readdirSync(path.join(registry.root, 'uploads'))).toEqual([]);
  const wrong = await registry.fetch(`/v2/big/blobs/uploads/?digest=${digest}`, { method: 'POST', body: 'x' });
  expect(await wrong.text()).toContain('DIGEST_INVALID');
  expect(fs.readdirSync(path.join(registry.root, 'uploads'))).toEqual([]);
});

test('manifests that are too large, too deep or not what they say are refused', async () => {
  const put = async (body: string): Promise<number> =>
    (await registry.fetch('/v2/m/manifests/x', { method: 'PUT', body })).status;
  expect(await put(`{"schemaVersion":2,"x":"${'a'.repeat(5 << 20)}"}`)).toBe(413);
  expect(await put('['.repeat(1 << 20))).toBe(400);
  expect(await put(`{"schemaVersion":2,"layers":${'['.repeat(10_000)}${']'.repeat(10_000)}}`)).toBe(400);
  const descriptor = `{"digest":"sha256:${'0'.repeat(64)}","size":1}`;
  const many = `{"schemaVersion":2,"manifests":[${Array.from({ length: 20_001 }, () => descriptor).join(',')}]}`;
  expect(await put(many)).toBe(400);
  expect(await put('{"schemaVersion":2,"layers":[],"config":{"digest":"sha256:x","size":1}}')).toBe(400);
  expect(await put(`{"schemaVersion":2,"layers":[],"config":{"digest":"sha256:${'0'.repeat(64)}","size":-1}}`)).toBe(
    400,
  );
  expect(await put('{"__proto__":{"schemaVersion":2}}')).toBe(400);
  expect((await registry.fetch('/v2/')).status).toBe(200);
});

test('hundreds of clients that never finish their request do not keep others waiting', async () => {
  const sockets = await Promise.all(
    Array.from({ length: 300 }, async (_, i) => {
      const socket = net.connect(Number(registry.host.split(':')[1]), '127.0.0.1');
      socket.on('error', () => undefined);
      await new Promise((resolve) => socket.once('connect', resolve));
      // Half of them stop within the head, half within a body.
      if (i % 2 === 0) socket.write('GET /v2/ HTTP/1.1\r\nHost: r\r\nX-Slow: ');
      else socket.write('PUT /v2/slow/manifests/x HTTP/1.1\r\nHost: r\r\nContent-Length: 100\r\n\r\nhalf');
      return socket;
    }),
  );
  try {
    for (let i = 0; i < 20; i += 1) expect((await registry.fetch('/v2/')).status).toBe(200);
    await registry.push('slow', Buffer.from('still works'));
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

test('requests that are no HTTP, or two in one, do not confuse it', async () => {
  expect(await raw('\x16\x03\x01\x00\xa5\r\n\r\n')).toMatch(/^(?:HTTP\/1\.1 400|$)/);
  expect(await raw(`GET /v2/ HTTP/1.1\r\nHost: r\r\nX: ${'a'.repeat(1 << 20)}\r\n\r\n`)).toMatch(/^(?:HTTP\/1\.1 4|$)/);
  const both =
    'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: r\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
  expect(await raw(both)).toMatch(/^(?:HTTP\/1\.1 (?:400|202)|$)/);
  expect((await registry.fetch('/v2/')).status).toBe(200);
});
