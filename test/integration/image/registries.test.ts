/** What the configuration says of registries: signatures that are required, digests, short names, places, blocks; what is outdated. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { generateKeyPairSync, sign } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../../support/base-images.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';

const layer = tar(busyboxEntries(['sh', 'sleep', 'echo']));
let d: TestDaemon;
let registry: TestRegistry;
beforeAll(async () => {
  registry = await TestRegistry.start();
  d = await TestDaemon.start();
}, 60_000);
afterAll(async () => {
  await d[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
}, 60_000);

const sha256 = (bytes: Uint8Array): string => `sha256:${new Bun.CryptoHasher('sha256').update(bytes).digest('hex')}`;
const remote = (name: string): string => `${registry.host}/${name}`;

/** Pushes a version of a name, and takes it away here; the digest in the registry. */
async function publish(name: string, version: string): Promise<string> {
  const reference = remote(name);
  const config = { Cmd: ['sleep', '1000'], StopSignal: 'SIGKILL', Env: ['PATH=/bin', `VERSION=${version}`] };
  const archive = writeArchive(`registries-${process.pid}.tar`, { reference, layers: [layer], config });
  const held = await d.docker(['image', 'inspect', '-f', '{{.Id}}', reference]);
  await d.must(['load', '-q', '-i', archive.path]);
  fs.rmSync(archive.path);
  await d.must(['push', '-q', reference]);
  const colon = name.lastIndexOf(':');
  const [repository, tag] = [name.slice(0, colon), name.slice(colon + 1)];
  const head = await fetch(`http://${registry.host}/v2/${repository}/manifests/${tag}`, {
    method: 'HEAD',
    headers: {
      accept: 'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json',
    },
  });
  if (held.code === 0) await d.must(['tag', held.stdout.trim(), reference]);
  else await d.must(['rmi', '-f', reference]);
  return head.headers.get('docker-content-digest') ?? '';
}

async function upload(repository: string, bytes: Buffer): Promise<void> {
  const begun = await fetch(`http://${registry.host}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const location = begun.headers.get('location') ?? '';
  const done = await fetch(`${location}&digest=${sha256(bytes)}`, { method: 'PUT', body: bytes });
  expect(done.status).toBe(201);
}

/** As `cosign sign` does it. */
async function signImage(repository: string, digest: string, key: Parameters<typeof sign>[2]): Promise<void> {
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': remote(repository) },
        image: { 'docker-manifest-digest': digest },
        type: 'cosign container image signature',
      },
      optional: null,
    }),
  );
  const config = Buffer.from('{}');
  for (const blob of [payload, config]) await upload(repository, blob);
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
    layers: [
      {
        mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
        digest: sha256(payload),
        size: payload.length,
        annotations: { 'dev.cosignproject.cosign/signature': sign('sha256', payload, key).toString('base64') },
      },
    ],
  };
  const put = await fetch(`http://${registry.host}/v2/${repository}/manifests/${digest.replace(':', '-')}.sig`, {
    method: 'PUT',
    headers: { 'content-type': manifest.mediaType },
    body: JSON.stringify(manifest),
  });
  expect(put.status).toBe(201);
}

async function configure(images: Record<string, unknown>): Promise<void> {
  fs.writeFileSync(path.join(d.directory, 'daemon.json'), JSON.stringify({ images }));
  await d.restart('SIGTERM');
}

const refused = async (...args: string[]): Promise<string> => {
  const result = await d.docker(args);
  expect(result.code).not.toBe(0);
  return result.stderr;
};

