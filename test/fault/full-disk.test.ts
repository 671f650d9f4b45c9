/** A data root on a small tmpfs that runs full: clear errors, nothing half made, and it works again with room. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { busyboxEntries, busyboxImage, tar, writeArchive } from '../support/base-images.ts';
import { eventually, must, run } from '../support/command.ts';
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
    // One that fills the disk and goes on can be stopped and removed, again and again: the reserve is made anew.
    const fill = [
      'run',
      '-d',
      '--name',
      'filler',
      '--network',
      'none',
      IMG,
      'sh',
      '-c',
      'cat /dev/zero > /full; sleep 1000',
    ];
    for (const verb of [
      ['rm', '-f', 'filler'],
      ['rm', '-f', 'filler'],
      ['stop', '-t', '0', 'filler'],
    ]) {
      await d.must(fill);
      const full = async () => (await d.docker(['exec', 'filler', 'sh', '-c', 'echo x > /more'])).code !== 0;
      await eventually('the disk is full', full, 20_000);
      const another = await d.docker(['create', '--network', 'none', IMG, 'true']);
      if (another.code === 0) await d.must(['rm', another.stdout.trim()]);
      await d.must(verb);
    }
    await d.must(['rm', 'filler']);
    expect(await d.must(['run', '--rm', '--network', 'none', IMG, 'echo', 'works'])).toBe('works');
  } finally {
    await run('umount', ['-l', mount]);
    fs.rmdirSync(mount);
  }
}, 120_000);
