/**
 * `bun stress/main.ts [COUNT [IN_FLIGHT]]`: whole containers through the driver and a monitor of their own, start to released,
 * with every output and exit code checked; then what the two processes have grown by.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { NativeDriver } from '#execdriver/native/driver.ts';
import { detectCgroups } from '#libcontainer/cgroups/detect.ts';
import { planLayout, removeLayout } from '#libcontainer/cgroups/layout.ts';
import { close } from '#sys/files.ts';
import { processStat } from '#sys/processes.ts';
import { MONITOR } from '../harness.ts';
import { makeImage, rootfsOver, specOf } from '../rootfs.ts';

const [count, inFlight] = [Number(process.argv[2] ?? 2000), Number(process.argv[3] ?? 8)];
const directory = mkdtempSync(`${tmpdir()}/berth-stress-`);
const image = makeImage(directory);
const layout = planLayout({ host: detectCgroups(), suffix: process.pid.toString(16).padStart(6, '0').slice(-6) });
const monitorCommand = [process.execPath, MONITOR, '--lonely-ms', '500'];
const driver = new NativeDriver({ execRoot: directory, monitorCommand, cgroups: layout });
const beforeMs: number[] = [];
const wholeMs: number[] = [];
let next = 0;
let wrong = 0;
let monitor = 0;

async function one(lane: number): Promise<void> {
  const number = next++;
  const id = `s${number}`;
  const begun = performance.now();
  const c = await driver.start({
    id,
    spec: specOf({ args: ['echo', `hello ${number}`] }),
    rootfs: rootfsOver(image, directory, `lane${lane}`),
    stdio: { stdin: false, stdout: true, stderr: true, tty: false },
    beforeExec: async () => {},
    signal: new AbortController().signal,
  });
  beforeMs.push(performance.now() - begun);
  if (monitor === 0) monitor = processStat(c.pid)?.ppid ?? 0;
  const { stdout = -1, stderr = -1 } = c.stdio;
  const text = await new Response(Bun.file(stdout).stream()).text();
  const { exitCode } = await c.exited;
  for (const fd of [stdout, stderr]) close(fd);
  await driver.release(id);
  wholeMs.push(performance.now() - begun);
  if (text !== `hello ${number}\n` || exitCode !== 0) {
    wrong += 1;
    console.log('wrong', { number, text, exitCode });
  }
}

const facts = (pid: number | 'self') => ({
  rssKb: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]),
  fds: readdirSync(`/proc/${pid}/fd`).length,
});
const percentile = (list: number[], p: number) =>
  Number(list.sort((a, b) => a - b)[Math.floor(list.length * p)]?.toFixed(2));

await one(0);
const early = Math.min(200, count);
const total = count;
const begun = performance.now();
for (const until of [early, total]) {
  await Promise.all(
    Array.from({ length: inFlight }, async (_, i) => {
      while (next < until) await one(i);
    }),
  );
  console.log({ starts: next, driver: facts('self'), monitor: facts(monitor) });
}
const perSecond = Math.round((next / (performance.now() - begun)) * 1000);
console.log({
  starts: next,
  inFlight,
  wrong,
  perSecond,
  startMs: { p50: percentile(beforeMs, 0.5), p99: percentile(beforeMs, 0.99) },
  wholeMs: { p50: percentile(wholeMs, 0.5), p99: percentile(wholeMs, 0.99) },
});
await driver.close();
while (processStat(monitor)?.state === 'S') await Bun.sleep(50);
removeLayout(layout);
rmSync(directory, { recursive: true, force: true });
process.exit(wrong === 0 ? 0 : 1);
