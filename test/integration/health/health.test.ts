/** Healthchecks, by the stock docker CLI: the states, their events, and what the engine can probe by itself. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(async () => {
  await d[Symbol.asyncDispose]();
}, 60_000);

interface Health {
  readonly Status: string;
  readonly FailingStreak: number;
  readonly Log: { Start: string; End: string; ExitCode: number; Output: string }[];
}

/** By the API: quick enough to see what does not last. */
async function healthOf(name: string): Promise<Health> {
  const { body } = await d.request('GET', `/v1.51/containers/${name}/json`);
  // as: what the route is documented to answer.
  return (body as { State: { Health: Health } }).State.Health;
}

const becomes = (name: string, status: string, limitMs = 15_000): Promise<Health> =>
  eventually(
    `${name} is ${status}`,
    async () => {
      const health = await healthOf(name);
      return health.Status === status ? health : undefined;
    },
    limitMs,
  );

/** Actions of one container so far, oldest first. */
async function actionsOf(name: string): Promise<string[]> {
  const until = String(Date.now() / 1000);
  const filter = ['--filter', `container=${name}`, '--filter', 'type=container'];
  const text = await d.must(['events', '--since', '0', '--until', until, ...filter, '--format', '{{.Action}}']);
  return text.split('\n');
}

const run = (name: string, flags: readonly string[], ...command: string[]): Promise<string> =>
  d.must(['run', '-d', '--name', name, '--network', 'none', ...flags, IMG, ...command]);

test('starting, healthy, unhealthy, healthy again; ps, filters and events say so', async () => {
  const flags = ['--health-cmd', 'echo hi; test ! -e /bad', '--health-interval', '300ms', '--health-retries', '2'];
  await run('begins', ['--health-cmd', 'true', '--health-interval', '10m'], 'sleep', '1000');
  expect(await healthOf('begins')).toEqual({ Status: 'starting', FailingStreak: 0, Log: [] });
  expect(await d.must(['ps', '--format', '{{.Status}}', '--filter', 'name=begins'])).toContain('(health: starting)');
  await run('turns', flags, 'sleep', '1000');
  const healthy = await becomes('turns', 'healthy');
  expect(healthy.FailingStreak).toBe(0);
  expect(healthy.Log[0]).toMatchObject({ ExitCode: 0, Output: 'hi\n' });
  expect(await d.must(['ps', '--format', '{{.Names}} {{.Status}}', '--filter', 'health=healthy'])).toMatch(
    /^turns Up .*\(healthy\)$/,
  );
  await d.must(['exec', 'turns', 'touch', '/bad']);
  const unhealthy = await becomes('turns', 'unhealthy');
  expect(unhealthy.FailingStreak).toBeGreaterThanOrEqual(2);
  expect(unhealthy.Log.at(-1)).toMatchObject({ ExitCode: 1, Output: 'hi\n' });
  await d.must(['exec', 'turns', 'rm', '/bad']);
  expect((await becomes('turns', 'healthy')).FailingStreak).toBe(0);
  await eventually('five results', async () => (await healthOf('turns')).Log.length === 5);
  const actions = await actionsOf('turns');
  expect(actions.filter((action) => action.startsWith('health_status'))).toEqual([
    'health_status: healthy',
    'health_status: unhealthy',
    'health_status: healthy',
  ]);
  expect(actions).toContain('exec_create: /bin/sh -c echo hi; test ! -e /bad');
  expect(actions).toContain('exec_start: /bin/sh -c echo hi; test ! -e /bad');
  expect(actions).toContain('exec_die');
  await d.must(['stop', '-t', '0', 'turns']);
  // As dockerd: nobody watches it any more.
  expect(await healthOf('turns')).toMatchObject({ Status: 'unhealthy', FailingStreak: 0 });
  await d.must(['start', 'turns']);
  const again = await healthOf('turns');
  expect(again.Status).toBe('starting');
  expect(again.Log.length).toBe(5);
}, 60_000);

