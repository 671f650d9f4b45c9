/**
 * The registry with the clients that people have: Debian's dockerd with the stock docker CLI, skopeo and buildah push and
 * pull through it, and digests stay what they were.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { busyboxImage } from '../../support/base-images.ts';
import { must, run } from '../../support/command.ts';
import { ensurePackage } from '../../support/debian-package.ts';
import { Dockerd } from '../../support/dockerd.ts';
import { RegistryProcess } from '../../support/registry-server.ts';

let dockerd: Dockerd;
let directory = '';
beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'registry-clients-'));
  dockerd = await Dockerd.start();
  const loaded = await dockerd.docker(['load', '-q', '-i', (await busyboxImage()).path]);
  expect(loaded.code).toBe(0);
}, 400_000);
afterAll(async () => {
  await dockerd[Symbol.asyncDispose]();
  fs.rmSync(directory, { recursive: true, force: true });
}, 60_000);

const docker = async (args: readonly string[], input?: string): Promise<string> => {
  const { code, stdout, stderr } = await dockerd.docker(args, {
    limitMs: 120_000,
    ...(input === undefined ? {} : { input }),
  });
  if (code !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
};

test('docker pushes, another repository mounts, and what is pulled is what was pushed', async () => {
  await using registry = await RegistryProcess.start(['--log-level', 'debug']);
  const image = `${registry.host}/team/app:1`;
  const id = await docker(['image', 'inspect', '-f', '{{.Id}}', 'berth.test/busybox:1']);
  await docker(['tag', 'berth.test/busybox:1', image]);
  const pushed = /digest: (sha256:[0-9a-f]{64})/.exec(await docker(['push', image]))?.[1] ?? '';
  const mounted = `${registry.host}/other/app:2`;
  await docker(['tag', image, mounted]);
  expect(await docker(['push', mounted])).toContain('Mounted from team/app');
  await docker(['rmi', image, mounted]);
  expect(await docker(['pull', image])).toContain(`Digest: ${pushed}`);
  await docker(['pull', `${registry.host}/other/app@${pushed}`]);
  expect(await docker(['image', 'inspect', '-f', '{{.Id}}', image])).toBe(id);
  await docker(['rmi', '-f', image, `${registry.host}/other/app@${pushed}`]);
  expect(await (await registry.fetch('/v2/_catalog')).json()).toEqual({ repositories: ['other/app', 'team/app'] });
  const missing = await dockerd.docker(['pull', `${registry.host}/team/app:none`]);
  expect(missing.stderr).toContain(`manifest for ${registry.host}/team/app:none not found: manifest unknown`);
  expect(await registry.ended('SIGTERM')).toBe('0');
}, 120_000);

test('skopeo copies in both formats, lists, inspects and deletes', async () => {
  await using registry = await RegistryProcess.start();
  const archive = `docker-archive:${(await busyboxImage()).path}`;
  const skopeo = (...args: string[]): Promise<string> => must('skopeo', args, { limitMs: 120_000 });
  const at = (name: string): string => `docker://${registry.host}/${name}`;
  const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  await skopeo('copy', '-q', '--format', 'oci', '--dest-tls-verify=false', archive, at('sk/oci:1'));
  await skopeo('copy', '-q', '--format', 'v2s2', '--dest-tls-verify=false', archive, at('sk/docker:1'));
  await skopeo('copy', '-q', '--preserve-digests', ...insecure, at('sk/oci:1'), at('sk/again:2'));
  const digestOf = async (name: string): Promise<string> =>
    skopeo('inspect', '--tls-verify=false', '--format', '{{.Digest}}', at(name));
  expect(await digestOf('sk/again:2')).toBe(await digestOf('sk/oci:1'));
  const layout = path.join(directory, 'layout');
  await skopeo('copy', '-q', '--preserve-digests', '--src-tls-verify=false', at('sk/oci:1'), `oci:${layout}:1`);
  const index: unknown = JSON.parse(fs.readFileSync(path.join(layout, 'index.json'), 'utf8'));
  expect(JSON.stringify(index)).toContain(await digestOf('sk/oci:1'));
  expect(await skopeo('list-tags', '--tls-verify=false', at('sk/docker'))).toContain('"1"');
  await skopeo('delete', '--tls-verify=false', at('sk/docker:1'));
  expect((await registry.fetch('/v2/sk/docker/manifests/1')).status).toBe(404);
}, 120_000);

test('buildah pushes what it has built, and docker runs off with it', async () => {
  await ensurePackage('/usr/bin/buildah', 'buildah');
  await using registry = await RegistryProcess.start();
  const own = ['--root', path.join(directory, 'b'), '--runroot', path.join(directory, 'br'), '--storage-driver', 'vfs'];
  const buildah = (...args: string[]): Promise<string> =>
    must('buildah', [...own, ...args], { limitMs: 120_000, env: { BUILDAH_ISOLATION: 'chroot' } });
  const container = (await buildah('from', 'scratch')).trim();
  fs.writeFileSync(path.join(directory, 'file'), 'from buildah');
  await buildah('copy', '-q', container, path.join(directory, 'file'), '/file');
  await buildah('commit', '-q', container, 'made');
  await buildah('push', '-q', '--tls-verify=false', 'made', `docker://${registry.host}/bu/made:1`);
  await buildah('rm', container);
  await buildah('rmi', 'made');
  const id = (await buildah('pull', '-q', '--tls-verify=false', `docker://${registry.host}/bu/made:1`)).trim();
  await docker(['pull', '-q', `${registry.host}/bu/made:1`]);
  expect(await docker(['image', 'inspect', '-f', '{{.Id}}', `${registry.host}/bu/made:1`])).toBe(`sha256:${id}`);
  await docker(['rmi', `${registry.host}/bu/made:1`]);
}, 120_000);

test('docker login: users of an htpasswd file, reading for everybody when that is wished', async () => {
  await using registry = await RegistryProcess.start(async (at) => {
    const hash = await Bun.password.hash('open sesame', { algorithm: 'bcrypt', cost: 5 });
    fs.writeFileSync(path.join(at, 'users'), `# team\nann:${hash.replace('$2b$', '$2y$')}\n`);
    return ['--htpasswd', path.join(at, 'users'), '--anonymous-pull'];
  });
  const image = `${registry.host}/private:1`;
  await docker(['tag', 'berth.test/busybox:1', image]);
  const refused = await dockerd.docker(['push', image]);
  expect(refused.stderr).toContain('denied: requested access to the resource is denied');
  const wrong = await dockerd.docker(['login', '-u', 'ann', '--password-stdin', registry.host], { input: 'guess' });
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain('unauthorized: authentication required: wrong user or password');
  expect(await docker(['login', '-u', 'ann', '--password-stdin', registry.host], 'open sesame')).toContain(
    'Login Succeeded',
  );
  await docker(['push', '-q', image]);
  await docker(['logout', registry.host]);
  await docker(['rmi', image]);
  await docker(['pull', '-q', image]);
  await docker(['rmi', image]);
  const ofAnn = { headers: { authorization: `Basic ${btoa('ann:open sesame')}` } };
  expect((await registry.fetch('/v2/_catalog')).status).toBe(401);
  expect(await (await registry.fetch('/v2/_catalog', ofAnn)).json()).toEqual({ repositories: ['private'] });
}, 120_000);

test('TLS, with and without certificates of clients', async () => {
  const keys = path.join(directory, 'tls');
  fs.mkdirSync(keys);
  const openssl = (...args: string[]): Promise<string> => must('openssl', args, { cwd: keys });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  await openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=test ca');
  for (const name of ['server', 'client']) {
    await openssl('req', ...ec, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    fs.writeFileSync(path.join(keys, 'ext'), 'subjectAltName=IP:127.0.0.1');
    const by = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'ext'];
    await openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...by);
  }
  const at = (file: string): string => path.join(keys, file);
  const tls = ['--tls-cert', at('server.crt'), '--tls-key', at('server.key'), '--tls-client-ca', at('ca.crt')];
  await using registry = await RegistryProcess.start(tls);
  expect(registry.url).toStartWith('https://');
  const certificates = path.join(directory, 'client-certs');
  fs.mkdirSync(certificates);
  fs.copyFileSync(at('ca.crt'), path.join(certificates, 'ca.crt'));
  const archive = `docker-archive:${(await busyboxImage()).path}`;
  const copy = ['copy', '-q', '--dest-cert-dir', certificates, archive, `docker://${registry.host}/tls:1`];
  expect((await run('skopeo', copy)).code).not.toBe(0);
  fs.copyFileSync(at('client.crt'), path.join(certificates, 'client.cert'));
  fs.copyFileSync(at('client.key'), path.join(certificates, 'client.key'));
  await must('skopeo', copy);
}, 120_000);
