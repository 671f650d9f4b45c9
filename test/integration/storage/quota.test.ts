/**
 * `--storage-opt size=` by project quota. The kernel must have quotas (CONFIG_QFMT_V2 for ext4): where it has not, what is
 * tested is that the option is refused with the reason.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-quota-'));
const mountPoint = path.join(directory, 'mnt');
fs.mkdirSync(mountPoint);

const tool = (name: string, ...args: string[]) => execFileSync(name, args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** Mounts an ext4 of its own; why that is not possible here, else undefined. */
function mountImage(): string | undefined {
  const image = path.join(directory, 'image');
  try {
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 512 * 2 ** 20);
    tool('mkfs.ext4', '-q', '-F', '-O', 'quota,project', '-E', 'quotatype=prjquota', image);
    tool('mount', '-o', 'loop,prjquota', image, mountPoint);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error);
  }
}

const missing = mountImage();
if (missing !== undefined) console.log(`no ext4 with project quotas here: ${missing}`);
afterAll(() => {
  if (missing === undefined) tool('umount', mountPoint);
  fs.rmSync(directory, { recursive: true });
});

describe.skipIf(missing !== undefined)('with project quota on ext4', () => {
  let d: TestDaemon;
  beforeAll(async () => {
    d = await TestDaemon.start({ dataRoot: path.join(mountPoint, 'data') });
  }, 300_000);
  afterAll(() => d[Symbol.asyncDispose](), 300_000);

  const FILL =
    'dd if=/dev/zero of=/big bs=1M count=30 2>&1 | grep -c "No space\\|quota"; df -k / | tail -1 | tr -s " " | cut -d" " -f2; rm /big';

  for (const flags of [[], ['--security-opt', 'userns=auto']])
    test(`the root holds that much and no more ${flags.join(' ')}`, async () => {
      const run = (...more: string[]) =>
        d.must(['run', '--rm', '--network', 'none', ...flags, ...more, IMG, 'sh', '-c', FILL]);
      const [full, blocks] = (await run('--storage-opt', 'size=20m')).split('\n');
      expect(full).toBe('1');
      expect(Number(blocks)).toBeLessThanOrEqual(20 * 1024);
      expect((await run()).split('\n')[0]).toBe('0');
    }, 300_000);

  test('the limit is kept over restarts of container and daemon, and given back', async () => {
    await d.must([
      'run',
      '-d',
      '--network',
      'none',
      '--storage-opt',
      'size=10m',
      '--name',
      'small',
      IMG,
      'sleep',
      '1000',
    ]);
    const full = () =>
      d.must(['exec', 'small', 'sh', '-c', 'dd if=/dev/zero of=/f bs=1M count=15 2>/dev/null; wc -c < /f; rm /f']);
    expect(Number(await full())).toBeLessThanOrEqual(10 * 2 ** 20);
    await d.restart();
    await d.must(['restart', '-t', '0', 'small']);
    expect(Number(await full())).toBeLessThanOrEqual(10 * 2 ** 20);
    await d.must(['rm', '-f', 'small']);
    const r = await d.docker([
      'run',
      '--rm',
      '--network',
      'none',
      IMG,
      'sh',
      '-c',
      'dd if=/dev/zero of=/f bs=1M count=15 2>/dev/null; wc -c < /f',
    ]);
    expect(r.stdout.trim()).toBe(String(15 * 2 ** 20));
  }, 300_000);

  test('a daemon that dies while the layer is made leaves no limit behind', async () => {
    await d.kill();
    await d.launch({ BERTH_FAILPOINTS: 'create.layer-made=kill' });
    await d.docker(['create', '--storage-opt', 'size=10m', '--name', 'half', IMG, 'true']);
    await d.ended();
    await d.launch();
    await d.must(['create', '--storage-opt', 'size=10m', '--name', 'half', IMG, 'true']);
    await d.must(['rm', 'half']);
  }, 300_000);
});

describe('without project quota', () => {
  let d: TestDaemon;
  beforeAll(async () => {
    d = await TestDaemon.start();
  }, 300_000);
  afterAll(() => d[Symbol.asyncDispose](), 300_000);

  test('the option is refused and says what is missing; nothing is left', async () => {
    const r = await d.docker(['create', '--storage-opt', 'size=20m', IMG, 'true']);
    expect(r.code).not.toBe(0);
    expect(r.stderr).toContain('--storage-opt is supported only for overlay over ext4 or xfs with project quota: ');
    expect((await d.docker(['create', '--storage-opt', 'colour=red', IMG, 'true'])).stderr).toContain(
      'Unknown option colour',
    );
    expect(await d.must(['ps', '-aq'])).toBe('');
  });
});
