/** The registry server killed at every failpoint, and on a disk that is full: what it has said stays true. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { digestOf } from '#content/content-store.ts';
import { failpointNames } from '#pkg/failpoint/failpoint.ts';
import { must, run } from '../support/command.ts';
import { RegistryProcess } from '../support/registry-server.ts';

const CONTENT = Buffer.alloc(3_000_000, 'layer');

const manifestOf = (config: string, layer: string): string =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: 2 },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer, size: CONTENT.length }],
  });

/** As a client that begins anew after a broken connection. */
async function pushImage(registry: RegistryProcess, tag: string): Promise<void> {
  const config = await registry.push('app', Buffer.from('{}'));
  const layer = await registry.push('app', CONTENT);
  const put = await registry.fetch(`/v2/app/manifests/${tag}`, { method: 'PUT', body: manifestOf(config, layer) });
  if (put.status !== 201) throw new Error(`the manifest was answered with ${put.status}`);
}

async function pullImage(registry: RegistryProcess, tag: string): Promise<void> {
  const manifest = await (await registry.fetch(`/v2/app/manifests/${tag}`)).text();
  const [config = '', layer = ''] = [...manifest.matchAll(/sha256:[0-9a-f]{64}/g)].map(([digest]) => digest);
  expect(await (await registry.fetch(`/v2/app/blobs/${config}`)).text()).toBe('{}');
  const bytes = Buffer.from(await (await registry.fetch(`/v2/app/blobs/${layer}`)).arrayBuffer());
  expect(bytes.equals(CONTENT)).toBe(true);
}

for (const name of failpointNames.filter((point) => point.startsWith('registry.'))) {
  test(`kill -9 at ${name}`, async () => {
    await using registry = await RegistryProcess.start();
    const other = await registry.push('before', Buffer.from('before'));
    await registry.ended('SIGTERM');
    await registry.launch({ BERTH_FAILPOINTS: `${name}=kill` });
    await pushImage(registry, 'v1').catch(() => undefined);
    expect(await registry.ended()).toBe('SIGKILL'); // a failpoint that no code passes fails here
    await registry.launch();
    // Either all of the image is there or its tag is not.
    const tag = await registry.fetch('/v2/app/manifests/v1');
    expect([200, 404]).toContain(tag.status);
    if (tag.status === 200) await pullImage(registry, 'v1');
    for (const file of fs.readdirSync(path.join(registry.root, 'blobs/sha256'))) {
      const bytes = fs.readFileSync(path.join(registry.root, 'blobs/sha256', file));
      expect(digestOf(bytes)).toBe(`sha256:${file}`);
    }
    expect(await (await registry.fetch(`/v2/before/blobs/${other}`)).text()).toBe('before');
    await pushImage(registry, 'v1');
    await pullImage(registry, 'v1');
  }, 60_000);
}

test('an upload goes on after kill -9 from what had arrived', async () => {
  await using registry = await RegistryProcess.start();
  const begun = await registry.fetch('/v2/app/blobs/uploads/', { method: 'POST' });
  const location = begun.headers.get('location') ?? '';
  const half = CONTENT.length / 2;
  const first = await registry.fetch(location, { method: 'PATCH', body: CONTENT.subarray(0, half) });
  expect(first.status).toBe(202);
  await registry.ended('SIGKILL');
  await registry.launch();
  const asked = await registry.fetch(location);
  expect([asked.status, asked.headers.get('range')]).toEqual([204, `0-${half - 1}`]);
  const range = { 'content-range': `${half}-${CONTENT.length - 1}` };
  await registry.fetch(location, { method: 'PATCH', body: CONTENT.subarray(half), headers: range });
  const digest = digestOf(CONTENT);
  expect((await registry.fetch(`${location}?digest=${digest}`, { method: 'PUT' })).status).toBe(201);
  const got = Buffer.from(await (await registry.fetch(`/v2/app/blobs/${digest}`)).arrayBuffer());
  expect(got.equals(CONTENT)).toBe(true);
}, 60_000);

test('on a full disk a push is refused with the reason, pulls go on, and room makes it work again', async () => {
  const mount = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-full-'));
  await must('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mount]);
  try {
    await using registry = await RegistryProcess.start([], { root: path.join(mount, 'root') });
    await pushImage(registry, 'v1');
    const large = Buffer.alloc(7 << 20, 1);
    const target = `/v2/app/blobs/uploads/?digest=${digestOf(large)}`;
    const refused = await registry.fetch(target, { method: 'POST', body: large });
    expect(refused.status).toBe(507);
    expect(await refused.text()).toContain('no space left on device');
    expect(fs.readdirSync(path.join(registry.root, 'uploads'))).toEqual([]);
    await pullImage(registry, 'v1');
    // Until nothing at all fits, also no record.
    const filler = path.join(mount, 'filler');
    await run('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k']);
    const small = await registry.fetch('/v2/app/blobs/uploads/', { method: 'POST', body: '' });
    if (small.status === 202) {
      const put = await registry.fetch(
        `${small.headers.get('location') ?? ''}?digest=${digestOf(Buffer.alloc(9000))}`,
        {
          method: 'PUT',
          body: Buffer.alloc(9000),
        },
      );
      expect(put.status).toBe(507);
    } else expect(small.status).toBe(507);
    await pullImage(registry, 'v1');
    fs.rmSync(filler);
    await registry.push('app', Buffer.alloc(100_000, 2));
  } finally {
    await must('umount', ['-l', mount]);
    fs.rmdirSync(mount);
  }
}, 60_000);