test('what is not signed with the key of the policy is not pulled, and nothing of it is here', async () => {
  const mine = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const digest = await publish('signed/app:1', 'signed');
  const keyPath = path.join(d.directory, 'cosign.pub');
  fs.writeFileSync(keyPath, mine.publicKey.export({ type: 'spki', format: 'pem' }));
  const policy = path.join(d.directory, 'policy.json');
  const required = { type: 'sigstoreSigned', keyPath, signedIdentity: { type: 'matchRepository' } };
  const docker = { [remote('signed')]: [required], [remote('never')]: [{ type: 'reject' }] };
  fs.writeFileSync(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }], transports: { docker } }));
  await publish('never/app:1', 'never');
  await publish('free/app:1', 'free');
  await configure({ policy });
  const before = await d.must(['images', '-aq']);
  const unsigned = await refused('pull', remote('signed/app:1'));
  expect(unsigned).toContain(`image ${remote('signed/app:1')} is refused by the image policy`);
  expect(unsigned).toContain('no signature exists');
  await signImage('signed/app', digest, other.privateKey);
  expect(await refused('pull', remote('signed/app:1'))).toContain('no signature is of a key that is trusted');
  expect(await refused('pull', remote('never/app:1'))).toContain('images of this name are rejected');
  expect(await refused('run', '--rm', remote('never/app:1'))).toContain('images of this name are rejected');
  expect(await d.must(['images', '-aq'])).toBe(before);
  await d.must(['pull', '-q', remote('free/app:1')]);
  await signImage('signed/app', digest, mine.privateKey);
  await d.must(['pull', '-q', remote('signed/app:1')]);

  await configure({ 'require-digest': true });
  expect(await refused('pull', remote('free/app:1'))).toContain('a digest is required');
  await d.must(['pull', '-q', `${remote('signed/app')}@${digest}`]);
  await configure({});
}, 90_000);

test('short names, other places, mirrors and blocks', async () => {
  await publish('hub/library/tool:1', 'here');
  await publish('aliased/thing:latest', 'thing');
  const file = path.join(d.directory, 'registries.conf');
  fs.writeFileSync(
    file,
    `unqualified-search-registries = ["${registry.host}"]
[[registry]]
prefix = "elsewhere.example"
location = "${remote('hub')}"
[[registry]]
location = "mirrored.example"
[[registry.mirror]]
location = "${remote('aliased')}"
[[registry]]
prefix = "blocked.example"
blocked = true
[aliases]
"thing" = "${remote('aliased/thing')}"
`,
  );
  await configure({ 'registries-conf': file });
  await d.must(['pull', '-q', 'elsewhere.example/library/tool:1']);
  expect(await d.must(['image', 'inspect', '-f', '{{.RepoTags}}', 'elsewhere.example/library/tool:1'])).toBe(
    '[elsewhere.example/library/tool:1]',
  );
  await d.must(['pull', '-q', 'thing']);
  expect(await d.must(['images', '--format', '{{.Repository}}'])).toContain(remote('aliased/thing'));
  expect(await d.must(['run', '--rm', '--network', 'none', 'thing', 'sh', '-c', 'echo $VERSION'])).toBe('thing');
  await d.must(['pull', '-q', 'mirrored.example/thing']);
  await d.must(['pull', '-q', 'hub/library/tool:1']);
  expect(await d.must(['images', '--format', '{{.Repository}}:{{.Tag}}'])).toContain(remote('hub/library/tool:1'));
  expect(await refused('pull', 'blocked.example/x')).toContain('registries.conf blocks "blocked.example"');
  fs.writeFileSync(file, 'aliases = 3');
  expect(await refused('pull', remote('free/app:1'))).toContain(`Cannot read "${file}"`);
  await configure({});
}, 90_000);

test('what is outdated is told, and containers follow their registry; a bad version is taken back with its name', async () => {
  const name = remote('follow/app:1');
  await publish('follow/app:1', 'one');
  await d.must(['pull', '-q', name]);
  const berth = async (...args: string[]) => (await d.berth(args)).stdout.trimEnd();
  const outdated = () => berth('image', 'outdated', '-a', '--format', '{{.Name}} {{.Status}}', name);
  expect(await outdated()).toBe(`${name} current`);
  const label = 'io.containers.autoupdate=registry';
  await d.must(['run', '-d', '--name', 'follower', '--label', label, '--network', 'none', name]);
  await publish('follow/app:1', 'two');
  expect(await outdated()).toBe(`${name} outdated`);
  const format = ['--settle', '1', '--format', '{{.Container}} {{.Updated}}'];
  expect(await berth('auto-update', '--dry-run', ...format)).toBe('follower pending');
  expect(await d.must(['exec', 'follower', 'sh', '-c', 'echo $VERSION'])).toBe('one');
  expect(await berth('auto-update', ...format)).toBe('follower true');
  expect(await d.must(['exec', 'follower', 'sh', '-c', 'echo $VERSION'])).toBe('two');
  expect(await outdated()).toBe(`${name} current`);
  await d.must(['rm', '-f', 'follower']);
  await registry[Symbol.asyncDispose]();
  const gone = await d.berth(['image', 'outdated', '--format', '{{.Name}} {{.Status}}', name]);
  expect([gone.code, gone.stdout]).toEqual([1, `${name} unknown\n`]);
}, 90_000);

