/** Volume plugins by Docker's legacy protocol: found, used over a container's life, and what one does that fails. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { VolumePlugin } from '../../support/volume-plugin.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
const NAME = `berth-test-${process.pid}`;
let d: TestDaemon;
let plugin: VolumePlugin;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  plugin = new VolumePlugin(NAME, path.join(d.directory, 'plugin'));
}, 60_000);
afterAll(async () => {
  plugin[Symbol.dispose]();
  await d[Symbol.asyncDispose]();
}, 60_000);

const mounted = (volume: string) => [...(plugin.mounts.get(volume) ?? [])];

test('a volume lives with the plugin: create with options, mount and unmount per container, remove', async () => {
  await d.must(['volume', 'create', '-d', NAME, '-o', 'color=red', '--label', 'a=b', 'there']);
  expect(plugin.volumes.get('there')).toEqual({ color: 'red' });
  const [shown] = JSON.parse(await d.must(['volume', 'inspect', 'there'])) as Record<string, unknown>[];
  expect(shown).toMatchObject({
    ...{ Driver: NAME, Name: 'there', Scope: 'global', Labels: { a: 'b' }, Options: { color: 'red' } },
    ...{ Mountpoint: path.join(plugin.root, 'there'), Status: { state: 'fine' } },
  });
  await d.must(['run', '--rm', ...none, '-v', 'there:/x', IMG, 'sh', '-c', 'echo hello > /x/file']);
  expect(fs.readFileSync(path.join(plugin.root, 'there/file'), 'utf8')).toBe('hello\n');
  expect(mounted('there')).toEqual([]);
  // Nothing is to be copied into it: the image has no /x.
  expect(plugin.calls.filter((call) => call === 'VolumeDriver.Mount there')).toHaveLength(1);

  await d.must(['run', '-d', '--name', 'user', ...none, '-v', 'there:/x', IMG, 'sleep', '100']);
  expect(mounted('there')).toHaveLength(1);
  expect(await d.must(['inspect', '-f', '{{(index .Mounts 0).Driver}}', 'user'])).toBe(NAME);
  await d.restart();
  expect(mounted('there')).toHaveLength(1);
  await d.must(['rm', '-f', 'user']);
  expect(mounted('there')).toEqual([]);
  expect(await d.must(['volume', 'rm', 'there'])).toBe('there');
  expect(plugin.volumes.has('there')).toBe(false);
}, 60_000);

test('--volume-driver makes named and anonymous volumes with it, filled from the image', async () => {
  const options = ['--volume-driver', NAME, '-v', 'filled:/etc', '-v', '/anonymous'];
  await d.must(['run', '--rm', ...none, ...options, IMG, 'sh', '-c', 'test -e /etc/passwd']);
  // The container is gone when `run --rm` returns; what it leaves is deleted directly after.
  await eventually('the anonymous one is gone', () => [...plugin.volumes.keys()].join(' ') === 'filled');
  expect(fs.existsSync(path.join(plugin.root, 'filled/passwd'))).toBe(true);
  const conflict = await d.docker(['volume', 'create', '-d', 'local', 'filled']);
  expect(conflict.stderr).toContain(
    `create filled: driver '${NAME}' already has volume 'filled': volume name must be unique`,
  );
  // Not even prune -a takes what a plugin has.
  await d.must(['volume', 'prune', '-a', '-f']);
  expect([...plugin.volumes.keys()]).toEqual(['filled']);
  await d.must(['volume', 'rm', 'filled']);
}, 60_000);

test('what only the plugin knows is listed, inspected and removed; /info names the driver', async () => {
  plugin.volumes.set('foreign', {});
  const rows = (await d.must(['volume', 'ls', '--format', '{{.Driver}} {{.Name}}'])).split('\n');
  expect(rows).toEqual([`${NAME} foreign`]);
  expect(await d.must(['volume', 'inspect', '-f', '{{.Driver}}', 'foreign'])).toBe(NAME);
  expect(await d.must(['volume', 'rm', 'foreign'])).toBe('foreign');
  expect(plugin.volumes.has('foreign')).toBe(false);
  const drivers = JSON.parse(await d.must(['info', '-f', '{{json .Plugins.Volume}}'])) as string[];
  expect(drivers).toContain('local');
  expect(drivers).toContain(NAME);
}, 60_000);

test('what the plugin has lost is no volume any more, and can be made anew', async () => {
  await d.must(['volume', 'create', '-d', NAME, 'lost']);
  plugin.volumes.delete('lost');
  const gone = await d.docker(['volume', 'inspect', 'lost']);
  expect(gone.code).toBe(1);
  expect(gone.stderr).toContain('get lost: no such volume');
  await d.must(['volume', 'create', '-d', NAME, '-o', 'color=blue', 'lost']);
  expect(await d.must(['volume', 'inspect', '-f', '{{.Options.color}}', 'lost'])).toBe('blue');
  await d.must(['volume', 'rm', 'lost']);
}, 60_000);

test('a mount that is left by kill -9 is let go at the next start', async () => {
  await d.must(['volume', 'create', '-d', NAME, 'lost']);
  await d.must(['run', '-d', '--name', 'short', ...none, '-v', 'lost:/x', IMG, 'sleep', '100']);
  const pid = Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'short']));
  await d.kill();
  process.kill(pid, 'SIGKILL');
  await d.launch();
  await eventually('the plugin is told', () => mounted('lost').length === 0);
  await d.must(['rm', 'short']);
  await d.must(['volume', 'rm', 'lost']);
}, 60_000);

test('a plugin that fails, talks nonsense or gives a relative path: its error, and nothing is left', async () => {
  plugin.behaviour.set('VolumeDriver.Create', 'fails');
  expect((await d.docker(['volume', 'create', '-d', NAME, 'bad'])).stderr).toContain(
    'create bad: VolumeDriver.Create: VolumeDriver.Create is out of order',
  );
  plugin.behaviour.set('VolumeDriver.Create', 'works');
  await d.must(['volume', 'create', '-d', NAME, 'bad']);
  const once = () => d.docker(['run', '--rm', ...none, '-v', 'bad:/x:nocopy', IMG, 'true']);
  for (const [behaviour, message] of [
    ['fails', 'VolumeDriver.Mount is out of order'],
    ['relative', 'gave no absolute path for volume "bad"'],
    ['babbles', 'gave no absolute path for volume "bad"'],
  ] as const) {
    plugin.behaviour.set('VolumeDriver.Mount', behaviour);
    const r = await once();
    expect([r.code, r.stderr.includes("error while mounting volume 'bad'"), r.stderr.includes(message)]).toEqual([
      125,
      true,
      true,
    ]);
  }
  plugin.behaviour.clear();
  expect((await once()).code).toBe(0);
  plugin.behaviour.set('VolumeDriver.Remove', 'fails');
  expect((await d.docker(['volume', 'rm', 'bad'])).stderr).toContain('VolumeDriver.Remove is out of order');
  expect((await d.docker(['volume', 'rm', '-f', 'bad'])).code).toBe(0);
  plugin.behaviour.clear();
  plugin.volumes.clear();
  expect(await d.must(['volume', 'ls', '-q'])).toBe('');
}, 60_000);

test('a plugin that hangs or is dead keeps nobody else waiting', async () => {
  await d.must(['volume', 'create', '-d', NAME, 'slow']);
  plugin.behaviour.set('VolumeDriver.List', 'hangs');
  const began = performance.now();
  const listing = d.request('GET', '/v1.47/volumes');
  // Meanwhile everything else goes on.
  expect(await d.must(['run', '--rm', ...none, '-v', 'plain:/x', IMG, 'echo', 'fine'])).toBe('fine');
  const { body } = await listing;
  const { Volumes: volumes, Warnings: warnings } = body as { Volumes: { Name: string }[]; Warnings: string[] };
  expect(volumes.map((volume) => volume.Name).sort()).toEqual(['plain', 'slow']);
  expect(warnings).toEqual([`plugin "${NAME}" does not answer VolumeDriver.List`]);
  expect(performance.now() - began).toBeLessThan(20_000);
  plugin.behaviour.clear();

  await plugin.die();
  const dead = await d.docker(['volume', 'create', '-d', NAME, 'more']);
  expect([dead.code, dead.stderr.includes(`create more: `)]).toEqual([1, true]);
  plugin.start();
  await d.must(['volume', 'rm', 'slow', 'plain']);
}, 60_000);

test('a plugin is found by a .spec and a .json file', async () => {
  const directory = '/etc/docker/plugins';
  const existed = fs.existsSync(directory);
  fs.mkdirSync(directory, { recursive: true });
  using second = new VolumePlugin(`${NAME}-far`, path.join(d.directory, 'far'), path.join(d.directory, 'far.sock'));
  const files = [
    [`${NAME}-spec`, '.spec', `unix://${second.socket}\n`],
    [`${NAME}-json`, '.json', JSON.stringify({ Name: 'x', Addr: `unix://${second.socket}` })],
    [`${NAME}-broken`, '.json', '{'],
  ] as const;
  try {
    for (const [name, ending, text] of files) fs.writeFileSync(path.join(directory, name + ending), text);
    await d.must(['volume', 'create', '-d', `${NAME}-spec`, 'one']);
    await d.must(['volume', 'create', '-d', `${NAME}-json`, 'two']);
    expect([...second.volumes.keys()]).toEqual(['one', 'two']);
    const broken = await d.docker(['volume', 'create', '-d', `${NAME}-broken`, 'three']);
    expect(broken.stderr).toContain('its file is no JSON');
    await d.must(['volume', 'rm', 'one', 'two']);
  } finally {
    for (const [name, ending] of files) fs.rmSync(path.join(directory, name + ending), { force: true });
    if (!existed) fs.rmdirSync(directory);
  }
}, 60_000);
