/**
 * The clients that people have beside docker: skopeo, buildah and oras log in, push, pull, search and inspect through
 * Debian's docker-registry and through ours, both with a password, and this daemon takes what they have pushed.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxImage } from '../../support/base-images.ts';
import { must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { ensurePackage } from '../../support/debian-package.ts';
import { nextDebian } from '../../support/next-debian.ts';
import { RegistryProcess } from '../../support/registry-server.ts';
import { TestRegistry } from '../../support/registry.ts';

const LIMIT_MS = 120_000;
const user = { name: 'ann', password: 'open sesame' };
const cleanup = new AsyncDisposableStack();
let d: TestDaemon;
let oras = '';
let directory = '';

beforeAll(async () => {
  await ensurePackage('/usr/bin/buildah', 'buildah');
  oras = path.join(await nextDebian('oras'), 'usr/bin/oras');
  d = cleanup.use(await TestDaemon.start({ noBridge: true }));
  directory = d.directory;
}, 400_000);
afterAll(() => cleanup.disposeAsync(), 60_000);

const registries = {
  "Debian's docker-registry": () => TestRegistry.start({ user }),
  'berth registry serve': () =>
    RegistryProcess.start(async (at) => {
      const hash = await Bun.password.hash(user.password, { algorithm: 'bcrypt', cost: 5 });
      fs.writeFileSync(path.join(at, 'users'), `${user.name}:${hash}\n`);
      return ['--htpasswd', path.join(at, 'users')];
    }),
} as const;

const auth = (): string => path.join(directory, 'auth.json');
const logIn = (program: string, host: string, ...flags: string[]): Promise<string> =>
  must(program, ['login', ...flags, '-u', user.name, '--password-stdin', host], { input: user.password });

describe.each(Object.entries(registries))('by %s', (_, start) => {
  test(
    'skopeo',
    async () => {
      await using registry = await start();
      const { host } = registry;
      const skopeo = (...args: string[]): Promise<string> => must('skopeo', args, { limitMs: LIMIT_MS });
      const own = ['--authfile', auth()];
      const archive = `docker-archive:${(await busyboxImage()).path}`;
      const push = ['copy', '-q', '--insecure-policy', '--dest-tls-verify=false', ...own, archive];
      expect((await run('skopeo', [...push, `docker://${host}/sk/app:1`])).code).not.toBe(0);
      await logIn('skopeo', host, ...own, '--tls-verify=false');
      await skopeo(...push, `docker://${host}/sk/app:1`);
      expect(await skopeo('list-tags', ...own, '--tls-verify=false', `docker://${host}/sk/app`)).toContain('"1"');
      const digest = await skopeo(
        ...['inspect', ...own, '--tls-verify=false', '--format', '{{.Digest}}', `docker://${host}/sk/app:1`],
      );

      const name = `${host}/sk/app:1`;
      expect((await d.docker(['pull', '-q', name])).code).toBe(1);
      await d.must(['login', '-u', user.name, '--password-stdin', host], { input: user.password });
      await d.must(['pull', '-q', name]);
      expect(await d.must(['image', 'inspect', '-f', '{{json .RepoDigests}}', name])).toContain(digest);
      expect(await d.must(['search', '--format', '{{.Name}}', `${host}/sk`])).toContain(`${host}/sk/app`);
      expect(await d.must(['manifest', 'inspect', '--insecure', name])).toContain('"schemaVersion": 2');
      await d.must(['tag', name, `${host}/ours/app:1`]);
      await d.must(['push', '-q', `${host}/ours/app:1`]);
      const layout = path.join(directory, `layout-${host.replace(/.*:/, '')}`);
      const pull = ['copy', '-q', '--insecure-policy', '--src-tls-verify=false', ...own];
      await skopeo(...pull, '--preserve-digests', `docker://${host}/ours/app:1`, `dir:${layout}`);
      const bytes = fs.readFileSync(path.join(layout, 'manifest.json'));
      expect(`sha256:${new Bun.CryptoHasher('sha256').update(bytes).digest('hex')}`).toBe(digest);
      await d.must(['rmi', name, `${host}/ours/app:1`]);
    },
    LIMIT_MS,
  );

  test(
    'buildah',
    async () => {
      await using registry = await start();
      const { host } = registry;
      const at = (name: string): string => path.join(directory, name);
      const stores = ['--root', at('buildah'), '--runroot', at('buildah-run'), '--storage-driver', 'vfs'];
      const buildah = (...args: string[]): Promise<string> =>
        must('buildah', [...stores, ...args], { limitMs: LIMIT_MS, env: { BUILDAH_ISOLATION: 'chroot' } });
      const own = ['--authfile', auth(), '--tls-verify=false'];
      await logIn('buildah', host, ...own);
      await d.must(['login', '-u', user.name, '--password-stdin', host], { input: user.password });
      await d.must(['tag', 'berth.test/busybox:1', `${host}/ours/base:1`]);
      await d.must(['push', '-q', `${host}/ours/base:1`]);
      const container = await buildah('from', '-q', ...own, `${host}/ours/base:1`);
      fs.writeFileSync(at('file'), 'of buildah');
      await buildah('copy', '-q', container, at('file'), '/file');
      await buildah('commit', '-q', container, 'made');
      await buildah('push', '-q', ...own, 'made', `docker://${host}/bu/made:1`);
      expect(await d.must(['run', '--rm', '-q', '--network', 'none', `${host}/bu/made:1`, 'cat', '/file'])).toBe(
        'of buildah',
      );
      await buildah('rm', '-a');
      await buildah('rmi', '-a');
      await d.must(['rmi', `${host}/ours/base:1`, `${host}/bu/made:1`]);
    },
    LIMIT_MS,
  );

  test(
    'oras, with artifacts',
    async () => {
      await using registry = await start();
      const { host } = registry;
      const own = ['--registry-config', auth()];
      const plain = ['--plain-http', ...own];
      await logIn(oras, host, ...plain);
      await d.must(['login', '-u', user.name, '--password-stdin', host], { input: user.password });
      const work = fs.mkdtempSync(path.join(directory, 'oras-'));
      fs.writeFileSync(path.join(work, 'notes.txt'), 'of oras');
      const artifact = `${host}/or/notes:1`;
      await must(oras, ['push', ...plain, '--artifact-type', 'test/notes', artifact, 'notes.txt'], { cwd: work });
      const env = { DOCKER_CONFIG: path.join(directory, 'docker-config') };
      const berth = async (...args: string[]): Promise<string> => {
        const { code, stdout, stderr } = await d.berth(args, { env, cwd: work });
        if (code !== 0) throw new Error(`berth ${args.join(' ')}: ${stderr}`);
        return stdout.trim();
      };
      await berth('artifact', 'pull', artifact);
      expect(await berth('artifact', 'inspect', artifact)).toContain('test/notes');
      fs.writeFileSync(path.join(work, 'ours.txt'), 'of berth');
      const made = `${host}/or/ours:1`;
      await berth('artifact', 'add', made, 'ours.txt');
      await berth('artifact', 'push', made);
      await must(oras, ['pull', ...plain, '-o', path.join(work, 'out'), made], { cwd: work });
      expect(fs.readFileSync(path.join(work, 'out/ours.txt'), 'utf8')).toBe('of berth');
      // What is attached is found as a referrer, or under the tag that stands for that.
      await must(oras, ['attach', ...plain, '--artifact-type', 'test/sbom', artifact, 'notes.txt'], { cwd: work });
      expect(await must(oras, ['discover', ...plain, '-o', 'json', artifact])).toContain('test/sbom');
      await berth('artifact', 'rm', artifact, made);
    },
    LIMIT_MS,
  );
});