test('a probe that never returns is ended at its limit with all of its group, and says what it wrote', async () => {
  const flags = ['--health-cmd', 'echo begun; sleep 1000; true', '--health-interval', '200ms'];
  await run('hangs', [...flags, '--health-timeout', '600ms', '--health-retries', '1'], 'sleep', '1000');
  const health = await becomes('hangs', 'unhealthy');
  expect(health.Log[0]).toMatchObject({ ExitCode: -1, Output: 'Health check exceeded timeout (600ms): begun\n' });
  // At most the one that runs now: its shell and its sleep.
  const sleeps = (await d.must(['top', 'hangs'])).split('\n').filter((line) => line.includes('sleep 1000'));
  expect(sleeps.length).toBeLessThanOrEqual(3);
}, 30_000);

test('output is cut at 4096 bytes, and a probe that writes megabytes is not held up', async () => {
  const flags = ['--health-cmd', 'yes x | head -c 3000000; exit 0', '--health-interval', '200ms'];
  await run('talks', flags, 'sleep', '1000');
  const [first] = (await becomes('talks', 'healthy')).Log;
  expect(first?.Output.length).toBe(4096 + 3);
  expect(first?.Output.endsWith('...')).toBeTrue();
}, 30_000);

test('a program that is not there, a user, an exit code, something left in the background', async () => {
  const every = ['--health-interval', '200ms', '--health-retries', '1'];
  await d.must(['run', '-d', '--name', 'gone', '--network', 'none', '--no-healthcheck', IMG, 'sleep', '1000']);
  expect(await d.must(['inspect', '-f', '{{json .State.Health}}', 'gone'])).toBe('null');
  const body = {
    Image: IMG,
    Cmd: ['sleep', '1000'],
    HostConfig: { NetworkMode: 'none' },
    Healthcheck: { Test: ['CMD', 'nope'], Interval: 200_000_000, Retries: 1 },
  };
  expect((await d.request('POST', '/v1.51/containers/create?name=nope', body)).status).toBe(201);
  await d.must(['start', 'nope']);
  expect((await becomes('nope', 'unhealthy')).Log[0]).toMatchObject({ ExitCode: -1 });
  expect((await healthOf('nope')).Log[0]?.Output).toContain('executable file not found in $PATH');
  await run('user', ['--user', 'sailor', '--health-cmd', 'id -u > /dev/stdout; exit 7', ...every], 'sleep', '1000');
  expect((await becomes('user', 'unhealthy')).Log[0]).toMatchObject({ ExitCode: 7, Output: '1000\n' });
  await run('leaves', ['--health-cmd', 'sleep 1000 & echo ok', ...every], 'sleep', '1000');
  expect((await becomes('leaves', 'healthy')).Log[0]).toMatchObject({ ExitCode: 0, Output: 'ok\n' });
}, 60_000);

test('within the start period failures do not count, and the start interval holds', async () => {
  const flags = ['--health-cmd', 'test -e /ready', '--health-interval', '10m', '--health-start-interval', '200ms'];
  await run('starts', [...flags, '--health-start-period', '5m', '--health-retries', '1'], 'sleep', '1000');
  await eventually('three failures', async () => (await healthOf('starts')).Log.length >= 3);
  expect(await healthOf('starts')).toMatchObject({ Status: 'starting', FailingStreak: 0 });
  await d.must(['exec', 'starts', 'touch', '/ready']);
  await becomes('starts', 'healthy');
}, 30_000);

test('refusals are worded as dockerd does', async () => {
  const wrong = await d.docker(['ps', '--filter', 'health=bogus']);
  expect(wrong.stderr).toContain("invalid filter 'health=bogus': invalid value for health (bogus)");
  const short = await d.docker(['create', '--health-cmd', 'true', '--health-interval', '1us', IMG]);
  expect(short.stderr).toContain('Interval in Healthcheck cannot be less than 1ms');
  const body = { Image: IMG, Healthcheck: { Test: ['HTTP', 'ftp://x/'] } };
  const refused = await d.request('POST', '/v1.51/containers/create', body);
  expect(refused.status).toBe(400);
  expect(JSON.stringify(refused.body)).toContain('invalid Healthcheck: HTTP');
});
