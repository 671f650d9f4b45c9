/** `berth why`: what ended a container, each cause told apart; OOM as it happens. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import type { Why, WhyEnding } from '../../../src/api/types/why.ts';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

async function why(name: string): Promise<Why> {
  const { status, body } = await d.request('GET', `/berth/containers/${name}/why`);
  expect(status).toBe(200);
  // as: what the route is documented to answer.
  return body as Why;
}

const lastOf = (name: string): Promise<WhyEnding> =>
  eventually(`the end of ${name} is told`, async () => (await why(name)).Endings[0], 20_000);

const run = (name: string, flags: readonly string[], ...command: string[]): Promise<string> =>
  d.must(['run', '-d', '--name', name, '--network', 'none', ...flags, IMG, ...command]);

function kernelLogIsReadable(): boolean {
  try {
    fs.closeSync(fs.openSync('/dev/kmsg', 'r'));
    return true;
  } catch {
    return false;
  }
}

/** `tail` of an endless line keeps it all. */
const LITTLE = ['--memory', '16m', '--memory-swap', '16m'];

test('each cause of death is classified right', async () => {
  await run('done', [], 'true');
  expect(await lastOf('done')).toMatchObject({ Cause: 'completed', ExitCode: 0, Signal: 0, LastLines: [] });

  await run('fails', [], 'sh', '-c', 'echo one; echo two >&2; exit 3');
  const failed = await lastOf('fails');
  expect(failed).toMatchObject({ Cause: 'failed', ExitCode: 3 });
  expect(failed.LastLines.toSorted()).toEqual(['one', 'two']);

  await run('stopped', ['--stop-timeout', '0'], 'sleep', '1000');
  await d.must(['stop', 'stopped']);
  expect(await lastOf('stopped')).toMatchObject({ Cause: 'stopped', ExitCode: 137, Signal: 9 });
  expect((await lastOf('stopped')).Summary).toMatch(
    /^stopped by docker \(pid \d+, uid 0\); ended by SIGKILL after the time/,
  );

  await run('killed', [], 'sleep', '1000');
  await d.must(['kill', 'killed']);
  expect(await lastOf('killed')).toMatchObject({ Cause: 'killed', ExitCode: 137, Signal: 9 });
  expect((await lastOf('killed')).Summary).toMatch(/^killed by docker \(pid \d+, uid 0\); ended by SIGKILL$/);

  await run('outside', [], 'sleep', '1000');
  process.kill(Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'outside'])), 'SIGKILL');
  expect(await lastOf('outside')).toMatchObject({ Cause: 'signalled', ExitCode: 137, Signal: 9 });

  // The first process of a pid namespace cannot be hit by a signal from inside it.
  await run('crashed', ['--pid', 'host'], 'sh', '-c', 'kill -SEGV $$');
  expect(await lastOf('crashed')).toMatchObject({ Cause: 'crashed', ExitCode: 139, Signal: 11 });

  await d.docker(['run', '-d', '--name', 'never', '--network', 'none', IMG, '/nope']);
  expect(await lastOf('never')).toMatchObject({ Cause: 'start-failed', ExitCode: 127 });

  const sick = ['--health-cmd', 'false', '--health-interval', '200ms', '--health-retries', '1'];
  await run('sick', [...sick, '--label', 'berth.health.on-failure=kill'], 'sleep', '1000');
  expect(await lastOf('sick')).toMatchObject({ Cause: 'unhealthy', Signal: 9 });

  // A kill that does not end it is no reason for what comes later.
  await run('survives', [], 'sh', '-c', 'trap "" HUP; sleep 9; exit 5');
  await d.must(['kill', '-s', 'HUP', 'survives']);
  expect(await lastOf('survives')).toMatchObject({ Cause: 'failed', ExitCode: 5 });
}, 120_000);

