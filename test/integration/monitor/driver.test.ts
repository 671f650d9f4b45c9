import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { LaunchRequest, RunningProcess, StdioRequest } from '#execdriver/driver.ts';
import { NativeDriver } from '#execdriver/native/driver.ts';
import { detectCgroups } from '#libcontainer/cgroups/detect.ts';
import { planLayout, removeLayout } from '#libcontainer/cgroups/layout.ts';
import { close, setNonBlocking, tryRead, writeAll } from '#sys/files.ts';
import { kill, processStat } from '#sys/processes.ts';
import { peerCredentials } from '#sys/sockets.ts';
import { failureOf, isGone, MONITOR, until, within } from './harness.ts';
import { makeImage, rootfsOver, specOf, type SpecOptions } from './rootfs.ts';

const directory = mkdtempSync(`${tmpdir()}/berth-driver-test-`);
const image = makeImage(directory);
const layout = planLayout({ host: detectCgroups(), suffix: process.pid.toString(16).padStart(6, '0').slice(-6) });
const openDriver = () =>
  new NativeDriver({
    execRoot: directory,
    monitorCommand: [process.execPath, MONITOR, '--lonely-ms', '1000'],
    cgroups: layout,
  });
let driver = openDriver();
let next = 0;

afterAll(async () => {
  await driver.close();
  await Bun.sleep(1200); // the monitor leaves by itself
  removeLayout(layout);
  rmSync(directory, { recursive: true, force: true });
});

const streams: StdioRequest = { stdin: false, stdout: true, stderr: true, tty: false };

interface StartOptions extends SpecOptions {
  readonly stdio?: Partial<StdioRequest>;
  readonly network?: LaunchRequest['network'];
  readonly beforeExec?: LaunchRequest['beforeExec'];
  readonly signal?: AbortSignal;
}

async function start(options: StartOptions): Promise<RunningProcess> {
  const id = `c${next++}`;
  const stdio = { ...streams, ...options.stdio };
  return driver.start({
    id,
    spec: specOf({ ...options, terminal: stdio.tty }),
    rootfs: rootfsOver(image, directory, id),
    stdio,
    beforeExec: options.beforeExec ?? (async () => {}),
    signal: options.signal ?? new AbortController().signal,
    ...(options.network === undefined ? {} : { network: options.network }),
  });
}

const text = async (fd: number | undefined) => {
  const all = await new Response(Bun.file(fd ?? -1).stream()).text();
  close(fd ?? -1);
  return all;
};

async function over(process: RunningProcess): Promise<number> {
  const { exitCode } = await within(`${process.id} ends`, process.exited);
  await driver.release(process.id);
  return exitCode;
}

test('a container says what it sees and its exit code comes', async () => {
  const c = await start({ args: ['sh', '-c', 'hostname; echo $$; echo oops >&2; exit 3'] });
  expect(await text(c.stdio.stdout)).toBe('ship\n1\n');
  expect(await text(c.stdio.stderr)).toBe('oops\n');
  expect(await over(c)).toBe(3);
});

test('the words for a missing, a non-executable and a wrong program', async () => {
  expect(String(await failureOf(start({ args: ['nothing'] })))).toContain(
    'exec: "nothing": executable file not found in $PATH',
  );
  expect(await failureOf(start({ args: ['/bin/nothing'] }))).toMatchObject({ exitCode: 127 });
  expect(await failureOf(start({ args: ['/bin/noexec'] }))).toMatchObject({ exitCode: 126 });
});

test('stdin ends when both sides let go', async () => {
  const c = await start({ args: ['cat'], stdio: { stdin: true } });
  writeAll(c.stdio.stdin ?? -1, Buffer.from('through\n'));
  close(c.stdio.stdin ?? -1);
  await c.closeStdin();
  expect(await text(c.stdio.stdout)).toBe('through\n');
  close(c.stdio.stderr ?? -1);
  expect(await over(c)).toBe(0);
});

test('a terminal has the size it was given and is resized', async () => {
  const c = await start({
    args: ['sh', '-c', 'tty; stty size; read x; stty size'],
    stdio: { stdin: true, stderr: false, tty: true, consoleSize: [33, 77] },
  });
  const master = c.stdio.stdout ?? -1;
  setNonBlocking(master);
  const buffer = new Uint8Array(4096);
  let said = '';
  const readUntil = (wanted: string) =>
    until(`"${wanted}" on the terminal`, () => {
      said += Buffer.from(buffer.subarray(0, tryRead(master, buffer) ?? 0)).toString();
      return said.includes(wanted);
    });
  await readUntil('33 77');
  c.resize(11, 22);
  writeAll(master, Buffer.from('\n'));
  await readUntil('11 22');
  expect(said).toContain('/dev/pts/0');
  expect(await over(c)).toBe(0);
  close(master);
});

test('the network is configured from outside at its gate, before the program runs', async () => {
  let seen = 0;
  const c = await start({
    args: ['ip', 'link'],
    network: async ({ pid, netlink, namespace }) => {
      expect(netlink).toBeGreaterThan(2);
      expect(namespace).toBeGreaterThan(2);
      seen = pid;
    },
  });
  expect(c.pid).toBe(seen);
  expect(await text(c.stdio.stdout)).toContain('lo: <LOOPBACK,UP');
  close(c.stdio.stderr ?? -1);
  expect(await over(c)).toBe(0);
});

