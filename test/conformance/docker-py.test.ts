/** docker-py (Debian's python3-docker) drives the daemon unchanged. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

test('docker-py', async () => {
  if (!fs.existsSync('/usr/lib/python3/dist-packages/docker')) {
    await must('apt-get', ['update', '-qq'], { limitMs: 300_000 });
    await must('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'python3-docker'], {
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      limitMs: 300_000,
    });
  }
  await using d = await TestDaemon.start({ noBridge: true });
  const r = await run('/usr/bin/python3', [path.join(import.meta.dirname, 'docker-py.py')], {
    env: { DOCKER_HOST: `unix://${d.socket}` },
    limitMs: 120_000,
  });
  const lines = r.stdout.trim().split('\n');
  expect([...lines.filter((l) => !l.startsWith('ok ')), r.stderr]).toEqual(['']);
  expect(lines.length).toBe(38);
}, 180_000);
