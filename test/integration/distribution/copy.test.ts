/** Several platforms behind one name: pulled by platform, pushed, copied from registry to registry. Needs root. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as zlib from 'node:zlib';
import { tar } from '../../support/base-images.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';

let daemon: TestDaemon;
let from: TestRegistry;
let to: TestRegistry;

beforeAll(async () => {
  [from, to, daemon] = await Promise.all([
    TestRegistry.start(),
    TestRegistry.start(),
    TestDaemon.start({ noBridge: true, image: false }),
  ]);
}, 60_000);
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await from?.[Symbol.asyncDispose]();
  await to?.[Symbol.asyncDispose]();
}, 60_000);

const OCI = 'application/vnd.oci.image';
const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function put(host: string, repository: string, bytes: Uint8Array): Promise<string> {
  const digest = digestOf(bytes);
  const begun = await fetch(`http://${host}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const location = begun.headers.get('location') ?? '';
  const done = await fetch(`${location}${location.includes('?') ? '&' : '?'}digest=${digest}`, {
    method: 'PUT',
    body: new Blob([new Uint8Array(bytes)]),
  });
  expect(done.status).toBe(201);
  return digest;
}

async function putManifest(host: string, repository: string, name: string, type: string, document: unknown) {
  const bytes = Buffer.from(JSON.stringify(document));
  const answer = await fetch(`http://${host}/v2/${repository}/manifests/${name === '' ? digestOf(bytes) : name}`, {
    method: 'PUT',
    headers: { 'Content-Type': type },
    body: bytes.toString(),
  });
  expect(answer.status).toBe(201);
  return { mediaType: type, digest: digestOf(bytes), size: bytes.length };
}

/** One layer compressed by zstd, one by gzip, one not at all. */
async function image(host: string, repository: string, architecture: string) {
  const layers = ['zstd', 'gzip', ''].map((compression) => {
    const plain = tar([
      {
        name: `${architecture}-${compression}`,
        type: '0',
        mode: 0o644,
        content: Buffer.from(architecture.repeat(999)),
      },
    ]);
    const packed =
      compression === 'zstd' ? zlib.zstdCompressSync(plain) : compression === 'gzip' ? zlib.gzipSync(plain) : plain;
    return { plain, packed, mediaType: `${OCI}.layer.v1.tar${compression === '' ? '' : `+${compression}`}` };
  });
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: 'linux',
      config: { Env: [`ARCH=${architecture}`] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ plain }) => digestOf(plain)) },
    }),
  );
  await put(host, repository, config);
  for (const { packed } of layers) await put(host, repository, packed);
  const manifest = await putManifest(host, repository, '', `${OCI}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: { mediaType: `${OCI}.config.v1+json`, digest: digestOf(config), size: config.length },
    layers: layers.map(({ packed, mediaType }) => ({ mediaType, digest: digestOf(packed), size: packed.length })),
  });
  return { ...manifest, platform: { os: 'linux', architecture } };
}

async function indexOf(host: string, repository: string, tag: string) {
  const manifests = [await image(host, repository, 'amd64'), await image(host, repository, 'arm64')];
  const type = `${OCI}.index.v1+json`;
  return putManifest(host, repository, tag, type, { schemaVersion: 2, mediaType: type, manifests });
}

const ok = async (...args: string[]): Promise<string> => {
  const result = await daemon.docker(args);
  if (result.code !== 0) throw new Error(`docker ${args.join(' ')}: ${result.stderr}${result.stdout}`);
  return result.stdout;
};

test('of several platforms the one that is asked for comes, with layers of every compression', async () => {
  const { digest } = await indexOf(from.host, 'multi', '1');
  const name = `${from.host}/multi:1`;
  const architecture = async (): Promise<string> => (await ok('inspect', '-f', '{{.Architecture}}', name)).trim();
  expect(await ok('pull', name)).toContain(`Digest: ${digest}\n`);
  const own = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch;
  expect(await architecture()).toBe(own);
  for (const wanted of ['arm64', 'amd64']) {
    await ok('rmi', '-f', name);
    await ok('pull', '-q', '--platform', `linux/${wanted}`, name);
    expect(await architecture()).toBe(wanted);
    expect(await ok('inspect', '-f', '{{len .RootFS.Layers}}', name)).toBe('3\n');
  }
  const missing = await daemon.docker(['pull', '--platform', 'linux/s390x', name]);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain('no matching manifest for linux/s390x in the manifest list entries');
});

test('what was pulled is pushed elsewhere with the digest that it had', async () => {
  const wanted = await image(from.host, 'single', 'amd64');
  const name = `${to.host}/single:1`;
  await ok('pull', '-q', '--platform', 'linux/amd64', `${from.host}/single@${wanted.digest}`);
  await ok('tag', `${from.host}/single@${wanted.digest}`, name);
  expect(await ok('push', name)).toContain(`1: digest: ${wanted.digest} size: ${wanted.size}\n`);
});

test('an index is copied with all its platforms, or with one', async () => {
  const { digest } = await indexOf(from.host, 'copied', '1');
  const copy = async (query: string): Promise<string> =>
    (await fetch(`http://berth/berth/images/copy?${query}`, { method: 'POST', unix: daemon.socket })).text();
  const there = async (tag: string): Promise<{ digest: string; type: string }> => {
    const accept = [`${OCI}.index.v1+json`, `${OCI}.manifest.v1+json`].join(',');
    const answer = await fetch(`http://${to.host}/v2/there/manifests/${tag}`, { headers: { Accept: accept } });
    return {
      digest: digestOf(new Uint8Array(await answer.arrayBuffer())),
      type: answer.headers.get('content-type') ?? '',
    };
  };
  const whole = await copy(`from=${from.host}/copied:1&to=${to.host}/there:all`);
  expect(whole).toContain(`all: digest: ${digest} size: `);
  expect(await there('all')).toEqual({ digest, type: `${OCI}.index.v1+json` });
  const one = await copy(`from=${from.host}/copied:1&to=${to.host}/there:arm&platform=linux/arm64`);
  expect(one).toContain('Layer already exists');
  expect((await there('arm')).type).toBe(`${OCI}.manifest.v1+json`);
  expect(await copy(`from=${from.host}/none:1&to=${to.host}/there:x`)).toContain('not found');
  // Nothing of it was kept here.
  expect(await ok('images', '-q', '--filter', 'reference=*/there')).toBe('');
});
