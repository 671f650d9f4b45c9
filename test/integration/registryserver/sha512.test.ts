/** Images whose blobs and manifests have sha512 digests: put into our registry by hand, pulled, saved, loaded, cached. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import { busyboxEntries, tar } from '../../support/base-images.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { RegistryProcess } from '../../support/registry-server.ts';

const OCI = 'application/vnd.oci.image';
let registry: RegistryProcess;
let d: TestDaemon;
beforeAll(async () => {
  registry = await RegistryProcess.start();
  d = await TestDaemon.start({ noBridge: true, image: false });
}, 60_000);
afterAll(async () => {
  await d?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
}, 60_000);

const digestOf = (bytes: Uint8Array, algorithm = 'sha512'): string =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;

async function upload(bytes: Uint8Array<ArrayBuffer>, digest = digestOf(bytes)): Promise<number> {
  const begun = await fetch(`${registry.url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
  const place = new URL(begun.headers.get('location') ?? '', registry.url);
  place.searchParams.set('digest', digest);
  return (await fetch(place, { method: 'PUT', body: bytes })).status;
}

/** All but the tag is named by sha512; digest of the manifest, id of the image. */
async function publish(): Promise<{ digest: string; id: string; layer: Buffer<ArrayBuffer> }> {
  const layer = tar(busyboxEntries(['sh', 'echo']));
  const blob = Buffer.from(gzipSync(layer));
  const rootfs = { type: 'layers', diff_ids: [digestOf(layer, 'sha256')] };
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const config = Buffer.from(JSON.stringify({ architecture, os: 'linux', config: { Cmd: ['sh'] }, rootfs }));
  expect(await upload(blob)).toBe(201);
  expect(await upload(config)).toBe(201);
  const descriptor = (type: string, bytes: Buffer) => ({
    mediaType: `${OCI}.${type}`,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: `${OCI}.manifest.v1+json`,
      config: descriptor('config.v1+json', config),
      layers: [descriptor('layer.v1.tar+gzip', blob)],
    }),
  );
  const digest = digestOf(manifest);
  for (const reference of [digest, '1']) {
    const response = await fetch(`${registry.url}/v2/team/app/manifests/${reference}`, {
      method: 'PUT',
      headers: { 'Content-Type': `${OCI}.manifest.v1+json` },
      body: manifest,
    });
    expect(response.status).toBe(201);
    const kept = reference === '1' ? digestOf(manifest, 'sha256') : digest;
    expect(response.headers.get('docker-content-digest')).toBe(kept);
  }
  return { digest, id: digestOf(config, 'sha256'), layer: blob };
}

test('pushed, pulled by digest and by tag, run, saved and loaded', async () => {
  const { digest, id, layer } = await publish();
  expect(await upload(Buffer.from('something else'), digest)).toBe(400);
  const blob = await fetch(`${registry.url}/v2/team/app/blobs/${digestOf(layer)}`);
  expect(Buffer.from(await blob.arrayBuffer()).equals(layer)).toBe(true);

  const byDigest = `${registry.host}/team/app@${digest}`;
  expect(await d.must(['pull', byDigest])).toContain(`Digest: ${digest}`);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', byDigest])).toBe(id);
  expect(await d.must(['run', '--rm', '--network', 'none', byDigest, 'echo', 'works'])).toBe('works');
  await d.restart();
  const tagged = `${registry.host}/team/app:1`;
  await d.must(['pull', '-q', tagged]);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', tagged])).toBe(id);

  const file = path.join(d.directory, 'saved.tar');
  await d.must(['save', '-o', file, tagged]);
  await d.must(['tag', tagged, `${registry.host}/other/app:1`]);
  expect(await d.must(['push', `${registry.host}/other/app:1`])).toContain('digest: sha256:');
  await d.must(['image', 'prune', '-af']);
  expect(await d.must(['images', '-q'])).toBe('');
  await d.must(['load', '-q', '-i', file]);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', tagged])).toBe(id);
  fs.rmSync(file);
}, 120_000);

test('a cache keeps and checks them; a blob that is not what its digest says is refused', async () => {
  const { digest, id, layer } = await publish();
  await using cache = await RegistryProcess.start(['--proxy', registry.url]);
  const name = `${cache.host}/team/app@${digest}`;
  await d.must(['pull', '-q', name]);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', name])).toBe(id);
  const again = await fetch(`${cache.url}/v2/team/app/blobs/${digestOf(layer)}`);
  expect(digestOf(new Uint8Array(await again.arrayBuffer()))).toBe(digestOf(layer));
  const wrong = await d.docker(['pull', '-q', `${registry.host}/team/app@sha512:${'0'.repeat(128)}`]);
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain('manifest unknown');
}, 60_000);
