/** Restart policies over restarts of the daemon, order of an exit's parts, --rm, shutdown, shared namespaces. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const state = (name: string) =>
  d.must(['inspect', '-f', '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}', name]);
const pidOf = async (name: string) => Number(await d.must(['inspect', '-f', '{{.State.Pid}}', name]));

test('a policy starts the container again after its end, until the user stops it', async () => {
  await d.must(['run', '-d', '--name', 'again', '--restart', 'always', ...none, IMG, 'sh', '-c', 'sleep 0.1; exit 3']);
  await eventually('it was started again', async () => Number((await state('again')).split(' ')[2]) >= 2, 20_000);
  await d.must(['stop', '-t', '0', 'again']);
  expect((await state('again')).split(' ')[0]).toBe('exited');
  await d.must(['rm', 'again']);
}, 60_000);

test('what was killed with the monitor is started again by its policy, and nothing else is', async () => {
  const keep = (name: string, policy: string) =>
    d.must(['run', '-d', '--name', name, '--restart', policy, ...none, IMG, 'sleep', '1000']);
  await keep('always', 'always');
  await keep('unless', 'unless-stopped');
  await keep('never', 'no');
  await keep('stopped', 'unless-stopped');
  await keep('halted', 'always');
  await d.must(['stop', '-t', '0', 'stopped', 'halted']);
  const before = await pidOf('always');
  await d.kill();
  for (const pid of d.monitors()) process.kill(pid, 'SIGKILL');
  await d.launch();
  for (const name of ['always', 'unless', 'halted']) {
    await eventually(`${name} runs again`, async () => (await state(name)).startsWith('running'), 20_000);
  }
  expect(await pidOf('always')).not.toBe(before);
  expect(await state('never')).toBe('exited 137 0');
  expect(await d.must(['inspect', '-f', '{{.State.Error}}', 'never'])).toBe('monitor died');
  expect((await state('stopped')).split(' ')[0]).toBe('exited');
  await d.must(['rm', '-f', 'always', 'unless', 'never', 'stopped', 'halted']);
}, 60_000);

test('when wait for the removal answers, the name is free', async () => {
  for (let i = 0; i < 5; i++) {
    const created = await d.request('POST', '/v1.50/containers/create?name=oneshot', {
      Image: IMG,
      Cmd: ['true'],
      HostConfig: { NetworkMode: 'none', AutoRemove: true },
    });
    expect(created.status).toBe(201);
    const removed = d.request('POST', '/v1.50/containers/oneshot/wait?condition=removed');
    await d.request('POST', '/v1.50/containers/oneshot/start');
    expect((await removed).body).toEqual({ StatusCode: 0 });
  }
}, 60_000);

test('a start that fails under --rm leaves nothing; without it the container tells why', async () => {
  const gone = await d.docker(['run', '--rm', '--name', 'failing', ...none, IMG, '/nope']);
  expect(gone.code).toBe(127);
  expect(await d.must(['ps', '-aq', '--filter', 'name=failing'])).toBe('');
  expect((await d.docker(['run', '--name', 'failing', ...none, IMG, '/nope'])).code).toBe(127);
  expect(await state('failing')).toBe('created 127 0');
  expect(await d.must(['inspect', '-f', '{{.State.Error}}', 'failing'])).toContain('/nope');
  await d.must(['rm', 'failing']);
}, 60_000);

test('shutdown stops everything by its stop signal and remembers what ran', async () => {
  const trap = 'trap "echo asked; exit 4" USR1; while :; do sleep 0.1; done';
  await d.must(['run', '-d', '--name', 'down', '--stop-signal', 'USR1', ...none, IMG, 'sh', '-c', trap]);
  await d.must([
    'run',
    '-d',
    '--name',
    'back',
    '--stop-timeout',
    '1',
    '--restart',
    'unless-stopped',
    ...none,
    IMG,
    'sleep',
    '1000',
  ]);
  await eventually('the trap is set', async () => (await d.must(['top', 'down'])).includes('sleep 0.1'));
  expect((await d.request('POST', '/berth/shutdown')).status).toBeLessThan(300);
  expect(await state('down')).toBe('exited 4 0');
  expect(await d.must(['logs', 'down'])).toBe('asked');
  expect((await state('back')).split(' ')[0]).toBe('exited');
  await d.restart();
  await eventually('it runs again', async () => (await state('back')).startsWith('running'), 20_000);
  expect((await state('down')).split(' ')[0]).toBe('exited');
  await d.must(['rm', '-f', 'down', 'back']);
}, 60_000);

test('pid, network and host namespaces can be shared', async () => {
  await d.must(['run', '-d', '--name', 'donor', ...none, IMG, 'sleep', '1000']);
  const shared = await d.must(['run', '--rm', '--pid', 'container:donor', ...none, IMG, 'ps']);
  expect(shared).toContain('sleep 1000');
  const network = await d.must(['run', '--rm', '--network', 'container:donor', IMG, 'readlink', '/proc/self/ns/net']);
  expect(network).toBe(await d.must(['exec', 'donor', 'readlink', '/proc/self/ns/net']));
  expect(await d.must(['run', '--rm', '--pid', 'host', ...none, IMG, 'sh', '-c', 'echo $$'])).not.toBe('1');
  const uts = await d.must(['run', '--rm', '--uts', 'host', ...none, IMG, 'hostname']);
  expect(uts).toBe((await d.must(['info', '-f', '{{.Name}}'])).trim());
  const ipc = await d.must(['run', '--rm', '--ipc', 'host', ...none, IMG, 'readlink', '/proc/self/ns/ipc']);
  expect(ipc).toBe(fs.readlinkSync('/proc/self/ns/ipc'));
  await d.must(['rm', '-f', 'donor']);
  const missing = await d.docker(['run', '--rm', '--network', 'container:nobody', IMG, 'true']);
  expect(missing.code).toBe(125);
  expect(missing.stderr).toContain('No such container: nobody');
}, 60_000);

test('an attached client of a restarted container sees the end, not the next run', async () => {
  await d.must(['run', '-d', '--name', 'twice', ...none, IMG, 'sh', '-c', 'echo run; sleep 1000']);
  const attached = d.docker(['attach', '--no-stdin', 'twice'], { limitMs: 30_000 });
  const attaches = [
    'events',
    '--since',
    '1m',
    '--until',
    '0s',
    '--filter',
    'container=twice',
    '--filter',
    'event=attach',
  ];
  await eventually('the client is attached', async () => (await d.must(attaches)) !== '');
  await d.must(['restart', '-t', '0', 'twice']);
  await attached;
  await eventually('both runs are in the log', async () => (await d.must(['logs', 'twice'])) === 'run\nrun');
  expect(await state('twice')).toBe('running 0 0');
  await d.must(['rm', '-f', 'twice']);
}, 60_000);
