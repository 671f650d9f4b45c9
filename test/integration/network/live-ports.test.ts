/** `berth update --publish-add/--publish-rm`: ports of a container that runs, changed while it does. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as net from 'node:net';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const serve = [IMG, 'nc', '-ll', '-p', '80', '-e', 'echo', 'hello'];
const many = [IMG, 'sh', '-c', 'for p in 1000 1001 1499 1998 1999; do nc -ll -p $p -e echo $p & done; exec sleep 1000'];
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

async function answerOf(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = net.connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes.toString();
  });
  socket.on('end', () => resolve(text));
  socket.on('error', reject);
  return promise;
}
const answers = (port: number) => eventually(`an answer at ${port}`, () => answerOf(port));
const isRefused = async (port: number) => (await answerOf(port).catch(() => 'refused')) === 'refused';

/** Ports of the host that lead to the container's port 80, in order. */
const portsOf = async (name: string): Promise<number[]> =>
  (await d.must(['port', name, '80'])).split('\n').map((line) => Number(line.split(':')[1]));

const update = async (...args: string[]) => {
  const r = await d.berth(['update', ...args]);
  if (r.code !== 0) throw new Error(r.stderr);
  return r.stdout;
};

test('ports come and go while the process goes on, and hold over a kill of the daemon and a restart', async () => {
  await d.must(['run', '-d', '--name', 'web', '-p', '127.0.0.1::80', ...serve]);
  const [a = 0] = await portsOf('web');
  await answers(a);
  const pid = await d.must(['inspect', '-f', '{{.State.Pid}}', 'web']);
  await update('--publish-add', '127.0.0.1::80', 'web');
  const b = (await portsOf('web')).find((port) => port !== a) ?? 0;
  expect(await answers(b)).toBe('hello\n');
  expect(await answers(a)).toBe('hello\n');
  await update('--publish-rm', `${a}:80`, 'web');
  expect(await isRefused(a)).toBe(true);
  expect(await answers(b)).toBe('hello\n');
  expect(await d.must(['inspect', '-f', '{{.State.Pid}}', 'web'])).toBe(pid);
  await d.restart();
  expect(await answers(b)).toBe('hello\n');
  expect(await isRefused(a)).toBe(true);
  // The port is free for others again, and in one step another takes its place.
  await d.must(['run', '-d', '--name', 'other', '-p', `127.0.0.1:${a}:80`, ...serve]);
  await d.must(['rm', '-f', 'other']);
  await update('--publish-rm', '80', '--publish-add', `127.0.0.1:${a}:80`, 'web');
  expect(await answers(a)).toBe('hello\n');
  expect(await isRefused(b)).toBe(true);
  await d.must(['restart', '-t', '0', 'web']);
  expect(await answers(a)).toBe('hello\n');
  await d.must(['rm', '-f', 'web']);
}, 60_000);

test('an update that fails leaves every port as it was', async () => {
  const busy = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => busy.once('listening', resolve));
  const { port: b } = busy.address() as net.AddressInfo; // as: it listens on TCP
  await d.must(['run', '-d', '--name', 'web', '-p', '127.0.0.1::80', '-p', '127.0.0.1::81', ...serve]);
  const [a = 0] = await portsOf('web');
  await answers(a);
  const before = await d.must(['port', 'web']);
  const taken = await d.berth(['update', '--publish-rm', '80', '--publish-add', `127.0.0.1:${b}:80`, 'web']);
  expect(taken.code).toBe(1);
  expect(taken.stderr).toContain('address already in use');
  expect(await answers(a)).toBe('hello\n');
  expect(await d.must(['port', 'web'])).toBe(before);
  for (const [flag, value, words] of [
    ['--publish-rm', '99', 'port 99 is not published'],
    ['--publish-rm', 'x', 'invalid published port "x"'],
    ['--publish-add', `127.0.0.1:${a}:80`, 'is already published'],
    ['--publish-add', '1-3:1-2', 'invalid ranges specified'],
  ] as const) {
    const r = await d.berth(['update', flag, value, 'web']);
    expect([value, r.code === 0, r.stderr.includes(words) || r.stderr]).toEqual([value, false, true]);
  }
  // Limits that the kernel refuses take the ports back with them.
  const both = await d.berth(['update', '--publish-rm', '81', '--cpuset-cpus', '0-1000', 'web']);
  expect(both.code).toBe(1);
  expect(await d.must(['port', 'web'])).toBe(before);
  expect((await d.request('POST', '/containers/web/update', { Berth: { PublishRemove: ['9'] } })).status).toBe(400);
  busy.close();
  await d.must(['rm', '-f', 'web']);
}, 60_000);