test('registries with passwords are asked with what the client knows: config.json, a helper, a file of podman', async () => {
  const user = { name: 'ann', password: 'secret' };
  await using closed = await TestRegistry.start({ user });
  const name = `${closed.host}/team/app:1`;
  const auth = Buffer.from(`${user.name}:${user.password}`).toString('base64');
  const config = fs.mkdtempSync(path.join(d.directory, 'config-'));
  const env = { DOCKER_CONFIG: config };
  const publishClosed = async (version: string): Promise<void> => {
    const options = { reference: name, layers: [layer], config: { Cmd: ['sleep', '1000'], Env: [`V=${version}`] } };
    const archive = writeArchive(`closed-${process.pid}.tar`, options);
    await d.must(['load', '-q', '-i', archive.path]);
    fs.rmSync(archive.path);
    await d.must(['push', '-q', name], { env: { DOCKER_CONFIG: path.join(d.directory, 'logged-in') } });
  };
  fs.mkdirSync(path.join(d.directory, 'logged-in'));
  const document = JSON.stringify({ auths: { [closed.host]: { auth } } });
  fs.writeFileSync(path.join(d.directory, 'logged-in/config.json'), document);
  await publishClosed('one');
  await d.must(['tag', name, 'kept.example/one:1']);
  await publishClosed('two');
  // What is here is the first again.
  await d.must(['tag', 'kept.example/one:1', name]);
  const label = 'io.containers.autoupdate=registry';
  await d.must(['run', '-d', '--name', 'closed', '--stop-signal', 'KILL', '--label', label, '--network', 'none', name]);
  const outdated = async (options: { env?: Record<string, string> }, ...flags: string[]): Promise<string> => {
    const format = '{{.Status}} {{.Error}}';
    const result = await d.berth(['image', 'outdated', '-a', ...flags, '--format', format, name], options);
    return result.stdout.trim();
  };
  expect(await outdated({ env })).toMatch(/^unknown .*(unauthorized|authentication|credentials)/);
  fs.writeFileSync(path.join(config, 'config.json'), document);
  expect(await outdated({ env })).toBe('outdated');
  // Only for a part of the registry, and of another part something that does not do.
  const authFile = path.join(d.directory, 'auth.json');
  const other = Buffer.from('ann:wrong').toString('base64');
  const parts = { [`${closed.host}/team`]: { auth }, [closed.host]: { auth: other } };
  fs.writeFileSync(authFile, JSON.stringify({ auths: parts }));
  fs.writeFileSync(path.join(config, 'config.json'), '{}');
  expect(await outdated({ env }, '--authfile', authFile)).toBe('outdated');
  expect(await outdated({ env: { ...env, REGISTRY_AUTH_FILE: authFile } })).toBe('outdated');
  // A helper that keeps all of them.
  const helper = path.join(config, 'docker-credential-test');
  const answers = {
    list: JSON.stringify({ [closed.host]: user.name }),
    get: JSON.stringify({ ServerURL: closed.host, Username: user.name, Secret: user.password }),
  };
  fs.writeFileSync(
    helper,
    `#!/bin/sh\ncat > /dev/null\ncase $1 in list) echo '${answers.list}';; get) echo '${answers.get}';; esac\n`,
  );
  fs.chmodSync(helper, 0o755);
  fs.writeFileSync(path.join(config, 'config.json'), '{"credsStore":"test"}');
  const withHelper = { env: { ...env, PATH: `${config}:${process.env['PATH'] ?? ''}` } };
  expect(await outdated(withHelper)).toBe('outdated');

  const format = ['--settle', '1', '--format', '{{.Container}} {{.Updated}}'];
  const updated = await d.berth(['auto-update', '--authfile', authFile, ...format], { env });
  expect(updated.stdout.trim()).toBe('closed true');
  expect(await d.must(['inspect', '-f', '{{.Config.Env}}', 'closed'])).toContain('V=two');
  await d.must(['rm', '-f', 'closed']);
}, 90_000);
