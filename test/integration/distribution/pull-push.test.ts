/** Pull, push, log-in and look-ups by the stock docker CLI through Debian's docker-registry. Needs root. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';

const BUSYBOX = 'berth.test/busybox:1';
let daemon: TestDaemon;
let registry: TestRegistry;
/** Busybox, there and here. */
let app = '';

beforeAll(async () => {
  registry = await TestRegistry.start();
  daemon = await TestDaemon.start({ noBridge: true });
  app = `${registry.host}/team/app:1`;
  await ok('tag', BUSYBOX, app);
  await ok('push', '-q', app);
}, 60_000);
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
}, 60_000);

const docker = (...args: string[]) => daemon.docker(args);

async function ok(...args: string[]): Promise<string> {
  const result = await docker(...args);
  if (result.code !== 0) throw new Error(`docker ${args.join(' ')}: ${result.stderr}${result.stdout}`);
  return result.stdout;
}

test('an image that is pushed, removed and pulled is the same image', async () => {
  const name = `${registry.host}/own/app:1`;
  await ok('tag', BUSYBOX, name);
  const pushed = await ok('push', name);
  expect(pushed).toContain(`The push refers to repository [${registry.host}/own/app]`);
  const digest = /1: digest: (sha256:[0-9a-f]{64}) size: [0-9]+/.exec(pushed)?.[1] ?? '';
  expect(digest).not.toBe('');
  expect(pushed).toMatch(/[0-9a-f]{12}: (?:Pushed|Mounted from team\/app)/);
  const id = (await ok('inspect', '-f', '{{.Id}}', name)).trim();
  expect(await ok('inspect', '-f', '{{index .RepoDigests 0}}', name)).toBe(`${registry.host}/own/app@${digest}\n`);
  expect(await ok('push', name)).toMatch(/[0-9a-f]{12}: Layer already exists/);
  await ok('rmi', '-f', id);

  const pulled = await ok('pull', name);
  expect(pulled).toStartWith('1: Pulling from own/app\n');
  expect(pulled).toMatch(/[0-9a-f]{12}: Pulling fs layer\n/);
  expect(pulled).toMatch(/[0-9a-f]{12}: Pull complete\n/);
  expect(pulled).toEndWith(`Digest: ${digest}\nStatus: Downloaded newer image for ${name}\n${name}\n`);
  expect((await ok('inspect', '-f', '{{.Id}}', name)).trim()).toBe(id);
  expect(await ok('pull', name)).toEndWith(`Status: Image is up to date for ${name}\n${name}\n`);
  expect(await ok('pull', '-q', name)).toBe(`${name}\n`);
  expect(await ok('run', '--rm', '--network', 'none', name, 'echo', 'hello')).toBe('hello\n');

  await ok('rmi', '-f', id);
  const byDigest = `${registry.host}/own/app@${digest}`;
  expect(await ok('pull', byDigest)).toStartWith(`${byDigest}: Pulling from own/app\n`);
  expect(await ok('images', '--digests', '--format', '{{.Repository}} {{.Tag}} {{.Digest}}')).toBe(
    `${registry.host}/own/app <none> ${digest}\n`,
  );
  expect(await ok('run', '--rm', '--network', 'none', '--pull', 'always', '-q', name, 'echo', 'again')).toBe('again\n');
  await ok('pull', '-q', app);
});

test('a container whose image is missing pulls it', async () => {
  const name = `${registry.host}/missing:1`;
  await run('skopeo', [
    ...['copy', '-q', '--src-tls-verify=false', '--dest-tls-verify=false'],
    ...[`docker://${registry.host}/team/app:1`, `docker://${name}`],
  ]);
  const created = await docker('run', '--rm', '--network', 'none', name, 'echo', 'pulled');
  expect(created.stderr).toContain(`Unable to find image '${name}' locally`);
  expect(created.stdout).toEndWith('pulled\n');
});

test('all tags of a repository come and go', async () => {
  const repository = `${registry.host}/many`;
  for (const tag of ['a', 'b']) await ok('tag', app, `${repository}:${tag}`);
  const pushed = await ok('push', '-a', repository);
  // From the repository that it was pulled from, or as it is there already.
  expect(pushed).toMatch(/[0-9a-f]{12}: (?:Mounted from (?:team\/app|missing)|Layer already exists)\n/);
  for (const tag of ['a', 'b']) await ok('rmi', `${repository}:${tag}`);
  await ok('pull', '-a', '-q', repository);
  const tags = await ok('images', repository, '--format', '{{.Tag}}');
  expect(tags.trim().split('\n').sort()).toEqual(['a', 'b']);
});

