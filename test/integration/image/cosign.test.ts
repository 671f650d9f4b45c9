/** The real cosign signs, the image policy lets in what it signed: an index, or the manifest of this platform alone. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxImage } from '../../support/base-images.ts';
import { must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { nextDebian } from '../../support/next-debian.ts';
import { TestRegistry } from '../../support/registry.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const PASSWORD = { COSIGN_PASSWORD: 'of this test' };
let d: TestDaemon;
let registry: TestRegistry;
let cosign = '';

beforeAll(async () => {
  cosign = path.join(await nextDebian('cosign'), 'usr/bin/cosign');
  registry = await TestRegistry.start();
  d = await TestDaemon.start({ image: false, noBridge: true });
  for (const name of ['mine', 'other']) {
    const prefix = path.join(d.directory, name);
    await must(cosign, ['generate-key-pair', '--output-key-prefix', prefix], { env: PASSWORD });
  }
}, 400_000);
afterAll(async () => {
  await d?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
}, 60_000);

const newer = process.env['BERTH_TEST_DEBIAN'] === 'sid';

function sign(key: string, image: string): Promise<string> {
  // cosign 3 signs by default as its services are configured; here there are none.
  const offline = newer ? ['--use-signing-config=false', '--tlog-upload=false'] : ['--tlog-upload=false'];
  const keyFile = path.join(d.directory, `${key}.key`);
  return must(cosign, ['sign', '--yes', '--key', keyFile, ...offline, '--allow-insecure-registry', image], {
    env: PASSWORD,
  });
}

/** An index of one platform in a repository of its own, tagged 1. */
async function publish(repository: string): Promise<{ index: string; manifest: string }> {
  const { path: archive } = await busyboxImage();
  const to = `docker://${registry.host}/${repository}:image`;
  const oci = ['--format', 'oci', '--dest-tls-verify=false'];
  await must('skopeo', ['copy', '-q', '--insecure-policy', ...oci, `docker-archive:${archive}`, to]);
  const base = `http://${registry.host}/v2/${repository}/manifests`;
  const accept = { headers: { accept: 'application/vnd.oci.image.manifest.v1+json' } };
  const bytes = Buffer.from(await (await fetch(`${base}/image`, accept)).arrayBuffer());
  const digestOf = (content: Uint8Array): string =>
    `sha256:${new Bun.CryptoHasher('sha256').update(content).digest('hex')}`;
  const entry = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(bytes),
    size: bytes.length,
    platform: { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' },
  };
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [entry] }));
  const put = await fetch(`${base}/1`, { method: 'PUT', headers: { 'content-type': INDEX }, body: index });
  expect(put.status).toBe(201);
  return { index: digestOf(index), manifest: entry.digest };
}

async function require(keyFile: string, identity: string): Promise<void> {
  const keyPath = path.join(d.directory, `${keyFile}.pub`);
  const required = { type: 'sigstoreSigned', keyPath, signedIdentity: { type: identity } };
  const policy = path.join(d.directory, 'policy.json');
  const document = { default: [{ type: 'reject' }], transports: { docker: { [registry.host]: [required] } } };
  fs.writeFileSync(policy, JSON.stringify(document));
  fs.writeFileSync(path.join(d.directory, 'daemon.json'), JSON.stringify({ images: { policy } }));
  await d.restart('SIGTERM');
}

test('what the key of the policy has signed comes in, and nothing else', async () => {
  const identity = newer ? 'matchDigest' : 'matchRepository';
  const whole = await publish('team/index');
  const platform = await publish('team/platform');
  await publish('team/unsigned');
  const foreign = await publish('team/foreign');
  await sign('mine', `${registry.host}/team/index@${whole.index}`);
  await sign('mine', `${registry.host}/team/platform@${platform.manifest}`);
  await sign('other', `${registry.host}/team/foreign@${foreign.index}`);

  await require('mine', identity);
  for (const repository of ['team/index', 'team/platform']) {
    const name = `${registry.host}/${repository}:1`;
    await d.must(['pull', '-q', name]);
    expect(await d.must(['run', '--rm', '--network', 'none', name, 'echo', 'in'])).toBe('in');
  }
  const refusal = async (repository: string): Promise<string> => {
    const { code, stderr } = await d.docker(['pull', '-q', `${registry.host}/${repository}:1`]);
    expect(code).toBe(1);
    return stderr;
  };
  expect(await refusal('team/unsigned')).toContain('a signature was required, but no signature exists');
  expect(await refusal('team/foreign')).toContain('no signature is of a key that is trusted');

  await require('other', identity);
  await d.must(['pull', '-q', `${registry.host}/team/foreign:1`]);
  expect(await refusal('team/index')).toContain('no signature is of a key that is trusted');
  // What was refused has left nothing.
  const leases = fs.readdirSync(path.join(d.dataRoot, 'content/leases'));
  expect(leases).toEqual([]);
}, 120_000);
