/** A data root on a small tmpfs that runs full: clear errors, nothing half made, and it works again with room. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { busyboxEntries, busyboxImage, tar, writeArchive } from '../support/base-images.ts';
import { must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';

test('load and run on a full disk', async () => {
  const mount = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-small-'));
  await must('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', mount]);
  try {
    await using d = await TestDaemon.start({ dataRoot: path.join(mount, 'data'), noBridge: true, image: false });
    await d.must(['load', '-q', '-i', (await busyboxImage()).path]);
    const big = writeArchive(`big-${process.pid}.tar`, {
      reference: 'berth.test/big:1',
      layers: [
        tar([
          ...busyboxEntries(['sh']),
          { name: 'big', type: '0', mode: 0o644, content: new Uint8Array(40 << 20).fill(7) },
        ]),
      ],
    });
    const refused = await d.docker(['load', '-q', '-i', big.path]);
    fs.rmSync(big.path);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/no space left on device/i);
    expect(await d.must(['images', '--format', '{{.Repository}}'])).toBe('berth.test/busybox');
    const r = await d.docker([
      'run',
      '--name',
      'filler',
      '--network',
      'none',
      IMG,
      'sh',
      '-c',
      'cat /dev/zero > /full',
    ]);
    expect(r.stderr).toContain('No space left on device');
    await d.must(['rm', 'filler']);
    expect(await d.must(['run', '--rm', '--network', 'none', IMG, 'echo', 'works'])).toBe('works');
  } finally {
    await run('umount', ['-l', mount]);
    fs.rmdirSync(mount);
  }
}, 120_000);
