/** update: live limits as the kernel has them, all or nothing, dockerd's refusals, and what goes beyond Docker. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { limitOf } from './group.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const start = (name: string, ...more: string[]) => d.must(['run', '-d', '--name', name, ...none, ...more]);
const host = (name: string, field: string) => d.must(['inspect', '-f', `{{json .HostConfig.${field}}}`, name]);

test('limits change while it runs, are seen by the kernel and by inspect, and are there after a restart', async () => {
  await start('live', IMG, 'sleep', '1000');
  await d.must([
    'update',
    '--cpus',
    '0.5',
    '-m',
    '64m',
    '--memory-swap',
    '128m',
    '--pids-limit',
    '50',
    '-c',
    '512',
    'live',
  ]);
  expect(await limitOf(d, 'live', 'quota')).toBe('50000');
  expect(await limitOf(d, 'live', 'shares', 512)).toBe('512');
  expect(await limitOf(d, 'live', 'memory')).toBe(String(64 << 20));
  expect(await limitOf(d, 'live', 'memory+swap')).toBe(String(128 << 20));
  expect(await limitOf(d, 'live', 'pids')).toBe('50');
  // Down again: memory goes first then.
  await d.must(['update', '-m', '32m', '--memory-swap', '40m', '--memory-reservation', '16m', 'live']);
  expect(await limitOf(d, 'live', 'memory')).toBe(String(32 << 20));
  expect(await limitOf(d, 'live', 'memory+swap')).toBe(String(40 << 20));
  expect(await limitOf(d, 'live', 'reservation')).toBe(String(16 << 20));
  await d.must(['update', '--memory-swap', '-1', '--cpuset-cpus', '0', '--pids-limit', '-1', 'live']);
  expect(await limitOf(d, 'live', 'memory+swap')).toBe('max');
  expect(await limitOf(d, 'live', 'cpus')).toBe('0');
  expect(await limitOf(d, 'live', 'pids')).toBe('max');
  expect(await host('live', 'MemorySwap')).toBe('-1');
  await d.must(['update', '--memory-swap', '48m', 'live']);
  await d.restart();
  await d.must(['restart', '-t', '0', 'live']);
  expect(await limitOf(d, 'live', 'memory')).toBe(String(32 << 20));
  expect(await limitOf(d, 'live', 'memory+swap')).toBe(String(48 << 20));
  expect(await limitOf(d, 'live', 'quota')).toBe('50000');
  expect(await limitOf(d, 'live', 'cpus')).toBe('0');
  await d.must(['rm', '-f', 'live']);
}, 60_000);

test('the process inside gets what was set: no more processes, then more again', async () => {
  await start('inside', '--pids-limit', '4', IMG, 'sleep', '1000');
  const many = ['exec', 'inside', 'sh', '-c', 'for i in 1 2 3 4 5 6; do sleep 2 & done; wait; echo all'];
  expect((await d.docker(many)).stderr).toContain("can't fork");
  await d.must(['update', '--pids-limit', '40', 'inside']);
  expect((await d.docker(many)).stdout).toContain('all');
  await d.must(['rm', '-f', 'inside']);
}, 60_000);

test('all or nothing: what the kernel refuses takes back what came before it', async () => {
  await start(
    'whole',
    '-m',
    '64m',
    '--memory-swap',
    '128m',
    '--cpu-shares',
    '700',
    IMG,
    'sh',
    '-c',
    'dd if=/dev/zero of=/dev/shm/x bs=1M count=20; echo done; sleep 1000',
  );
  await eventually('it has filled its memory', async () => (await d.must(['logs', 'whole'])).includes('done'));
  // 20 MB cannot be thrown away nor swapped: less than that is refused, and the swap limit before it is taken back.
  const r = await d.request('POST', '/v1.47/containers/whole/update', {
    Memory: 8 << 20,
    MemorySwap: 8 << 20,
    CpuShares: 300,
  });
  expect(r.status).toBeGreaterThanOrEqual(400);
  expect(JSON.stringify(r.body)).toMatch(/Cannot update container [0-9a-f]{64}: Cannot set memory\.limit/);
  expect(await limitOf(d, 'whole', 'memory')).toBe(String(64 << 20));
  expect(await limitOf(d, 'whole', 'memory+swap')).toBe(String(128 << 20));
  expect(await limitOf(d, 'whole', 'shares', 700)).toBe('700');
  expect([await host('whole', 'Memory'), await host('whole', 'CpuShares')]).toEqual([String(64 << 20), '700']);
  // A limit of a later controller that is refused: shares and memory go back.
  const rt = await d.request('POST', '/v1.47/containers/whole/update', {
    CpuShares: 300,
    Memory: 70 << 20,
    MemorySwap: 140 << 20,
    CpuRealtimeRuntime: 900_000,
    CpuRealtimePeriod: 1_000_000,
  });
  expect(rt.status).toBeGreaterThanOrEqual(400);
  expect(await limitOf(d, 'whole', 'memory')).toBe(String(64 << 20));
  expect(await limitOf(d, 'whole', 'shares', 700)).toBe('700');
  expect(await host('whole', 'CpuRealtimeRuntime')).toBe('0');
  await d.must(['rm', '-f', 'whole']);
}, 60_000);

test('a stopped container takes the limits with its next start; a paused one at once', async () => {
  await start('later', IMG, 'sleep', '1000');
  await d.must(['stop', '-t', '0', 'later']);
  await d.must(['update', '--cpu-shares', '300', 'later']);
  await d.must(['start', 'later']);
  expect(await limitOf(d, 'later', 'shares', 300)).toBe('300');
  await d.must(['pause', 'later']);
  await d.must(['update', '--cpu-shares', '400', 'later']);
  expect(await limitOf(d, 'later', 'shares', 400)).toBe('400');
  await d.must(['rm', '-f', 'later']);
}, 60_000);

test('what does not go together is refused in the words of dockerd', async () => {
  const id = await start('words', '--cpus', '0.5', IMG, 'sleep', '1000');
  const cases: [unknown, number, string][] = [
    [
      { CpuQuota: 20_000 },
      409,
      `Cannot update container ${id}: Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set`,
    ],
    [
      { Memory: 100 << 20 },
      409,
      `Cannot update container ${id}: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time`,
    ],
    [{ Memory: 1 }, 400, 'Minimum memory limit allowed is 6MB'],
    [{ NanoCpus: 1e6, CpuQuota: 2000 }, 400, 'Conflicting options: Nano CPUs and CPU Quota cannot both be set'],
    [{ CpuPeriod: 2 }, 400, 'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)'],
    [{ MemoryReservation: 1 }, 400, 'Minimum memory reservation allowed is 6MB'],
    [{ CpusetCpus: 'a' }, 400, 'Invalid value a for cpuset cpus: invalid format: a'],
    [{ RestartPolicy: { Name: 'bogus' } }, 400, "invalid restart policy: unknown policy 'bogus'"],
    [
      { RestartPolicy: { Name: 'always', MaximumRetryCount: 3 } },
      400,
      "maximum retry count can only be used with 'on-failure'",
    ],
  ];
  for (const [body, status, message] of cases) {
    const r = await d.request('POST', '/v1.47/containers/words/update', body);
    expect([body, r.status, JSON.stringify(r.body)]).toEqual([body, status, expect.stringContaining(message)]);
  }
  expect((await d.request('POST', '/v1.47/containers/nosuch/update', { CpuShares: 2 })).status).toBe(404);
  expect(await d.request('POST', '/v1.41/containers/words/update', { CpuShares: 512 })).toEqual({
    status: 200,
    body: { Warnings: null, Revision: 1 },
  });
  await d.must(['rm', '-f', 'words']);
  await d.must(['run', '-d', '--rm', '--name', 'auto', ...none, IMG, 'sleep', '1000']);
  const auto = await d.docker(['update', '--restart', 'always', 'auto']);
  expect(auto.stderr).toContain('Restart policy cannot be updated because AutoRemove is enabled for the container');
  await d.must(['rm', '-f', 'auto']);
}, 60_000);

test('what the kernel has not is a warning, and so is what no update can change', async () => {
  await start('warn', IMG, 'sleep', '1000');
  const r = await d.request('POST', '/v1.47/containers/warn/update', {
    BlkioWeight: 300,
    Devices: [{ PathOnHost: '/dev/null' }],
  });
  expect(r.status).toBe(200);
  const warnings = Reflect.get(Object(r.body), 'Warnings') as string[];
  expect(warnings).toContain('Devices cannot be changed by an update. Devices discarded.');
  if (warnings.length > 1) {
    expect(warnings).toContain(
      'Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.',
    );
    expect(await host('warn', 'BlkioWeight')).toBe('0');
  }
  await d.must(['rm', '-f', 'warn']);
}, 60_000);

test('the restart policy changes for the next end', async () => {
  await start('policy', IMG, 'sleep', '1000');
  await d.must(['update', '--restart', 'on-failure:3', 'policy']);
  expect(await host('policy', 'RestartPolicy')).toBe('{"Name":"on-failure","MaximumRetryCount":3}');
  const pid = Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'policy']));
  process.kill(pid, 'SIGKILL');
  await eventually(
    'it runs again',
    async () => (await d.must(['inspect', '-f', '{{.RestartCount}} {{.State.Status}}', 'policy'])) === '1 running',
  );
  await d.must(['update', '--restart', 'no', 'policy']);
  process.kill(Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'policy'])), 'SIGKILL');
  await eventually(
    'it has ended for good',
    async () => (await d.must(['inspect', '-f', '{{.State.Status}}', 'policy'])) === 'exited',
  );
  await d.must(['rm', '-f', 'policy']);
}, 60_000);

test('a crash in the middle of an update is completed by the next daemon', async () => {
  await start('cut', IMG, 'sleep', '1000');
  for (const [point, shares] of [
    ['update.recorded', '300'],
    ['update.applied', '400'],
  ] as const) {
    await d.restart('SIGTERM', { BERTH_FAILPOINTS: `${point}=kill` });
    await d.docker(['update', '--cpu-shares', shares, 'cut']);
    await d.ended();
    await d.launch();
    expect(await limitOf(d, 'cut', 'shares', Number(shares))).toBe(shares);
    expect(await host('cut', 'CpuShares')).toBe(shares);
  }
  await d.restart('SIGTERM', { BERTH_FAILPOINTS: 'update.applied=error' });
  expect((await d.docker(['update', '--cpu-shares', '500', 'cut'])).code).toBe(1);
  expect(await limitOf(d, 'cut', 'shares', 400)).toBe('400');
  expect(await host('cut', 'CpuShares')).toBe('400');
  await d.must(['rm', '-f', 'cut']);
}, 60_000);

test('environment, labels, back-off and log options, with a revision', async () => {
  await start('own', '-e', 'A=1', '-e', 'B=2', '--label', 'x=1', '--label', 'y=2', IMG, 'sleep', '1000');
  const pid = await d.must(['inspect', '-f', '{{.State.Pid}}', 'own']);
  const r = await d.berth([
    'update',
    '-e',
    'A=9',
    '-e',
    'C=3',
    '--unset-env',
    'B',
    '-l',
    'z=3',
    '--unset-label',
    'x',
    '--log-opt',
    'max-size=1m',
    '--restart-first-wait',
    '1s',
    '--health-cmd',
    'true',
    '--revision',
    '0',
    'own',
  ]);
  expect(r.stdout + r.stderr).toBe('own\n');
  // The container was left alone.
  expect(await d.must(['inspect', '-f', '{{.State.Pid}}', 'own'])).toBe(pid);
  expect(
    await d.must([
      'inspect',
      '-f',
      '{{json .Config.Labels}} {{json .HostConfig.LogConfig.Config}} {{json .Config.Healthcheck.Test}}',
      'own',
    ]),
  ).toBe('{"y":"2","z":"3"} {"max-size":"1m"} ["CMD-SHELL","true"]');
  expect(await d.must(['ps', '-q', '--no-trunc', '--filter', 'label=z=3'])).not.toBe('');
  expect(await d.must(['exec', 'own', 'sh', '-c', 'echo $A $B $C'])).toBe('9 3');
  const inspected = await d.request('GET', '/v1.47/containers/own/json');
  expect(Reflect.get(Object(inspected.body), 'Berth')).toEqual({ Revision: 1, RestartBackoff: { FirstMs: 1000 } });
  const stale = await d.berth(['update', '-l', 'z=4', '--revision', '0', 'own']);
  expect(stale.code).toBe(1);
  expect(stale.stderr).toContain('it has revision 1 by now, the change was made for 0');
  expect((await d.berth(['update', '--log-opt', 'nonsense=1', 'own'])).code).toBe(1);
  expect((await d.berth(['update', 'own'])).stderr).toContain(
    'you must provide one or more flags when using this command',
  );
  await d.restart();
  await d.must(['restart', '-t', '0', 'own']);
  expect(await d.must(['exec', 'own', 'sh', '-c', 'tr "\\0" "\\n" < /proc/1/environ | grep -E "^[ABC]="'])).toBe(
    'A=9\nC=3',
  );
  await d.must(['rm', '-f', 'own']);
}, 60_000);
