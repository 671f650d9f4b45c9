/** The contract of graph drivers, for overlay and vfs on this kernel; and what only overlay has. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { messageOf } from '#errdefs/errors.ts';
import { directory, file, graphDriverContract, idOf, tarOf } from '#graphdriver/testing/contract.ts';
import { OverlayDriver } from '#graphdriver/overlay.ts';
import { VfsDriver } from '#graphdriver/vfs.ts';
import { ArchivePool } from '#pkg/archive/pool.ts';

graphDriverContract('overlay', (home, pool) => OverlayDriver.open(home, pool));
graphDriverContract('vfs', (home, pool) => VfsDriver.open(home, pool));

test('overlay: 500 layers are mounted, more are refused', async () => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-deep-'));
  const pool = new ArchivePool();
  const driver = OverlayDriver.open(home, pool);
  let parent: string | undefined;
  for (let n = 0; n < 500; n++) {
    const id = idOf(`deep ${n}`);
    await using target = await driver.diffTarget(id, parent);
    fs.writeFileSync(path.join(target.path, `f${n}`), String(n));
    await target.commit();
    parent = id;
  }
  {
    await using target = await driver.diffTarget(idOf('one more'), parent);
    expect(await target.commit().catch(messageOf)).toContain('max depth exceeded');
  }
  const id = idOf('container');
  await driver.createReadWrite(id, parent);
  {
    using mount = driver.mount(id);
    const root = `/proc/self/fd/${mount.fd}`;
    expect(fs.readdirSync(`${root}/`).length).toBe(500);
    fs.writeFileSync(`${root}/f0`, 'written');
  }
  expect(await driver.changes(id)).toEqual([{ path: '/f0', kind: 0 }]);
  await driver.close();
  pool.close();
  fs.rmSync(home, { recursive: true });
});

test('overlay: a layer hides and replaces within itself in any order', async () => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-order-'));
  const pool = new ArchivePool();
  const driver = OverlayDriver.open(path.join(home, 'overlay'), pool);
  const layer = async (id: string, parent: string | undefined, tar: Buffer): Promise<void> => {
    fs.writeFileSync(path.join(home, 'layer.tar'), tar);
    await using target = await driver.diffTarget(id, parent);
    const job = {
      kind: 'unpack',
      file: path.join(home, 'layer.tar'),
      target: target.path,
      whiteouts: target.whiteouts,
    };
    await pool.run({ ...job, kind: 'unpack' });
    await target.commit();
  };
  const below = idOf('below');
  await layer(
    below,
    undefined,
    tarOf([directory('a'), file('a/old', ''), directory('b'), file('b/old', ''), file('c', 'old')]),
  );
  const above = idOf('above');
  await layer(
    above,
    below,
    tarOf([
      // The directory after the whiteout, the whiteout after the directory, a file over a whiteout.
      file('.wh.a', ''),
      directory('a'),
      file('a/new', ''),
      directory('b'),
      file('b/new', ''),
      file('.wh.b', ''),
      file('.wh.c', ''),
      file('c', 'new'),
      // A directory in the place of a file and the other way round.
      file('x', ''),
      directory('x'),
      file('x/in', ''),
      directory('y'),
      file('y/in', ''),
      file('y', 'file'),
    ]),
  );
  {
    using mount = driver.mount(above);
    const root = `/proc/self/fd/${mount.fd}`;
    expect(fs.readdirSync(`${root}/a`)).toEqual(['new']);
    expect(fs.readdirSync(`${root}/b`)).toEqual(['new']);
    expect(fs.readFileSync(`${root}/c`, 'utf8')).toBe('new');
    expect(fs.readdirSync(`${root}/x`)).toEqual(['in']);
    expect(fs.readFileSync(`${root}/y`, 'utf8')).toBe('file');
  }
  await driver.close();
  pool.close();
  fs.rmSync(home, { recursive: true });
});
