/**
 * `kill -9` and failures at every named point of `load`, and a full disk: the next start finds nothing half-made and
 * can load. Needs root.
 */
import { afterAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { loadImages } from '#image/load.ts';
import { file, idOf, oldDockerArchive, openStores, streamOf, tarOf, type TestImage } from '#image/testing/archives.ts';
import { GraphDb } from '#graphdb/graphdb.ts';
import { messageOf } from '#errdefs/errors.ts';
import { failpointNames } from '#pkg/failpoint/failpoint.ts';

const image: TestImage = {
  tags: ['crash:1'],
  layers: [tarOf([file('a', 'a'.repeat(5000))]), tarOf([file('b', 'b'.repeat(5000))])],
};
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-crash-'));
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));
const archive = path.join(scratch, 'image.tar');
fs.writeFileSync(archive, oldDockerArchive([image]));

const loader = `
  import * as fs from 'node:fs';
  import { loadImages } from '#image/load.ts';
  import { openStores } from '#image/testing/archives.ts';
  await using stores = await openStores({ root: process.argv[2] });
  await loadImages(stores.images, { archive: fs.createReadStream(process.argv[3]), quiet: true, tell: async () => {} });
`;
// Beside the test so that the project's import map applies.
const script = path.join(import.meta.dir, `.loader-${process.pid}.ts`);
fs.writeFileSync(script, loader);
afterAll(() => fs.rmSync(script, { force: true }));

const start = (root: string, failpoints: string) =>
  Bun.spawnSync([process.execPath, script, root, archive], {
    env: { ...process.env, BERTH_FAILPOINTS: failpoints },
    stdout: 'pipe',
    stderr: 'pipe',
  });

describe.each(['kill', 'error'])('%s', (action) => {
  for (const name of failpointNames.filter((point) => point.startsWith('load.'))) {
    test(`at ${name}`, async () => {
      const root = path.join(scratch, `${name}-${action}`);
      fs.mkdirSync(root);
      const done = start(root, `${name}=${action}`);
      expect(done.success).toBe(false);
      if (action === 'kill') expect(done.signalCode).toBe('SIGKILL');
      else expect(done.stderr.toString()).toContain(`failpoint ${name}`);
      await using stores = await openStores({ root });
      const known = stores.images.list().map(({ id }) => id);
      // Recorded wholly or not at all.
      expect(known).toEqual(name === 'load.image-recorded' ? [idOf(image)] : []);
      const expected = known.length === 0 ? 0 : 2;
      expect(stores.layers.list().length).toBe(expected);
      expect(stores.driver.list().length).toBe(expected);
      stores.content.collect();
      expect(stores.content.list().length).toBe(expected === 0 ? 0 : 3);
      expect(fs.readdirSync(path.join(root, 'content/ingest'))).toEqual([]);
      expect(fs.readdirSync(path.join(root, 'overlay/l')).length).toBe(expected);
      await loadImages(stores.images, {
        archive: streamOf(fs.readFileSync(archive)),
        quiet: true,
        tell: async () => undefined,
      });
      expect(stores.images.resolve('crash:1').id).toBe(idOf(image));
    });
  }
});

test('a container layer without a record is set aside, one with a record stays', async () => {
  const root = path.join(scratch, 'lost');
  fs.mkdirSync(root);
  const [kept, lost] = ['a'.repeat(64), 'b'.repeat(64)];
  {
    await using stores = await openStores({ root });
    await stores.layers.createReadWrite(kept, undefined);
    await stores.layers.createReadWrite(lost, undefined);
    using mount = stores.driver.mount(lost);
    fs.writeFileSync(`/proc/self/fd/${mount.fd}/precious`, 'data');
    stores.db.delete('rw-layer', lost);
  }
  await using stores = await openStores({ root });
  expect(stores.layers.readWriteIds()).toEqual([kept]);
  expect(stores.driver.list()).toEqual([kept]);
  const [aside = ''] = fs.readdirSync(path.join(root, 'lost+found/layers'));
  expect(fs.readFileSync(path.join(root, 'lost+found/layers', aside, 'diff/precious'), 'utf8')).toBe('data');
});

test('a full disk fails the load with its own words, and after it there is room again', async () => {
  const root = path.join(scratch, 'full');
  fs.mkdirSync(root);
  const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', root]);
  expect(mounted.success).toBe(true);
  try {
    await using stores = await openStores({ root });
    const load = (bytes: number) =>
      loadImages(stores.images, {
        archive: streamOf(
          oldDockerArchive([{ tags: ['big:1'], layers: [tarOf([file('big', Buffer.alloc(bytes, 1))])] }]),
        ),
        quiet: true,
        tell: async () => undefined,
      });
    expect(await load(1_800_000).then(String, String)).toContain('no space left on device');
    expect(await load(8_000_000).then(String, String)).toContain('no space left on device');
    expect(stores.images.list()).toEqual([]);
    expect(stores.layers.list()).toEqual([]);
    await stores.graph.collect();
    expect(fs.readdirSync(path.join(root, 'content/ingest'))).toEqual([]);
    for (const name of fs.readdirSync(path.join(root, 'overlay/trash'))) {
      fs.rmSync(path.join(root, 'overlay/trash', name), { recursive: true });
    }
    await load(300_000);
    expect(stores.images.resolve('big:1').size).toBe(300_000);
  } finally {
    Bun.spawnSync(['umount', root]);
  }
});

test('a full disk fails a record with its own words, and what was recorded stays readable', () => {
  const root = path.join(scratch, 'full-db');
  fs.mkdirSync(root);
  expect(Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=400k', 'tmpfs', root]).success).toBe(true);
  try {
    using db = GraphDb.open(path.join(root, 'graph.db'));
    let stored = 0;
    let failure: unknown;
    while (failure === undefined && stored < 10_000) {
      try {
        db.transaction(() => db.put('kind', String(stored), 'x'.repeat(1000)), { durable: stored % 10 === 0 });
        stored += 1;
      } catch (error) {
        failure = error;
      }
    }
    expect(messageOf(failure)).toContain('no space left on device');
    expect(db.list('kind').length).toBe(stored);
    fs.writeFileSync(path.join(root, 'unused'), '');
  } finally {
    Bun.spawnSync(['umount', root]);
  }
});
