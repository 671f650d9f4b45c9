/** Our own command line with registries: pull, push, log-in, credential helpers, copy and search. Needs root. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { CommandOptions } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';

const BUSYBOX = 'berth.test/busybox:1';
let daemon: TestDaemon;
let registry: TestRegistry;
let config = '';

beforeAll(async () => {
  registry = await TestRegistry.start({ user: { name: 'me', password: 'secret' } });
  daemon = await TestDaemon.start({ noBridge: true });
  config = path.join(daemon.directory, 'client-config');
}, 60_000);
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
}, 60_000);

function berth(args: readonly string[], options: CommandOptions = {}) {
  return daemon.berth(args, { ...options, env: { DOCKER_CONFIG: config, ...options.env } });
}

async function ok(...args: string[]): Promise<string> {
  const result = await berth(args);
  if (result.code !== 0) throw new Error(`berth ${args.join(' ')}: ${result.stderr}${result.stdout}`);
  return result.stdout;
}

test('log in, push, pull, search, copy, log out', async () => {
  const { host } = registry;
  const name = `${host}/mine:1`;
  await ok('tag', BUSYBOX, name);
  expect((await berth(['push', name])).stderr).toContain('no basic auth credentials');
  const wrong = await berth(['login', '-u', 'me', '--password-stdin', host], { input: 'wrong\n' });
  expect(wrong.code).toBe(1);
  expect(fs.existsSync(path.join(config, 'config.json'))).toBe(false);
  expect((await berth(['login', '-u', 'me', '--password-stdin', host], { input: 'secret\n' })).stdout).toBe(
    'Login Succeeded\n',
  );
  const kept: unknown = JSON.parse(fs.readFileSync(path.join(config, 'config.json'), 'utf8'));
  expect(kept).toEqual({ auths: { [host]: { auth: Buffer.from('me:secret').toString('base64') } } });
  expect(await ok('login', host)).toContain('Login Succeeded');

  expect(await ok('push', name)).toContain(`The push refers to repository [${host}/mine]\n`);
  await ok('tag', BUSYBOX, `${host}/mine:2`);
  expect(await ok('push', '-a', '-q', `${host}/mine`)).toBe(`${host}/mine\n`);
  for (const tag of ['1', '2']) await ok('rmi', `${host}/mine:${tag}`);
  expect(await ok('pull', name)).toEndWith(`Status: Downloaded newer image for ${name}\n${name}\n`);
  await ok('pull', '-a', '-q', `${host}/mine`);
  expect((await ok('images', '--format', '{{.Tag}}', `${host}/mine`)).trim().split('\n').sort()).toEqual(['1', '2']);
  expect(await ok('image', 'copy', name, `${host}/copied:1`)).toContain('1: digest: sha256:');
  expect(await ok('search', '--format', '{{.Name}}', `${host}/copied`)).toBe(`${host}/copied\n`);
  expect(await ok('run', '--rm', '--network', 'none', `${host}/copied:1`, 'echo', 'hi')).toBe('hi\n');

  expect(await ok('logout', host)).toBe(`Removing login credentials for ${host}\n`);
  // As docker 28, which does not look whether there are any.
  expect(await ok('logout', host)).toBe(`Removing login credentials for ${host}\n`);
  expect((await berth(['pull', `${host}/copied:1`])).stderr).toContain('no basic auth credentials');
}, 40_000);

test('a credential helper keeps the password, and config.json has none', async () => {
  const bin = path.join(daemon.directory, 'bin');
  const store = path.join(daemon.directory, 'kept');
  const mine = path.join(daemon.directory, 'helper-config');
  fs.mkdirSync(bin);
  fs.mkdirSync(mine);
  const script = `#!/bin/sh
case "$1" in
  store) cat > ${store} ;;
  get) if [ -f ${store} ]; then cat ${store}; else echo "credentials not found in native keychain"; exit 1; fi ;;
  erase) rm -f ${store} ;;
esac
`;
  fs.writeFileSync(path.join(bin, 'docker-credential-test'), script, { mode: 0o755 });
  fs.writeFileSync(path.join(mine, 'config.json'), JSON.stringify({ credHelpers: { [registry.host]: 'test' } }));
  const env = { DOCKER_CONFIG: mine, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const name = `${registry.host}/helped:1`;
  await ok('tag', BUSYBOX, name);
  expect((await berth(['push', name], { env })).stderr).toContain('no basic auth credentials');
  const login = await berth(['login', '-u', 'me', '--password-stdin', registry.host], { env, input: 'secret' });
  expect(login.stdout).toBe('Login Succeeded\n');
  expect(JSON.parse(fs.readFileSync(store, 'utf8'))).toEqual({
    ServerURL: registry.host,
    Username: 'me',
    Secret: 'secret',
  });
  expect(fs.readFileSync(path.join(mine, 'config.json'), 'utf8')).not.toContain('secret');
  expect((await berth(['push', '-q', name], { env })).stdout).toBe(`${name}\n`);
  await berth(['logout', registry.host], { env });
  expect(fs.existsSync(store)).toBe(false);
}, 40_000);
