/** What the daemon starts by itself: restart policies over its own death, and the order that Compose asked for. */
import { afterEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { Database } from 'bun:sqlite';
import * as path from 'node:path';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon | undefined;
afterEach(async () => {
  await d?.[Symbol.asyncDispose]();
  d = undefined;
}, 60_000);

const started = async (): Promise<TestDaemon> => {
  d = await TestDaemon.start({ noBridge: true });
  return d;
};

interface State {
  readonly Status: string;
  readonly Running: boolean;
  readonly Restarting: boolean;
  readonly ExitCode: number;
  readonly StartedAt: string;
  readonly FinishedAt: string;
  readonly RestartCount: number;
}

/** By the API: quick enough to see what does not last. */
async function stateOf(daemon: TestDaemon, name: string): Promise<State> {
  const { body } = await daemon.request('GET', `/v1.51/containers/${name}/json`);
  // as: what the route is documented to answer.
  const { State: state, RestartCount } = body as { State: State; RestartCount: number };
  return { ...state, RestartCount };
}

test('a policy tries, waits longer each time, gives up, and begins anew for the user', async () => {
  const daemon = await started();
  const run = ['run', '-d', '--network', 'none'];
  await daemon.must([...run, '--name', 'twice', '--restart', 'on-failure:2', IMG, 'sh', '-c', 'exit 3']);
  const ended = async (): Promise<State | undefined> => {
    const state = await stateOf(daemon, 'twice');
    return state.Status === 'exited' ? state : undefined;
  };
  expect(await eventually('it gave up', ended)).toMatchObject({ RestartCount: 2, ExitCode: 3, Running: false });
  await daemon.must(['start', 'twice']);
  expect(await eventually('it gave up again', ended)).toMatchObject({ RestartCount: 2 });
  await daemon.must([...run, '--name', 'loops', '--restart', 'always', IMG, 'sh', '-c', 'exit 4']);
  const waiting = await eventually('it waits', async () => {
    const state = await stateOf(daemon, 'loops');
    return state.Restarting && state.RestartCount >= 4 ? state : undefined;
  });
  // As dockerd: it counts as running between two starts.
  expect(waiting).toMatchObject({ Status: 'restarting', Running: true, ExitCode: 4 });
  expect(await daemon.must(['ps', '--format', '{{.Status}}', '--filter', 'name=loops'])).toMatch(/^Restarting \(4\) /);
  // A start in between is the user's.
  await daemon.must(['start', 'loops']);
  await eventually('counted anew', async () => (await stateOf(daemon, 'loops')).RestartCount < 4);
  await daemon.must(['stop', 'loops']);
  expect(await stateOf(daemon, 'loops')).toMatchObject({ Status: 'exited', Running: false });
}, 60_000);

test('a back-off of one’s own; it goes on where it was after kill -9 of the daemon, and nothing is counted twice', async () => {
  const daemon = await started();
  const slow = ['--label', 'berth.restart.backoff=30s,factor=3'];
  await daemon.must(['run', '-d', '--name', 'slow', '--network', 'none', '--restart', 'always', ...slow, IMG, 'false']);
  const waits = (): Promise<State> =>
    eventually('it waits', async () => {
      const state = await stateOf(daemon, 'slow');
      return state.Restarting ? state : undefined;
    });
  const before = await waits();
  await daemon.restart();
  expect(await waits()).toMatchObject({ RestartCount: 1, FinishedAt: before.FinishedAt, StartedAt: before.StartedAt });
  await daemon.must(['stop', 'slow']);
  const quick = ['--label', 'berth.restart.backoff=10ms,max=20ms'];
  await daemon.must([
    'run',
    '-d',
    '--name',
    'quick',
    '--network',
    'none',
    '--restart',
    'always',
    ...quick,
    IMG,
    'false',
  ]);
  await eventually('many restarts', async () => (await stateOf(daemon, 'quick')).RestartCount >= 8, 30_000);
  // Between two starts as well as in the middle of one.
  await daemon.must(['rm', '-f', 'quick']);
  const wrong = await daemon.docker(['create', '--label', 'berth.restart.backoff=fast', IMG]);
  expect(wrong.stderr).toContain('invalid label berth.restart.backoff=fast');
}, 60_000);

/** The next start of the daemon takes it for one after a boot. */
async function reboot(daemon: TestDaemon): Promise<void> {
  await daemon.kill();
  for (const pid of daemon.monitors()) process.kill(pid, 'SIGKILL');
  using db = new Database(path.join(daemon.dataRoot, 'graph.db'));
  db.run(`UPDATE entities SET document = '{"id":"another"}' WHERE kind = 'daemon' AND id = 'boot'`);
  db.close();
  await daemon.launch();
}

test('after a boot dependencies are up and healthy before what needs them; circles and gaps do not block', async () => {
  const daemon = await started();
  const shared = path.join(daemon.directory, 'shared');
  fs.mkdirSync(shared);
  const service = (name: string, on: string, flags: readonly string[], script: string): Promise<string> =>
    daemon.must([
      ...['run', '-d', '--name', name, '--network', 'none', '--restart', 'unless-stopped', '-v', `${shared}:/shared`],
      ...['--label', 'com.docker.compose.project=shop', '--label', `com.docker.compose.service=${name}`],
      ...(on === '' ? [] : ['--label', `com.docker.compose.depends_on=${on}`]),
      ...[...flags, IMG, 'sh', '-c', `echo ${name} >> /shared/order; ${script}`],
    ]);
  const health = ['--health-cmd', 'test -e /tmp/up', '--health-interval', '200ms', '--stop-timeout', '1'];
  // Started against the order that is asked for.
  await service(
    'web',
    'db:service_healthy:true,gone:service_started:false',
    ['--stop-timeout', '1'],
    'exec sleep 1000',
  );
  await service(
    'db',
    'base:service_started:false',
    health,
    'rm -f /tmp/up; sleep 1; echo db-up >> /shared/order; touch /tmp/up; exec sleep 1000',
  );
  await service('base', 'base2:service_started:false', ['--stop-timeout', '1'], 'exec sleep 1000');
  await service('base2', 'base:service_started:false', ['--stop-timeout', '1'], 'exec sleep 1000');
  await eventually('the database is up', async () => {
    return (await daemon.must(['ps', '--format', '{{.Names}}', '--filter', 'health=healthy'])) === 'db';
  });
  fs.writeFileSync(path.join(shared, 'order'), '');
  await reboot(daemon);
  const order = await eventually(
    'all are up',
    () => {
      const lines = fs.readFileSync(path.join(shared, 'order'), 'utf8').trim().split('\n');
      return lines.length === 5 ? lines : undefined;
    },
    30_000,
  );
  expect(order.slice(2)).toEqual(['db', 'db-up', 'web']);
  expect(order.slice(0, 2).sort()).toEqual(['base', 'base2']);
  // Backwards when the system goes down.
  const since = String(Date.now() / 1000);
  expect((await daemon.request('POST', '/berth/shutdown')).status).toBe(204);
  const died = await daemon.must([
    ...['events', '--since', since, '--until', String(Date.now() / 1000), '--filter', 'event=die'],
    ...['--format', '{{.Actor.Attributes.name}}'],
  ]);
  const names = died.split('\n');
  expect(names.slice(0, 2)).toEqual(['web', 'db']);
  expect(names.length).toBe(4);
}, 90_000);

test('health and its schedule go on over kill -9 of the daemon, also in the middle of a probe', async () => {
  const daemon = await started();
  const flags = ['--health-interval', '300ms', '--health-timeout', '60s', '--health-retries', '1'];
  const run = (name: string, command: string): Promise<string> =>
    daemon.must([
      'run',
      '-d',
      '--name',
      name,
      '--network',
      'none',
      '--health-cmd',
      command,
      ...flags,
      IMG,
      'sleep',
      '1000',
    ]);
  await run('good', 'true');
  await run('hangs', 'sleep 987');
  const health = async (name: string): Promise<{ Status: string; Log: { End: string }[] }> =>
    // as: what inspect prints.
    JSON.parse(await daemon.must(['inspect', '-f', '{{json .State.Health}}', name])) as never;
  await eventually('healthy', async () => (await health('good')).Status === 'healthy');
  const probes = async (): Promise<string[]> =>
    (await daemon.must(['top', 'hangs']))
      .split('\n')
      .filter((line) => line.includes('sleep 987') && !line.includes('sh -c'));
  await eventually('a probe hangs', async () => (await probes()).length === 1);
  const [before] = await probes();
  await daemon.restart();
  expect((await health('good')).Status).toBe('healthy');
  expect((await health('hangs')).Status).toBe('starting');
  const at = (await health('good')).Log.at(-1)?.End;
  await eventually('probed again', async () => (await health('good')).Log.at(-1)?.End !== at);
  // The one of the dead daemon was ended, another hangs now.
  await eventually('another hangs', async () => {
    const now = await probes();
    return now.length === 1 && now[0] !== before;
  });
}, 60_000);