test('out of memory: of the first process, of a child, of an exec; told when it happens, with limit and use', async () => {
  const since = String(Date.now() / 1000);
  await run('first', LITTLE, 'tail', '/dev/zero');
  const first = await lastOf('first');
  expect(first).toMatchObject({ Cause: 'oom', ExitCode: 137, Signal: 9 });
  expect(first.OOM).toMatchObject({ LimitBytes: 16 << 20, Kills: 1 });
  expect(first.OOM?.UsageBytes).toBeGreaterThan(12 << 20);
  expect(first.Summary).toContain('the limit is 16 MiB');
  // The kernel's log can be read here; where it cannot, the name is missing and nothing else.
  if (kernelLogIsReadable()) expect(first.OOM?.Process).toBe('tail');
  expect(await d.must(['inspect', '-f', '{{.State.OOMKilled}}', 'first'])).toBe('true');

  await run('child', LITTLE, 'sh', '-c', 'tail /dev/zero; exit 6');
  const child = await lastOf('child');
  expect(child).toMatchObject({ Cause: 'failed', ExitCode: 6 });
  expect(child.Summary).toContain('before that a process in it ran out of memory');

  await run('goes-on', LITTLE, 'sleep', '1000');
  expect((await d.docker(['exec', 'goes-on', 'tail', '/dev/zero'])).code).toBe(137);
  // While it runs: dockerd says it at the end only.
  await eventually('it is said while it runs', async () => {
    return (await d.must(['inspect', '-f', '{{.State.Status}} {{.State.OOMKilled}}', 'goes-on'])) === 'running true';
  });
  const told = async (name: string): Promise<number> => {
    const until = String(Date.now() / 1000);
    const filters = ['--filter', 'event=oom', '--filter', `container=${name}`, '--format', '{{.Action}}'];
    return (await d.must(['events', '--since', since, '--until', until, ...filters]))
      .split('\n')
      .filter((l) => l !== '').length;
  };
  expect(await told('goes-on')).toBe(1);
  expect(await told('first')).toBe(1);
  // A start forgets it.
  await d.must(['restart', '-t', '0', 'goes-on']);
  expect(await d.must(['inspect', '-f', '{{.State.OOMKilled}}', 'goes-on'])).toBe('false');
}, 60_000);

test('the timeline of restarts, over a restart of the daemon and after removal; berth why tells it', async () => {
  await run('loops', ['--restart', 'on-failure:2'], 'sh', '-c', 'echo dying; exit 9');
  await eventually(
    'it gave up',
    async () => (await d.must(['inspect', '-f', '{{.State.Status}}', 'loops'])) === 'exited',
  );
  const timeline = (answer: Why): unknown[] =>
    answer.Endings.map((e) => [e.Cause, e.ExitCode, e.RestartAfterMs ?? null]);
  const expected = [
    ['failed', 9, null],
    ['failed', 9, 200],
    ['failed', 9, 100],
  ];
  expect(timeline(await why('loops'))).toEqual(expected);
  await d.must(['rm', 'loops']);
  await d.restart();
  const gone = await why('loops');
  expect(timeline(gone)).toEqual(expected);
  expect(gone).toMatchObject({ Status: 'removed', Name: '/loops' });
  const told = await d.berth(['why', 'loops']);
  expect(told.stdout).toContain('removed');
  expect(told.stdout).toContain('ended by itself with code 9');
  expect(told.stdout).toContain('    dying');
  expect((await d.berth(['why', '--format', 'json', 'loops'])).stdout).toContain('"Cause":"failed"');
  const nobody = await d.berth(['why', 'nobody']);
  expect(nobody).toMatchObject({ code: 1 });
  expect(nobody.stderr).toContain('No such container: nobody');
}, 60_000);

test('an end that nobody saw, and a stop whose end the daemon did not live to see', async () => {
  await run('lost', [], 'sleep', '1000');
  await run('asked', ['--stop-timeout', '20'], 'sh', '-c', 'trap "sleep 1; exit 0" TERM; while :; do sleep 0.1; done');
  const pid = await d.must(['inspect', '-f', '{{.State.Pid}}', 'asked']);
  const stopping = d.docker(['stop', 'asked']);
  await eventually('the stop is under way', async () => {
    const { body } = await d.request('GET', '/berth/jobs');
    return JSON.stringify(body).includes('"container.stop"');
  });
  await d.kill();
  await stopping;
  await eventually('it has ended', () => !fs.existsSync(`/proc/${pid}`));
  await d.launch();
  expect(await lastOf('asked')).toMatchObject({ Cause: 'stopped', ExitCode: 0 });
  await d.kill();
  for (const pid of d.monitors()) process.kill(pid, 'SIGKILL');
  await d.launch();
  expect(await lastOf('lost')).toMatchObject({ Cause: 'lost', ExitCode: 137 });
}, 60_000);
