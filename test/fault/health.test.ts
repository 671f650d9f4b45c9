/** Health probes when what they stand on breaks: the monitor, the zygote, another runtime, a paused container. */
import { afterEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { eventually } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon | undefined;
afterEach(async () => {
  await d?.[Symbol.asyncDispose]();
  d = undefined;
}, 60_000);

interface Health {
  readonly Status: string;
  readonly Log: { End: string; ExitCode: number; Output: string }[];
}

async function healthOf(daemon: TestDaemon, name: string): Promise<Health> {
  const { body } = await daemon.request('GET', `/v1.51/containers/${name}/json`);
  // as: what the route is documented to answer.
  return (body as { State: { Health: Health } }).State.Health;
}

const every = ['--network', 'none', '--health-interval', '200ms', '--health-retries', '1'];

async function probedAgain(daemon: TestDaemon, name: string, status: string): Promise<void> {
  const before = (await healthOf(daemon, name)).Log.at(-1)?.End;
  await eventually(
    `${name} is probed again`,
    async () => {
      const { Status, Log } = await healthOf(daemon, name);
      return Status === status && Log.at(-1)?.End !== before;
    },
    20_000,
  );
}

test('the zygote dies: probes go on with the next one', async () => {
  d = await TestDaemon.start({ noBridge: true });
  await d.must(['run', '-d', '--name', 'web', ...every, '--health-cmd', 'true', IMG, 'sleep', '1000']);
  await probedAgain(d, 'web', 'healthy');
  const [monitor] = d.monitors();
  const children = fs.readFileSync(`/proc/${monitor}/task/${monitor}/children`, 'utf8').trim().split(' ');
  const zygote = children.find((pid) => fs.readFileSync(`/proc/${pid}/comm`, 'utf8') === 'berth-zygote\n');
  expect(zygote).toBeDefined();
  process.kill(Number(zygote), 'SIGKILL');
  await probedAgain(d, 'web', 'healthy');
  await probedAgain(d, 'web', 'healthy');
}, 60_000);

test('the monitor dies in a probe: the container ends as lost, its next run is probed', async () => {
  d = await TestDaemon.start({ noBridge: true });
  const hangs = ['--health-cmd', 'echo begun; sleep 1000', '--restart', 'always'];
  await d.must(['run', '-d', '--name', 'web', ...every, '--health-timeout', '1s', ...hangs, IMG, 'sleep', '1000']);
  const [monitor] = d.monitors();
  process.kill(monitor ?? -1, 'SIGKILL');
  const daemon = d;
  await eventually('it runs again', async () => {
    const { body } = await daemon.request('GET', '/v1.51/containers/web/json');
    // as: what the route is documented to answer.
    const { State, RestartCount } = body as { State: { Status: string }; RestartCount: number };
    return State.Status === 'running' && RestartCount === 1;
  });
  await probedAgain(d, 'web', 'unhealthy');
  expect((await healthOf(d, 'web')).Log.at(-1)?.Output).toBe('Health check exceeded timeout (1s): begun\n');
}, 60_000);

test('a paused container is not probed and not ended; unpaused it goes on as it was', async () => {
  d = await TestDaemon.start({ noBridge: true });
  await d.must(['run', '-d', '--name', 'web', ...every, '--health-cmd', 'true', IMG, 'sleep', '1000']);
  await probedAgain(d, 'web', 'healthy');
  await d.must(['pause', 'web']);
  // As dockerd: nobody may take it for healthy.
  expect((await healthOf(d, 'web')).Status).toBe('unhealthy');
  await d.must(['unpause', 'web']);
  await probedAgain(d, 'web', 'healthy');
  await d.must(['rm', '-f', 'web']);
}, 60_000);

test('a container of runc is probed too', async () => {
  d = await TestDaemon.start({ noBridge: true });
  if (!fs.existsSync('/usr/sbin/runc')) throw new Error('runc is not installed');
  const flags = ['--runtime', 'runc', '--health-cmd', 'echo out; echo err >&2; test ! -e /bad'];
  await d.must(['run', '-d', '--name', 'web', ...every, ...flags, IMG, 'sleep', '1000']);
  await probedAgain(d, 'web', 'healthy');
  expect((await healthOf(d, 'web')).Log.at(-1)?.Output.split('\n').toSorted()).toEqual(['', 'err', 'out']);
  await d.must(['exec', 'web', 'touch', '/bad']);
  await probedAgain(d, 'web', 'unhealthy');
}, 60_000);