test('a failure at a gate, or a cancel, ends the child and leaves nothing', async () => {
  const before = readdirSync('/proc/self/fd').length;
  let pid = 0;
  const refused = start({
    args: ['true'],
    beforeExec: async (process) => {
      pid = process.pid;
      throw new Error('cannot record');
    },
  });
  expect(String(await failureOf(refused))).toContain('cannot record');
  await until('the child is gone', () => isGone(pid));
  const controller = new AbortController();
  const cancelledStart = start({
    args: ['true'],
    signal: controller.signal,
    beforeExec: async () => controller.abort(),
  });
  expect(await failureOf(cancelledStart)).toMatchObject({ kind: 'cancelled' });
  await until('descriptors are closed', () => readdirSync('/proc/self/fd').length <= before);
  expect(readdirSync(`${directory}/processes`)).toEqual([]);
});

test('exec runs inside, has an exit code of its own and ends with the container', async () => {
  const c = await start({ args: ['sleep', '60'] });
  const exec = async (id: string, args: string[]) =>
    driver.exec({
      id,
      containerId: c.id,
      container: c,
      spec: specOf({ args }),
      stdio: streams,
      signal: new AbortController().signal,
    });
  const first = await exec('e1', ['sh', '-c', 'hostname; cat /proc/1/comm; exit 9']);
  expect(await text(first.stdio.stdout)).toBe('ship\nsleep\n');
  close(first.stdio.stderr ?? -1);
  expect(await over(first)).toBe(9);
  expect(await failureOf(exec('e2', ['nothing']))).toMatchObject({ exitCode: 127 });
  const left = await exec('e3', ['sleep', '60']);
  expect(driver.cgroupOf(c.id).pids().length).toBe(2);
  await driver.cgroupOf(c.id).freeze();
  await driver.cgroupOf(c.id).thaw();
  await c.signal(9);
  expect(await over(c)).toBe(137);
  expect(await over(left)).toBe(137);
  for (const p of [c, left]) for (const fd of [p.stdio.stdout, p.stdio.stderr]) close(fd ?? -1);
});

test('another driver on the same exec root finds what runs and what ended meanwhile', async () => {
  const stays = await start({ args: ['cat'], stdio: { stdin: true } });
  const ends = await start({ args: ['sh', '-c', 'read x; echo late; exit 6'], stdio: { stdin: true } });
  await driver.close();
  writeAll(ends.stdio.stdin ?? -1, Buffer.from('\n'));
  await until('it has ended', () => isGone(ends.pid));
  for (const p of [stays, ends]) for (const fd of [p.stdio.stdin, p.stdio.stdout, p.stdio.stderr]) close(fd ?? -1);

  driver = openDriver();
  const restored = new Map((await driver.restore()).map((p) => [p.id, p]));
  expect([...restored.keys()].sort()).toEqual([stays.id, ends.id].sort());
  const ended = restored.get(ends.id);
  expect(ended).toMatchObject({ pid: ends.pid, startTicks: ends.startTicks, startedAt: ends.startedAt });
  expect((await ended?.exited)?.exitCode).toBe(6);
  expect(await text(ended?.stdio.stdout)).toBe('late\n');
  const running = restored.get(stays.id);
  writeAll(running?.stdio.stdin ?? -1, Buffer.from('still here\n'));
  close(running?.stdio.stdin ?? -1);
  await running?.closeStdin();
  expect(await text(running?.stdio.stdout)).toBe('still here\n');
  for (const p of [ended, running]) if (p !== undefined) expect(await over(p)).toBe(p === ended ? 6 : 0);
});

test('when only the connection fails, nothing is killed and it is made again', async () => {
  const c = await start({ args: ['cat'], stdio: { stdin: true } });
  // A frame longer than any: the monitor drops the connection.
  const monitor = parentOf(c.pid);
  const mine = readdirSync('/proc/self/fd').filter((fd) => socketPeer(Number(fd)) === monitor);
  expect(mine.length).toBe(1);
  writeAll(Number(mine[0]), Uint8Array.of(0xff, 0xff, 0xff, 0x7f));
  await Bun.sleep(50);
  const again = await start({ args: ['true'] });
  expect(parentOf(c.pid)).toBe(monitor);
  expect(await over(again)).toBe(0);
  close(c.stdio.stdin ?? -1);
  await c.closeStdin();
  expect(await over(c)).toBe(0);
  for (const p of [c, again]) for (const fd of [p.stdio.stdout, p.stdio.stderr]) close(fd ?? -1);
});

test('when the monitor dies, its containers are ended with 137 and the next start works', async () => {
  const c = await start({ args: ['sleep', '60'] });
  kill(parentOf(c.pid), 9);
  expect(await within('the exit', c.exited)).toMatchObject({ exitCode: 137, error: 'monitor died' });
  await until('the container is gone', () => isGone(c.pid));
  await driver.release(c.id);
  const again = await start({ args: ['true'] });
  expect(await over(again)).toBe(0);
});

test('a restart after the death of both finds the container dead', async () => {
  const c = await start({ args: ['sleep', '60'] });
  const monitor = parentOf(c.pid);
  await driver.close();
  kill(monitor, 9);
  await until('the monitor is gone', () => isGone(monitor));
  expect(isGone(c.pid)).toBe(false);
  driver = openDriver();
  const [restored] = await driver.restore();
  expect(restored?.id).toBe(c.id);
  expect(await restored?.exited).toMatchObject({ exitCode: 137, error: 'monitor died' });
  await until('the container is gone', () => isGone(c.pid));
  await driver.release(c.id);
});

/** Pid of the process that listens at the other end; -1 for anything but a unix socket. */
function socketPeer(fd: number): number {
  try {
    return peerCredentials(fd).pid;
  } catch {
    return -1;
  }
}

function parentOf(pid: number): number {
  return processStat(pid)?.ppid ?? -1;
}