test('of a container that does not run the next start has them; without an own network it is told', async () => {
  await d.must(['create', '--name', 'later', ...serve]);
  await update('--publish-add', '127.0.0.1::80', 'later');
  await d.must(['start', 'later']);
  const [a = 0] = await portsOf('later');
  expect(await answers(a)).toBe('hello\n');
  await d.must(['run', '-d', '--name', 'alone', '--network', 'none', IMG, 'sleep', '1000']);
  expect(await update('--publish-add', '80', 'alone')).toContain('Published ports are not in force');
  await d.must(['rm', '-f', 'later', 'alone']);
}, 60_000);

test('ports of SCTP: led by rules, each to one container, shown, and taken back', async () => {
  const ports = ['-p', '127.0.0.1:7707:77/sctp', '-p', '127.0.0.1:7707:78/tcp'];
  await d.must(['run', '-d', '--name', 'sctp', ...ports, IMG, 'sleep', '1000']);
  expect((await d.must(['port', 'sctp'])).split('\n').sort()).toEqual([
    '77/sctp -> 127.0.0.1:7707',
    '78/tcp -> 127.0.0.1:7707',
  ]);
  const ip = await d.must(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'sctp']);
  const rules = async () => (await must('nft', ['list', 'ruleset'])).replaceAll(/\s+/g, ' ');
  expect(await rules()).toContain(`127.0.0.1 . sctp . 7707 : ${ip} . 77`);
  const second = await d.docker(['run', '--rm', '-p', '127.0.0.1:7707:79/sctp', IMG, 'true']);
  expect([second.code, second.stderr.includes('127.0.0.1:7707 failed: port is already allocated')]).toEqual([
    125,
    true,
  ]);
  await d.restart();
  expect(await rules()).toContain(`127.0.0.1 . sctp . 7707 : ${ip} . 77`);
  await update('--publish-rm', '7707:77/sctp', 'sctp');
  expect(await rules()).not.toContain('sctp . 7707');
  expect(await rules()).toContain('127.0.0.1 . tcp . 7707');
  await d.must(['rm', '-f', 'sctp']);
}, 60_000);

test('a thousand published ports: each leads to its own, also after a kill of the daemon, and none is left', async () => {
  await d.must(['run', '-d', '--name', 'many', '-p', '127.0.0.1:21000-21999:1000-1999', ...many]);
  const sample = [21_000, 21_001, 21_499, 21_998, 21_999];
  const said = () => Promise.all(sample.map(async (port) => (await answers(port)).trim()));
  const wanted = sample.map((port) => String(port - 20_000));
  expect(await said()).toEqual(wanted);
  expect((await d.must(['port', 'many'])).split('\n').length).toBe(1000);
  await d.restart();
  expect(await said()).toEqual(wanted);
  const taken = await d.docker(['run', '--rm', '-p', '127.0.0.1:21777:80', IMG, 'true']);
  expect(taken.stderr).toContain('Bind for 127.0.0.1:21777 failed: port is already allocated');
  await d.must(['rm', '-f', 'many']);
  for (const port of sample) expect([port, await isRefused(port)]).toEqual([port, true]);
}, 60_000);
