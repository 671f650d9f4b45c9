/** `kill -9` of the daemon: containers go on, nothing of them is lost. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { eventually, SLOW } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

/** Seconds: after the commands that follow, on any machine. */
const SOON = String(0.5 * SLOW);
const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, SLOW * 60_000);
afterAll(() => d[Symbol.asyncDispose](), SLOW * 60_000);

test(
  'containers go on with their pid, name, logs, attach and exec',
  async () => {
    await d.must([
      'run',
      '-d',
      '-i',
      '--name',
      'survivor',
      '--network',
      'none',
      IMG,
      'sh',
      '-c',
      'echo before; while read x; do echo got $x; [ $x = two ] && exit 3; done',
    ]);
    const pid = await d.must(['inspect', '-f', '{{.State.Pid}}', 'survivor']);
    await d.restart();
    expect(await d.must(['inspect', '-f', '{{.State.Pid}} {{.State.Running}}', 'survivor'])).toBe(`${pid} true`);
    expect(await d.must(['exec', 'survivor', 'echo', 'in'])).toBe('in');
    const attached = await d.docker(['attach', 'survivor'], { input: 'one\ntwo\n' });
    expect(attached.stdout).toBe('got one\ngot two\n');
    expect(await d.must(['wait', 'survivor'])).toBe('3');
    expect(await d.must(['logs', 'survivor'])).toBe('before\ngot one\ngot two');
    await d.must(['rm', 'survivor']);
  },
  SLOW * 60_000,
);

test(
  'an exit while the daemon is down is known afterwards, with its code, output and --rm',
  async () => {
    await d.must([
      'run',
      '-d',
      '--name',
      'ends',
      '--network',
      'none',
      IMG,
      'sh',
      '-c',
      `sleep ${SOON}; echo late; exit 5`,
    ]);
    await d.must(['run', '-d', '--rm', '--name', 'vanishes', '--network', 'none', IMG, 'sleep', SOON]);
    const pid = Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'ends']));
    const other = Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'vanishes']));
    await d.kill();
    await eventually('both end', () => !fs.existsSync(`/proc/${pid}`) && !fs.existsSync(`/proc/${other}`));
    await d.launch();
    await eventually(
      'the exit is recorded',
      async () => (await d.must(['inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'ends'])) === 'exited 5',
    );
    expect(await d.must(['logs', 'ends'])).toBe('late');
    await eventually('--rm is kept', async () => (await d.must(['ps', '-aq', '--filter', 'name=vanishes'])) === '');
    await d.must(['rm', 'ends']);
  },
  SLOW * 60_000,
);

test(
  'numbered lines through 20 kills: none is missing, none is there twice',
  async () => {
    await d.must([
      'run',
      '-d',
      '--name',
      'counter',
      '--network',
      'none',
      IMG,
      'sh',
      '-c',
      'i=0; while :; do i=$((i+1)); echo $i; usleep 300; done',
    ]);
    for (let i = 0; i < 20; i++) {
      await Bun.sleep(50 + ((i * 37) % 100));
      await d.restart();
    }
    await d.must(['stop', '-t', '0', 'counter']);
    const numbers = (await d.must(['logs', 'counter'])).split('\n').map(Number);
    expect(numbers.length).toBeGreaterThan(1000);
    const wrong = numbers.findIndex((n, i) => n !== i + 1);
    expect(wrong === -1 ? 'all in order' : `${numbers[wrong - 1]} is followed by ${numbers[wrong]}`).toBe(
      'all in order',
    );
    await d.must(['rm', 'counter']);
  },
  SLOW * 120_000,
);

test(
  'SIGTERM ends the daemon with 0; containers go on',
  async () => {
    const id = await d.must(['run', '-d', '--network', 'none', IMG, 'sleep', '1000']);
    await d.restart('SIGTERM');
    expect(await d.must(['inspect', '-f', '{{.State.Running}}', id])).toBe('true');
    await d.must(['rm', '-f', id]);
  },
  SLOW * 60_000,
);

test(
  'kill -9 of the monitor: exit 137 with the reason, and new containers run',
  async () => {
    await d.must(['run', '-d', '--name', 'orphan', '--network', 'none', IMG, 'sleep', '1000']);
    const pid = Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'orphan']));
    for (const monitor of d.monitors()) process.kill(monitor, 'SIGKILL');
    await eventually(
      'the container is told dead',
      async () =>
        (await d.must(['inspect', '-f', '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}', 'orphan'])) ===
        'exited 137 monitor died',
    );
    await eventually(
      'its process is gone',
      () => !fs.existsSync(`/proc/${pid}/exe`) || fs.readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '),
    );
    expect(await d.must(['run', '--rm', '--network', 'none', IMG, 'echo', 'works'])).toBe('works');
    await d.must(['rm', 'orphan']);
  },
  SLOW * 60_000,
);

test(
  'exec inspect, events and names survive',
  async () => {
    await d.must(['run', '-d', '--name', 'named', '--network', 'none', IMG, 'sleep', '1000']);
    const created = await d.request('POST', '/containers/named/exec', { Cmd: ['sh', '-c', 'exit 6'] });
    const exec = String(Reflect.get(Object(created.body), 'Id'));
    await d.request('POST', `/exec/${exec}/start`, { Detach: true });
    await eventually(
      'the exec has ended',
      async () => Reflect.get(Object((await d.request('GET', `/exec/${exec}/json`)).body), 'Running') === false,
    );
    const since = '2020-01-01T00:00:00Z';
    await d.restart();
    const events = await d.must([
      'events',
      '--since',
      since,
      '--until',
      new Date().toISOString(),
      '--filter',
      'container=named',
      '--format',
      '{{.Action}}',
    ]);
    expect(events.split('\n').slice(0, 2)).toEqual(['create', 'start']);
    expect((await d.request('GET', `/exec/${exec}/json`)).body).toMatchObject({ ExitCode: 6, Running: false });
    const conflict = await d.docker(['run', '--name', 'named', '--network', 'none', IMG, 'true']);
    expect(conflict.stderr).toContain('is already in use by container');
    await d.must(['rm', '-f', 'named']);
  },
  SLOW * 60_000,
);
