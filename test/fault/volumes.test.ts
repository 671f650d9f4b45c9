/** Volumes when something fails: every system call of a mount, every step of a start, a full disk at the copy-up. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { Recorder } from '#sys/fake/ledger.ts';
import { mountWithin, unmount } from '#sys/mount-table.ts';
import { MS } from '#sys/numbers.ts';
import { LocalVolumes } from '#volume/local.ts';
import { busyboxEntries, busyboxImage, tar, writeArchive } from '../support/base-images.ts';
import { eventually, must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-volumes-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const mountsBelow = (place: string) =>
  fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(` ${place}/`));

test('the k-th system call of mounting a volume fails, for every k: nothing is mounted and nothing stays open', async () => {
  const local = new LocalVolumes({
    root: path.join(directory, 'volumes'),
    lostAndFound: path.join(directory, 'lost+found'),
    copy: () => Promise.resolve(),
  });
  const outside = path.join(directory, 'outside');
  fs.mkdirSync(outside);
  local.makeDirectory('bound');
  local.makeDirectory('memory');
  const cases = [
    ['bound', { type: 'none', device: outside, o: 'bind,ro,nosuid' }],
    ['memory', { type: 'tmpfs', device: 'tmpfs', o: 'size=1m' }],
  ] as const;
  for (const [name, options] of cases) {
    let calls = 0;
    {
      using recorder = new Recorder();
      await local.mount(name, options);
      calls = recorder.calls.length;
    }
    expect(mountsBelow(directory)).toHaveLength(1);
    local.unmount(name, options);
    expect(calls).toBeGreaterThan(1);
    for (let k = 1; k <= calls; k++) {
      using recorder = new Recorder();
      recorder.failAt(k, 'EIO', new Set(['close', 'umount2']));
      const error = await local.mount(name, options).catch((caught: unknown) => caught);
      expect([name, k, String(error).includes('failed to mount local volume')]).toEqual([name, k, true]);
      expect(recorder.ledger.live()).toEqual([]);
      expect([name, k, mountsBelow(directory)]).toEqual([name, k, []]);
    }
  }
  expect(fs.readdirSync(outside)).toEqual([]);
});

test('a mount that comes after its limit is given up, and taken away again', async () => {
  const [from, to] = ['from', 'to'].map((name) => path.join(directory, name));
  for (const place of [from, to]) fs.mkdirSync(place ?? '');
  const request = { source: from ?? '', target: to ?? '', type: 'none', flags: MS.BIND, options: '' };
  await mountWithin(request, 10_000);
  expect(mountsBelow(directory)).toHaveLength(1);
  unmount(request.target);
  const late = await mountWithin(request, 0).catch((error: unknown) => error);
  expect(String(late)).toContain('ETIMEDOUT');
  await eventually('it is gone', () => mountsBelow(directory).length === 0);
  // Whether it came before this look or comes after it: nothing stays.
  await Bun.sleep(500);
  expect(mountsBelow(directory)).toEqual([]);
});

test('a start that fails at any step leaves no volume mounted, and the next one works', async () => {
  await using d = await TestDaemon.start({ noBridge: true });
  const volumes = path.join(d.dataRoot, 'volumes');
  await d.must(['volume', 'create', '-o', 'type=tmpfs', '-o', 'device=tmpfs', 'memory']);
  await d.must(['create', '--name', 'user', ...none, '-v', 'memory:/x:nocopy', '-v', 'plain:/y', IMG, 'true']);
  for (const point of ['volume.mount-recorded', 'volume.mounted', 'start.network-made', 'start.at-gate']) {
    await d.restart('SIGTERM', { BERTH_FAILPOINTS: `${point}=error` });
    const failed = await d.docker(['start', '-a', 'user']);
    expect([point, failed.code === 0]).toEqual([point, false]);
    expect([point, mountsBelow(volumes)]).toEqual([point, []]);
    await d.must(['start', '-a', 'user']);
    expect([point, mountsBelow(volumes)]).toEqual([point, []]);
  }
  await d.must(['rm', 'user']);
  await d.must(['volume', 'rm', 'memory', 'plain']);
}, 120_000);

test('a failed create takes the volumes that it made with it, and only those', async () => {
  await using d = await TestDaemon.start({ noBridge: true });
  await d.must(['volume', 'create', 'mine']);
  for (const point of ['create.layer-made', 'create.done']) {
    await d.restart('SIGTERM', { BERTH_FAILPOINTS: `${point}=error` });
    const failed = await d.docker(['create', ...none, '-v', 'mine:/a', '-v', 'new:/b', '-v', '/c', IMG, 'true']);
    expect([point, failed.code]).toEqual([point, 1]);
    expect([point, await d.must(['volume', 'ls', '-q'])]).toEqual([point, 'mine']);
    expect(fs.readdirSync(path.join(d.dataRoot, 'volumes'))).toEqual(['mine']);
  }
  await d.must(['volume', 'rm', 'mine']);
}, 60_000);

test('a full disk at the copy-up: a clear error, no volume half filled, and it works with room', async () => {
  const mount = path.join(directory, 'small');
  fs.mkdirSync(mount);
  await must('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', mount]);
  try {
    await using d = await TestDaemon.start({ dataRoot: path.join(mount, 'data'), noBridge: true, image: false });
    await d.must(['load', '-q', '-i', (await busyboxImage()).path]);
    const contents = new Uint8Array(8 << 20).fill(7);
    const archive = writeArchive(`content-${process.pid}.tar`, {
      reference: 'berth.test/content:1',
      layers: [
        tar([
          ...busyboxEntries(['sh', 'ls']),
          { name: 'data/', type: '5', mode: 0o755 },
          { name: 'data/first', type: '0', mode: 0o644, content: Buffer.from('x') },
          { name: 'data/second', type: '0', mode: 0o644, content: contents },
        ]),
      ],
      config: { Volumes: { '/data': {} } },
    });
    await d.must(['load', '-q', '-i', archive.path]);
    fs.rmSync(archive.path);
    const filler = path.join(mount, 'filler');
    const { bavail, bsize } = fs.statfsSync(mount);
    fs.writeFileSync(filler, new Uint8Array(Math.max(0, bavail * bsize - (4 << 20))));
    for (const args of [[], ['-v', 'named:/data']]) {
      const failed = await d.docker(['create', ...none, ...args, 'berth.test/content:1', 'sh']);
      expect([failed.code, /no space left on device|ENOSPC/i.test(failed.stderr)]).toEqual([1, true]);
      expect(await d.must(['volume', 'ls', '-q'])).toBe('');
    }
    // One that was there before stays, and stays empty.
    await d.must(['volume', 'create', 'before']);
    const failed = await d.docker(['create', ...none, '-v', 'before:/data', 'berth.test/content:1', 'sh']);
    expect(failed.code).toBe(1);
    expect(fs.readdirSync(path.join(d.dataRoot, 'volumes/before'))).toEqual(['_data']);
    expect(fs.readdirSync(path.join(d.dataRoot, 'volumes/before/_data'))).toEqual([]);
    fs.rmSync(filler);
    expect(await d.must(['run', '--rm', ...none, '-v', 'before:/data', 'berth.test/content:1', 'ls', '/data'])).toBe(
      'first\nsecond',
    );
  } finally {
    await run('umount', ['-l', mount]);
  }
}, 120_000);

test('a secret whose file system cannot be made fails the start, and no other container', async () => {
  await using d = await TestDaemon.start({ noBridge: true });
  await d.berth(['secret', 'create', 'token', '-'], { input: 'value' });
  const key = path.join(d.dataRoot, 'secrets/key');
  await d.berth(['create', '--name', 'user', ...none, '--secret', 'token', IMG, 'cat', '/run/secrets/token']);
  fs.writeFileSync(key, Buffer.alloc(32));
  const failed = await d.docker(['start', '-a', 'user']);
  expect([failed.code === 0, failed.stderr.includes('Cannot decrypt secret "token"')]).toEqual([false, true]);
  expect(await d.must(['run', '--rm', ...none, IMG, 'echo', 'fine'])).toBe('fine');
  await d.must(['rm', 'user']);
}, 60_000);
