import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMAGE = 'berth.test/busybox:1';
const LIMIT_MS = 60_000;

test('what was made ahead is new to each container, and goes with the daemon', async () => {
  await using d = await TestDaemon.start();
  const homes = ['spare', 'overlay/spare'].map((home) => path.join(d.dataRoot, home));
  const spares = () => homes.map((home) => fs.readdirSync(home).length);
  const dirty =
    'for d in / /dev /dev/shm; do ls $d/mine 2>/dev/null; echo x > $d/mine; done; rm /dev/zero; wc -l < /etc/hosts; ' +
    'echo 1.2.3.4 other >> /etc/hosts; chmod 600 /etc/hosts; echo other > /etc/hostname; cat /etc/hostname';
  for (let round = 0; round < 3; round++) {
    const out = await d.must(['run', '--rm', '--network', 'none', '--hostname', 'h', IMAGE, 'sh', '-c', dirty]);
    expect(out.split('\n')).toEqual(['6', 'other']);
    // One of each waits for the next.
    await eventually('spares are made', () => spares().every((count) => count === 1), LIMIT_MS);
  }
  // A container that has never run has not got any of these files yet.
  await d.must(['create', '--name', 'fresh', IMAGE]);
  const hosts = await d.docker(['cp', 'fresh:/etc/hosts', '-']);
  expect(hosts.code).not.toBe(0);

  await d.kill('SIGKILL');
  for (const home of homes) fs.mkdirSync(path.join(home, 'left'));
  await d.launch();
  for (const home of homes) expect(fs.existsSync(path.join(home, 'left'))).toBe(false);
  await d.kill('SIGTERM');
  expect(spares()).toEqual([0, 0]);
  await d.launch();
  expect(await d.must(['start', '-a', 'fresh'])).toBe('');
}, 120_000);
