/**
 * `kill -9` of the daemon at every named point of pull and push, and while layers arrive: nothing half-made is visible
 * after the next start, which continues and succeeds. Needs root.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { configOf, file, packed, tarOf, type TestImage } from '#image/testing/archives.ts';
import { failpointNames } from '#pkg/failpoint/failpoint.ts';
import { eventually } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';
import { digestOf, LyingRegistry, wire } from '../support/lying-registry.ts';
import { TestRegistry } from '../support/registry.ts';

function noise(seed: number): Buffer {
  const bytes = Buffer.alloc(3 << 20);
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE((i * 2654435761 + seed) % 4294967296, i);
  return bytes;
}
const imageOf = (seed: number): TestImage => ({
  tags: [],
  layers: [tarOf([file('a', `${seed}`.repeat(5000))]), tarOf([file('big', noise(seed)), file('c/d', 'x')])],
});
const image = imageOf(1);
const layersOf = ({ layers }: TestImage) => layers.map((layer) => packed(layer, 'gzip'));

let registry: LyingRegistry;
let daemon: TestDaemon;

beforeAll(async () => {
  registry = await LyingRegistry.start();
  registry.image('1', configOf(image), layersOf(image));
  daemon = await TestDaemon.start({ noBridge: true, image: false });
}, 60_000);
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
}, 60_000);

const name = (): string => `${registry.host}/app:1`;

async function nothingOrAll(): Promise<void> {
  const ids = (await daemon.must(['images', '-q', '--no-trunc'])).split('\n').filter((line) => line !== '');
  expect([[], [digestOf(configOf(image))]]).toContainEqual(ids);
  const content = path.join(daemon.dataRoot, 'content');
  expect(fs.readdirSync(path.join(content, 'ingest'))).toEqual([]);
  const overlay = fs.readdirSync(path.join(daemon.dataRoot, 'overlay')).filter((entry) => entry.startsWith('tmp-'));
  expect(overlay).toEqual([]);
}

for (const point of failpointNames.filter((p) => p.startsWith('pull.'))) {
  test(`killed at ${point}`, async () => {
    await daemon.restart('SIGKILL', { BERTH_FAILPOINTS: `${point}=kill` });
    const pulled = await daemon.docker(['pull', '-q', name()]);
    expect(pulled.code).not.toBe(0);
    expect(await daemon.ended()).toBe('SIGKILL');
    await daemon.launch();
    await nothingOrAll();
    await daemon.must(['pull', '-q', name()]);
    expect(await daemon.must(['inspect', '-f', '{{len .RootFS.Layers}}', name()])).toBe('2');
    await daemon.must(['rmi', '-f', name()]);
  }, 40_000);
}

test('killed while a layer arrives: the next pull begins where it ended', async () => {
  const other = imageOf(2);
  const big = layersOf(other)[1] ?? new Uint8Array();
  registry.image('2', configOf(other), layersOf(other));
  const name = `${registry.host}/app:2`;
  const arrived = Promise.withResolvers<void>();
  registry.lie = (asked, truth) => {
    if (!asked.path.endsWith(digestOf(big))) return truth;
    arrived.resolve();
    return { bytes: wire(asked, truth).subarray(0, 1 << 20), hang: true };
  };
  const pulling = daemon.docker(['pull', '-q', name]);
  await arrived.promise;
  const partial = path.join(daemon.dataRoot, 'content/partial', digestOf(big).slice('sha256:'.length));
  await eventually(
    'some of it is on the disk',
    () => (fs.statSync(partial, { throwIfNoEntry: false })?.size ?? 0) > 500_000,
  );
  await daemon.kill();
  expect((await pulling).code).not.toBe(0);
  registry.lie = (_, truth) => truth;
  registry.asked.length = 0;
  await daemon.launch();
  expect(await daemon.must(['images', '-q'])).toBe('');
  await daemon.must(['pull', '-q', name]);
  const asked = registry.asked.filter((a) => a.path.endsWith(digestOf(big)));
  expect(asked.length).toBe(1);
  expect(asked[0]?.headers.get('range')).toMatch(/^bytes=[1-9][0-9]*-$/);
}, 40_000);

for (const point of failpointNames.filter((p) => p.startsWith('push.'))) {
  test(`killed at ${point}: the next push goes on with what the registry has`, async () => {
    await using target = await TestRegistry.start();
    await daemon.restart('SIGKILL');
    await daemon.must(['pull', '-q', name()]);
    const mine = `${target.host}/mine:1`;
    await daemon.must(['tag', name(), mine]);
    await daemon.restart('SIGKILL', { BERTH_FAILPOINTS: `${point}=kill` });
    expect((await daemon.docker(['push', mine])).code).not.toBe(0);
    expect(await daemon.ended()).toBe('SIGKILL');
    await daemon.launch();
    const pushed = await daemon.must(['push', mine]);
    expect(pushed).toContain('Layer already exists');
    expect(pushed).toMatch(/1: digest: sha256:[0-9a-f]{64}/);
    await daemon.must(['rmi', '-f', name(), mine]);
  }, 40_000);
}
