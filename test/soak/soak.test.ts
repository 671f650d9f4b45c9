/** 10,000 `run --rm` by 4 clients: memory and descriptors of daemon and monitor stay flat. `RUNS` makes it shorter. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const RUNS = Number(process.env['RUNS'] ?? 10_000);

const rssMb = (pid: number) =>
  Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
const fds = (pid: number) => fs.readdirSync(`/proc/${pid}/fd`).length;

test(`${RUNS} runs by 4 clients`, async () => {
  await using d = await TestDaemon.start();
  let next = 0;
  let failed = 0;
  const rows: string[] = [];
  let warmFds: number[] = [];
  const client = async () => {
    while (next < RUNS) {
      const n = next++;
      const r = await d.docker(['run', '--rm', ...(n % 4 ? ['--network', 'none'] : []), IMG, 'true']);
      if (r.code !== 0) {
        failed++;
        console.log(r.stderr);
      }
      if (n % Math.max(1, Math.floor(RUNS / 20)) === 0) {
        const pids = [d.pid, ...d.monitors()];
        rows.push(`${n}: ${pids.map((p) => `${rssMb(p).toFixed(0)} MB ${fds(p)} fds`).join(', ')}`);
        if (n >= RUNS / 10 && warmFds.length === 0) warmFds = pids.map(fds);
      }
    }
  };
  await Promise.all([client(), client(), client(), client()]);
  console.log(rows.join('\n'));
  expect(failed).toBe(0);
  const pids = [d.pid, ...d.monitors()];
  for (const [i, pid] of pids.entries()) {
    expect(rssMb(pid)).toBeLessThanOrEqual(110);
    expect(fds(pid)).toBeLessThanOrEqual((warmFds[i] ?? 0) + 24); // starts in flight hold some
  }
}, 3_600_000);
