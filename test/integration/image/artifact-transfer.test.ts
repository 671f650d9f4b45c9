/** OCI artifacts through our own registry and Debian's: push, pull, and what is refused. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { must } from '../../support/command.ts';
import { busyboxImage } from '../../support/base-images.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { RegistryProcess } from '../../support/registry-server.ts';

let d: TestDaemon;
let registry: RegistryProcess;
let directory = '';
beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'artifacts-'));
  fs.writeFileSync(path.join(directory, 'weights.bin'), Buffer.alloc(3_000_000, 'weights'));
  fs.writeFileSync(path.join(directory, 'notes.txt'), 'notes');
  registry = await RegistryProcess.start();
  d = await TestDaemon.start({ noBridge: true, image: false });
}, 60_000);
afterAll(async () => {
  await d?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  fs.rmSync(directory, { recursive: true, force: true });
}, 60_000);

async function berth(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await d.berth(args);
  if (code !== 0) throw new Error(`berth ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

async function failure(...args: string[]): Promise<string> {
  const { code, stderr } = await d.berth(args);
  expect(code).toBe(1);
  return stderr;
}

test('push and pull: the digest stays, files too, what is there is not sent again', async () => {
  const name = `${registry.host}/models/small:1`;
  const files = ['weights.bin', 'notes.txt'].map((file) => path.join(directory, file));
  const digest = await berth('artifact', 'add', '--type', 'application/vnd.test.model', name, ...files);
  expect(await berth('artifact', 'push', name)).toContain(`1: digest: ${digest}`);
  expect(await berth('artifact', 'push', name)).toContain('Already exists');
  const inspected = await registry.fetch('/v2/models/small/manifests/1');
  expect(inspected.headers.get('docker-content-digest')).toBe(digest);
  await berth('artifact', 'rm', name);
  const pinned = `${registry.host}/models/small@${digest}`;
  await berth('artifact', 'pull', pinned);
  expect(await berth('artifact', 'ls', '-q')).toBe(pinned);
  await berth('artifact', 'rm', pinned);
  expect(await berth('artifact', 'pull', name)).toContain(`Digest: ${digest}`);
  expect(await berth('artifact', 'pull', '-q', name)).toBe(digest);
  const out = path.join(directory, 'out');
  fs.mkdirSync(out);
  await berth('artifact', 'extract', name, out);
  for (const file of files) {
    expect(fs.readFileSync(path.join(out, path.basename(file))).equals(fs.readFileSync(file))).toBe(true);
  }
}, 60_000);

test('the rules for images hold: blocked names, policies, mirrors', async () => {
  const name = `${registry.host}/models/small:1`;
  const file = (text: string): string => {
    const at = path.join(directory, 'rules');
    fs.writeFileSync(at, text);
    return at;
  };
  const configure = async (images: Record<string, unknown>): Promise<void> => {
    fs.writeFileSync(path.join(d.directory, 'daemon.json'), JSON.stringify({ images }));
    await d.restart('SIGTERM');
  };
  const rules = `[[registry]]\nprefix = "${registry.host}"\nblocked = true\n[[registry]]\nlocation = "mirrored.test"\n`;
  await configure({ 'registries-conf': file(rules) });
  for (const verb of ['pull', 'push']) {
    expect(await failure('artifact', verb, name)).toContain(`registries.conf blocks "${registry.host}"`);
  }
  const mirror = `[[registry]]\nlocation = "mirrored.test"\n[[registry.mirror]]\nlocation = "${registry.host}"\n`;
  await configure({ 'registries-conf': file(mirror) });
  await berth('artifact', 'pull', 'mirrored.test/models/small:1');
  expect(await berth('artifact', 'ls', '-q')).toContain('mirrored.test/models/small:1');
  await configure({ policy: file(JSON.stringify({ default: [{ type: 'reject' }] })) });
  expect(await failure('artifact', 'pull', name)).toContain('refused by the image policy');
  await configure({});
}, 90_000);

test('the log-in of the client is used', async () => {
  await using guarded = await RegistryProcess.start(async (at) => {
    const hash = await Bun.password.hash('pw', { algorithm: 'bcrypt', cost: 4 });
    fs.writeFileSync(path.join(at, 'users'), `ann:${hash}\n`);
    return ['--htpasswd', path.join(at, 'users')];
  });
  const name = `${guarded.host}/secret:1`;
  await berth('artifact', 'add', name, path.join(directory, 'notes.txt'));
  expect(await failure('artifact', 'push', name)).toContain('no basic auth credentials');
  const env = { DOCKER_CONFIG: path.join(directory, 'client') };
  fs.mkdirSync(env.DOCKER_CONFIG);
  const auths = { [guarded.host]: { auth: btoa('ann:pw') } };
  fs.writeFileSync(path.join(env.DOCKER_CONFIG, 'config.json'), JSON.stringify({ auths }));
  for (const verb of ['push', 'pull']) {
    const { code, stderr } = await d.berth(['artifact', verb, name], { env });
    expect(`${code} ${stderr}`).toBe('0 ');
  }
}, 60_000);

test('images, what is not there, and a registry that lies are refused', async () => {
  const archive = `docker-archive:${(await busyboxImage()).path}`;
  await must('skopeo', ['copy', '-q', '--dest-tls-verify=false', archive, `docker://${registry.host}/image:1`]);
  expect(await failure('artifact', 'pull', `${registry.host}/image:1`)).toContain('as an artifact: it is an image');
  expect(await failure('artifact', 'pull', `${registry.host}/none:1`)).toContain('not found');
  expect(await failure('artifact', 'push', `${registry.host}/none:1`)).toContain('No such artifact');
  const content = Buffer.from('said');
  const layer = await registry.push('lied', content);
  const config = await registry.push('lied', Buffer.from('{}'));
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType: 'application/vnd.test',
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: config, size: 2 },
    layers: [{ mediaType: 'text/plain', digest: layer, size: content.length }],
  });
  expect((await registry.fetch('/v2/lied/manifests/1', { method: 'PUT', body: manifest })).status).toBe(201);
  const blob = path.join(registry.root, 'blobs/sha256', layer.slice('sha256:'.length));
  for (const lie of ['sai', 'said more', 'lied']) {
    fs.writeFileSync(blob, lie);
    expect(await failure('artifact', 'pull', `${registry.host}/lied:1`)).toContain(layer);
    expect(await berth('artifact', 'ls', '-q')).not.toContain('lied');
  }
  fs.writeFileSync(blob, 'said');
  await berth('artifact', 'pull', `${registry.host}/lied:1`);
}, 60_000);