test('what is not there is told in the words that clients know', async () => {
  const at = registry.host;
  const failure = async (...args: string[]): Promise<string> => {
    const result = await docker(...args);
    expect(result.code).toBe(1);
    return result.stderr.trim();
  };
  const daemonSays = 'Error response from daemon: ';
  expect(await failure('pull', `${at}/team/app:none`)).toBe(
    `${daemonSays}manifest for ${at}/team/app:none not found: manifest unknown: manifest unknown`,
  );
  expect(await failure('pull', '127.0.0.1:1/x')).toBe(
    `${daemonSays}Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused`,
  );
  expect(await failure('push', `${at}/nosuch:1`)).toBe(`An image does not exist locally with the tag: ${at}/nosuch`);
  expect(await failure('push', `${at}/team/app:none`)).toBe(`tag does not exist: ${at}/team/app:none`);
  // As dockerd: the registry's failure is no state of ours.
  const unreachable = await fetch('http://berth/v1.47/images/create?fromImage=127.0.0.1:1/x&tag=1', {
    method: 'POST',
    unix: daemon.socket,
  });
  expect(unreachable.status).toBe(500);
  expect((await fetch('http://berth/distribution/127.0.0.1:1/x/json', { unix: daemon.socket })).status).toBe(500);
  const inspected = await fetch(`http://berth/v1.47/distribution/${at}/team/app:1/json`, { unix: daemon.socket });
  const answer: unknown = await inspected.json();
  expect(answer).toMatchObject({ Platforms: [{ architecture: 'amd64', os: 'linux' }] });
  expect(JSON.stringify(answer)).toMatch(
    /"Descriptor":\{"mediaType":"application[^"]*","digest":"sha256:[0-9a-f]{64}"/,
  );
  expect((await fetch(`http://berth/distribution/${at}/nosuch/json`, { unix: daemon.socket })).status).toBe(404);
  expect(await ok('search', '--format', '{{.Name}}', `${at}/app`)).toContain(`${at}/team/app`);
});

test('an image alone comes whatever platform was asked for, with a warning; a container is not made of it', async () => {
  const name = `${registry.host}/team/app:1`;
  const warning =
    `image with reference ${name} was found but its platform (linux/amd64) does not match the specified platform ` +
    '(linux/s390x)';
  const pulled = await docker('pull', '--platform', 'linux/s390x', name);
  expect([pulled.code, pulled.stderr]).toEqual([0, '']);
  expect(pulled.stdout).toContain(`Status: Image is up to date for ${name}\nWARNING: ${warning}\n`);
  const created = await docker('create', '--platform', 'linux/s390x', name, 'true');
  expect(created.code).toBe(1);
  expect(created.stderr).toContain(`Error response from daemon: ${warning}`);
  const file = path.join(daemon.directory, 's390x.tar');
  const saved = await docker('save', '--platform', 'linux/s390x', '-o', file, name);
  expect(saved.stderr.trim()).toBe(
    'Error response from daemon: no suitable export target found for platform linux/s390x',
  );
});

test('a registry with a password', async () => {
  await using locked = await TestRegistry.start({ user: { name: 'me', password: 'secret' } });
  const name = `${locked.host}/private:1`;
  await ok('tag', app, name);
  expect((await docker('push', name)).stderr).toContain('no basic auth credentials');
  const wrong = await daemon.docker(['login', '-u', 'me', '--password-stdin', locked.host], { input: 'wrong' });
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain('failed with status: 401 Unauthorized');
  const login = await daemon.docker(['login', '-u', 'me', '--password-stdin', locked.host], { input: 'secret' });
  expect(login.stdout).toContain('Login Succeeded');
  await ok('push', '-q', name);
  await ok('rmi', name);
  await ok('pull', '-q', name);
  await ok('logout', locked.host);
  await ok('rmi', name);
  const refused = await docker('pull', name);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('no basic auth credentials');
}, 30_000);

test('nothing of a pull or push is left beside the blobs', async () => {
  for (const name of ['ingest', 'partial', 'leases']) {
    expect(fs.readdirSync(path.join(daemon.dataRoot, 'content', name))).toEqual([]);
  }
});
