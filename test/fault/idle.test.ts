/** An idle daemon makes no system calls: state comes from pidfds, pipes and kernel events, never from a timer. */
import { expect, test } from 'bun:test';
import * as path from 'node:path';
import * as fs from 'node:fs';
import { run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';

function pssKb(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? Number.NaN);
}

async function callsIn10s(d: TestDaemon, pids: readonly number[]): Promise<number> {
  const report = path.join(d.directory, 'strace');
  const targets = pids.flatMap((p) => ['-p', String(p)]);
  await run('timeout', ['-s', 'INT', '10', 'strace', '-c', '-f', '-o', report, ...targets], { limitMs: 30_000 });
  const text = fs.readFileSync(report, 'utf8');
  if (text.trim() === '') return 0;
  const calls = Number(/^\s*100\.00\s+\S+\s+\S*\s*(\d+)\s+(?:\d+\s+)?total$/m.exec(text)?.[1] ?? Number.NaN);
  if (!(calls <= 60)) console.log(text);
  return calls;
}

test('100 idle containers with an open events, wait and logs -f: at most 60 calls in 10 s, at most 0.2 MB a container', async () => {
  // Rules and links that somebody else on this host changes are events, and it looks at them.
  await using d = await TestDaemon.start({ ownNetwork: true });
  const start = async (n: number) => {
    const created = await d.request('POST', `/containers/create?name=idle${n}`, {
      Image: IMG,
      Cmd: ['sleep', '10000'],
      HostConfig: { NetworkMode: 'none' },
    });
    const id = String(Reflect.get(Object(created.body), 'Id'));
    expect((await d.request('POST', `/containers/${id}/start`)).status).toBe(204);
  };
  for (let i = 0; i < 10; i++) await start(i);
  await Bun.sleep(3000); // the collector settles
  const pids = [d.pid, ...d.monitors()];
  const before = pids.reduce((sum, p) => sum + pssKb(p), 0);
  for (let i = 10; i < 110; i++) await start(i);
  const abort = new AbortController();
  const open = ['/events', '/containers/idle0/logs?follow=1&stdout=1'].map((t) =>
    fetch(`http://berth${t}`, { unix: d.socket, signal: abort.signal }),
  );
  void fetch('http://berth/containers/idle0/wait', { unix: d.socket, method: 'POST', signal: abort.signal }).catch(
    () => undefined,
  );
  await Promise.all(open);
  await Bun.sleep(60_000); // the runtime looks at its heap each second until it has been the same for half a minute
  const after = pids.reduce((sum, p) => sum + pssKb(p), 0);
  // The runtime's collector still wakes now and then, ever more seldom: the quietest of some windows is the daemon's own.
  const windows: number[] = [];
  while (windows.length < 14 && !windows.some((n) => n <= 60)) windows.push(await callsIn10s(d, pids));
  const calls = Math.min(...windows);
  console.log(
    `${windows.join(', ')} calls in 10 s; ${((after - before) / 100).toFixed(0)} kB a container; ${(before / 1024).toFixed(0)} MB at rest`,
  );
  // A host that changes its rules all the time does not wake it.
  const changing: number[] = [];
  const foreign =
    'nft add table ip other; nft add chain ip other a; for i in $(seq 100); do nft add rule ip other a tcp dport $i accept; done';
  while (changing.length < 6 && !changing.some((n) => n <= 60)) {
    const [seen] = await Promise.all([
      callsIn10s(d, pids),
      run('nsenter', ['-t', String(d.pid), '-n', 'sh', '-c', foreign]),
    ]);
    changing.push(seen);
  }
  console.log(`${changing.join(', ')} calls in 10 s with 100 changes of rules by others`);
  abort.abort();
  expect(Math.min(...changing)).toBeLessThanOrEqual(60);
  expect(calls).toBeLessThanOrEqual(60);
  expect((after - before) / 100).toBeLessThanOrEqual(205);
}, 300_000);
