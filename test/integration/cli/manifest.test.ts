/** `berth manifest`: a list of two images is made, annotated, pushed and read back, by us and by the stock CLI. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as path from 'node:path';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';

let d: TestDaemon;
let registry: TestRegistry;
let env: Record<string, string>;

beforeAll(async () => {
  registry = await TestRegistry.start({ user: { name: 'me', password: 'secret' } });
  d = await TestDaemon.start({ noBridge: true });
  env = { DOCKER_CONFIG: path.join(d.directory, 'client-config') };
  const login = await d.berth(['login', '-u', 'me', '--password-stdin', registry.host], { env, input: 'secret\n' });
  expect(login.code).toBe(0);
  for (const tag of ['one', 'two']) {
    const name = `${registry.host}/app:${tag}`;
    await d.must(['tag', 'berth.test/busybox:1', name]);
    if (tag === 'two') {
      await d.must(['run', '--name', 'changed', name, 'touch', '/two']);
      await d.must(['commit', 'changed', name]);
      await d.must(['rm', 'changed']);
    }
    expect((await d.berth(['push', '-q', name], { env })).code).toBe(0);
  }
});
afterAll(async () => {
  await d?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

const manifest = (...args: string[]) => d.berth(['manifest', ...args], { env });

test('create, annotate, push, inspect; the stock CLI reads the same', async () => {
  const { host } = registry;
  const list = `${host}/app:all`;
  const made = await manifest('create', list, `${host}/app:one`, `${host}/app:two`);
  expect(made).toEqual({ code: 0, stdout: `Created manifest list ${list}\n`, stderr: '' });
  const again = await manifest('create', list, `${host}/app:one`);
  expect(again).toMatchObject({
    code: 1,
    stderr: 'refusing to amend an existing manifest list with no --amend flag\n',
  });
  expect((await manifest('annotate', list, `${host}/app:two`, '--arch', 'arm', '--variant', 'v7')).code).toBe(0);
  const missing = await manifest('annotate', list, `${host}/app:three`, '--arch', 'arm');
  expect(missing.code).toBe(1);
  const pushed = await manifest('push', '--purge', list);
  expect(pushed.stderr).toBe('');
  expect(pushed.stdout.trim().split('\n').at(-1)).toMatch(/^sha256:[0-9a-f]{64}$/);
  const read = await manifest('inspect', list);
  expect(read.code).toBe(0);
  const platforms = [...read.stdout.matchAll(/"architecture": "(\w+)"/g)].map(([, one]) => one);
  expect(platforms.at(-1)).toBe('arm');
  const theirs = await run('docker', ['manifest', 'inspect', '--insecure', list], { env });
  expect(JSON.parse(theirs.stdout)).toEqual(JSON.parse(read.stdout));
  const verbose = await manifest('inspect', '-v', `${host}/app:one`);
  expect(JSON.parse(verbose.stdout)).toMatchObject({
    Ref: `${host}/app:one`,
    Descriptor: { platform: { os: 'linux' } },
  });
  expect((await manifest('rm', list)).stderr).toBe(`No such manifest: ${list}\n`);
});

test('a list in another repository: blobs are mounted, not sent', async () => {
  const { host } = registry;
  const list = `${host}/other:all`;
  expect((await manifest('create', list, `${host}/app:one`)).code).toBe(0);
  expect(await manifest('push', list)).toMatchObject({ code: 0, stderr: '' });
  expect((await d.berth(['pull', '-q', list], { env })).stdout).toBe(`${list}\n`);
  expect((await manifest('create', `${host}/x:1`, list)).stderr).toBe(`${list} is a manifest list\n`);
  expect((await manifest('inspect', `${host}/nothing:1`)).code).toBe(1);
});
