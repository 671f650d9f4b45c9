/** Limits given at create are what the process inside sees and gets; what the kernel has not is told. cgroup v1 host. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { busyboxImage } from '../../support/base-images.ts';
import { eventually, run } from '../../support/command.ts';
import { BERTHD, TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const inside = (flags: readonly string[], script: string) =>
  d.docker(['run', '--rm', ...none, ...flags, IMG, 'sh', '-c', script]);
const v1 = fs.existsSync('/sys/fs/cgroup/memory/memory.limit_in_bytes');
/** The container's own group is what it sees below /sys/fs/cgroup on v1. */
const file = (controller: string, name: string) => `cat /sys/fs/cgroup/${controller}/${name}`;
const group = (name: string) => `cat /sys/fs/cgroup/${name}`;
type Row = readonly [flags: readonly string[], script: string, expected: string];

const ofV1: readonly Row[] = [
  [['-m', '20m'], file('memory', 'memory.limit_in_bytes'), String(20 << 20)],
  [['-m', '20m'], file('memory', 'memory.memsw.limit_in_bytes'), String(40 << 20)],
  [['-m', '20m', '--memory-swap', '-1'], file('memory', 'memory.memsw.limit_in_bytes'), '9223372036854771712'],
  [['--memory-reservation', '16m'], file('memory', 'memory.soft_limit_in_bytes'), String(16 << 20)],
  [['--memory-swappiness', '7'], file('memory', 'memory.swappiness'), '7'],
  [['-m', '20m', '--oom-kill-disable'], `${file('memory', 'memory.oom_control')} | head -1`, 'oom_kill_disable 1'],
  [['-c', '300'], file('cpu', 'cpu.shares'), '300'],
  [['--cpus', '0.25'], file('cpu', 'cpu.cfs_quota_us'), '25000'],
  [['--cpu-period', '50000', '--cpu-quota', '10000'], file('cpu', 'cpu.cfs_period_us'), '50000'],
  [['--cpuset-mems', '0'], file('cpuset', 'cpuset.mems'), '0'],
  [['--pids-limit', '9'], file('pids', 'pids.max'), '9'],
  [['--pids-limit', '-5'], file('pids', 'pids.max'), 'max'],
];
const ofV2: readonly Row[] = [
  [['-m', '20m'], group('memory.max'), String(20 << 20)],
  [['-m', '20m'], group('memory.swap.max'), String(20 << 20)],
  [['-m', '20m', '--memory-swap', '20m'], group('memory.swap.max'), '0'],
  [['-m', '20m', '--memory-swap', '-1'], group('memory.swap.max'), 'max'],
  [['--memory-reservation', '16m'], group('memory.low'), String(16 << 20)],
  [['-c', '300'], group('cpu.weight'), '39'],
  [['--cpus', '0.25'], group('cpu.max'), '25000 100000'],
  [['--cpu-period', '50000', '--cpu-quota', '10000'], group('cpu.max'), '10000 50000'],
  [['--cpuset-cpus', '1'], group('cpuset.cpus.effective'), '1'],
  [['--cpuset-mems', '0'], group('cpuset.mems'), '0'],
  [['--pids-limit', '9'], group('pids.max'), '9'],
  [['--pids-limit', '-5'], group('pids.max'), 'max'],
  // The container's own group is the root of what it sees, and it cannot write there.
  [[], 'cat /proc/self/cgroup; mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused', '0::/\nrefused'],
  [['--cgroupns', 'host'], 'grep -c "^0::/berth.*/[0-9a-f]*$" /proc/self/cgroup', '1'],
];
const ofBoth: readonly Row[] = [
  [['--cpuset-cpus', '1'], 'grep Cpus_allowed_list /proc/self/status | tr -d "\\t"', 'Cpus_allowed_list:1'],
  [['--shm-size', '1m'], 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2', '1024'],
  [['--ulimit', 'nofile=100:200'], 'ulimit -Sn; ulimit -Hn', '100\n200'],
  [['--oom-score-adj', '500'], 'cat /proc/self/oom_score_adj', '500'],
  [['--group-add', 'crew', '--group-add', '4242'], 'id -G | cut -d" " -f2-', '2000 4242'],
  [['--sysctl', 'kernel.shmmni=77'], 'cat /proc/sys/kernel/shmmni', '77'],
  [['--cgroupns', 'private'], 'cut -d: -f3 /proc/self/cgroup | sort -u', '/'],
];

test.each([...(v1 ? ofV1 : ofV2), ...ofBoth])('%j: %s', async (flags, script, expected) => {
  const r = await inside(flags, script);
  expect({ code: r.code, stdout: r.stdout.trim() }).toEqual({ code: 0, stdout: expected });
});

test('a program that takes more memory than it may is killed, and so it is told', async () => {
  await d.docker([
    'run',
    '--name',
    'oom',
    ...none,
    '-m',
    '12m',
    '--memory-swap',
    '12m',
    IMG,
    'sh',
    '-c',
    'x=$(yes | head -c 40000000); echo $x | wc -c',
  ]);
  expect(await d.must(['inspect', '-f', '{{.State.OOMKilled}}', 'oom'])).toBe('true');
  await d.must(['rm', 'oom']);
}, 30_000);

test('half a processor is half a processor', async () => {
  const id = await d.must(['run', '-d', ...none, '--cpus', '0.5', IMG, 'sh', '-c', 'while :; do :; done']);
  const pid = await d.must(['inspect', '-f', '{{.State.Pid}}', id]);
  const usedMs = () => {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10;
  };
  const [before, started] = [usedMs(), performance.now()];
  await Bun.sleep(1_500);
  // On a busy machine it may get less, never more.
  const share = (usedMs() - before) / (performance.now() - started);
  expect(share).toBeLessThan(0.6);
  expect(share).toBeGreaterThan(0.02);
  await d.must(['rm', '-f', id]);
}, 30_000);

test('an unlimited fork bomb ends at its limit', async () => {
  const r = await inside(['--pids-limit', '6'], 'for i in 1 2 3 4 5 6 7 8 9; do sleep 3 & done; wait');
  expect(r.stderr).toContain("can't fork");
}, 30_000);

test('what this kernel has not is discarded with a warning, in the words of dockerd', async () => {
  const r = await d.request('POST', '/v1.41/containers/create?name=warned', {
    Image: IMG,
    Cmd: ['true'],
    HostConfig: { NetworkMode: 'none', KernelMemory: 50 << 20, BlkioWeight: 300, OomKillDisable: true },
  });
  expect(r.status).toBe(201);
  const warnings = Reflect.get(Object(r.body), 'Warnings') as string[];
  expect(warnings).toContain(
    'Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.',
  );
  expect(
    warnings.some(
      (warning) => warning.includes('OOM killer is disabled') || warning.includes('OomKillDisable discarded'),
    ),
  ).toBe(true);
  if (v1 && !fs.existsSync('/sys/fs/cgroup/blkio/blkio.bfq.weight')) {
    expect(warnings).toContain(
      'Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.',
    );
    expect(await d.must(['inspect', '-f', '{{.HostConfig.BlkioWeight}}', 'warned'])).toBe('0');
  }
  await d.must(['rm', 'warned']);
});

test('real-time runtime beyond what the parent has is refused; the daemon keys give it some', async () => {
  const rt = ['--cpu-rt-runtime', '2000', '--cpu-rt-period', '1000000'];
  const refused = await inside(rt, 'true');
  expect(refused.code).not.toBe(0);
  if (!fs.existsSync('/sys/fs/cgroup/cpu/cpu.rt_runtime_us')) return;
  expect(refused.stderr).toContain('cpu.realtimeRuntime');
  await using own = await TestDaemon.start({
    noBridge: true,
    args: ['--cpu-rt-runtime', '20000', '--cpu-rt-period', '1000000'],
  });
  const r = await own.docker(['run', '--rm', ...none, ...rt, IMG, 'cat', '/sys/fs/cgroup/cpu/cpu.rt_runtime_us']);
  expect(r.stdout + r.stderr).toBe('2000\n');
  const both = await own.docker(['run', '--rm', ...none, '--cpu-rt-runtime', '9', '--cpu-rt-period', '5', IMG, 'true']);
  expect(both.stderr).toContain('cpu real-time runtime cannot be higher than cpu real-time period');
}, 60_000);

test.if(v1)(
  'a cgroup parent of its own; what leads out of the hierarchy begins at its root',
  async () => {
    const parent = `berth-test-parent-${process.pid}`;
    const groups = fs.readdirSync('/sys/fs/cgroup').map((controller) => `/sys/fs/cgroup/${controller}/${parent}`);
    try {
      for (const asked of [parent, `/${parent}/below`, `../../${parent}`]) {
        const r = await inside(['--cgroup-parent', asked], 'grep pids: /proc/self/cgroup');
        const where = asked.includes('below') ? `/${parent}/below/` : `/${parent}/`;
        expect(r.stdout + r.stderr).toMatch(new RegExp(`${where}[0-9a-f]{64}\n$`));
      }
      // After a crash of the daemon its groups are found there too.
      await d.must([
        'run',
        '-d',
        '--name',
        'parent',
        ...none,
        '--cgroup-parent',
        parent,
        '-m',
        '20m',
        IMG,
        'sleep',
        '1000',
      ]);
      await d.restart();
      await d.must(['rm', '-f', 'parent']);
      expect(
        fs
          .readdirSync(`/sys/fs/cgroup/pids/${parent}`, { withFileTypes: true })
          .filter((e) => e.isDirectory())
          .map((e) => e.name),
      ).toEqual(['below']);
    } finally {
      for (const group of groups)
        for (const path of [`${group}/below`, group]) if (fs.existsSync(path)) fs.rmdirSync(path);
    }
  },
  60_000,
);

test('keys of the daemon are what containers get that do not say', async () => {
  const profile = `${d.directory}/profile.json`;
  const parent = `berth-test-default-${process.pid}`;
  fs.writeFileSync(
    profile,
    JSON.stringify({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }],
    }),
  );
  const own = new TestDaemon({ noBridge: true });
  fs.writeFileSync(
    `${own.directory}/daemon.json`,
    JSON.stringify({
      'default-ulimits': { nofile: { Name: 'nofile', Soft: 111, Hard: 222 } },
      'default-shm-size': '2m',
      'default-ipc-mode': 'shareable',
      'default-cgroupns-mode': 'private',
      'seccomp-profile': profile,
      ...(v1 ? { 'cgroup-parent': parent } : {}),
      'cdi-spec-dirs': ['/nosuch/cdi'],
      runtimes: { mine: { path: '/bin/true', runtimeArgs: ['--debug'] } },
    }),
  );
  try {
    await using daemon = own;
    await daemon.launch();
    await daemon.must(['load', '-q', '-i', (await busyboxImage()).path]);
    const start = (...args: string[]) => daemon.docker(['run', '--rm', ...none, ...args]);
    expect(
      (
        await start(
          IMG,
          'sh',
          '-c',
          'ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2; cut -d: -f3 /proc/self/cgroup | sort -u; mkdir /x',
        )
      ).stdout,
    ).toBe('111\n222\n2048\n/\n');
    expect(
      (
        await start(
          '--ulimit',
          'nofile=50:60',
          '--shm-size',
          '1m',
          '--cgroupns',
          'host',
          IMG,
          'sh',
          '-c',
          `ulimit -Hn; df -k /dev/shm | grep -c 1024; grep -c ${v1 ? parent : 'berth'} /proc/self/cgroup`,
        )
      ).stdout,
    ).toMatch(/^60\n1\n[1-9]/);
    expect((await start(IMG, 'mkdir', '/x')).stderr).toContain('Operation not permitted');
    expect((await start('--security-opt', 'seccomp=unconfined', IMG, 'mkdir', '/x')).code).toBe(0);
    expect((await start('--security-opt', 'seccomp=builtin', IMG, 'mkdir', '/x')).code).toBe(0);
    const id = await daemon.must(['create', ...none, IMG]);
    expect(
      await daemon.must([
        'inspect',
        '-f',
        '{{.HostConfig.IpcMode}} {{.HostConfig.ShmSize}} {{.HostConfig.CgroupnsMode}}',
        id,
      ]),
    ).toBe('shareable 2097152 private');
    expect(
      await daemon.must(['info', '-f', '{{json .CDISpecDirs}} {{json .Runtimes.mine}} [{{len .SecurityOptions}}']),
    ).toMatch(`["/nosuch/cdi"] {"path":"/bin/true","runtimeArgs":["--debug"]} [`);
    expect(await daemon.must(['info', '-f', '{{json .SecurityOptions}}'])).toContain(`name=seccomp,profile=${profile}`);
    // Reread at SIGHUP: another runtime, and none of the old name.
    fs.writeFileSync(
      `${own.directory}/daemon.json`,
      JSON.stringify({ runtimes: { other: { path: '/nosuch/runtime' } } }),
    );
    process.kill(daemon.pid, 'SIGHUP');
    await eventually('the runtimes are reread', async () =>
      (await daemon.must(['info', '-f', '{{json .Runtimes}}'])).includes('/nosuch/runtime'),
    );
    expect((await start('--runtime', 'mine', IMG, 'true')).stderr).toContain('unknown or invalid runtime name: mine');
    expect((await start('--runtime', 'other', IMG, 'true')).stderr).toContain(
      'exec: "/nosuch/runtime": no such file or directory',
    );
  } finally {
    for (const controller of fs.readdirSync('/sys/fs/cgroup')) {
      const group = `/sys/fs/cgroup/${controller}/${parent}`;
      if (fs.existsSync(group)) fs.rmdirSync(group);
    }
  }
}, 60_000);

test('a wrong default ends the start of the daemon, by its name', async () => {
  const directory = fs.mkdtempSync('/tmp/berth-wrong-');
  const [program = '', ...first] = BERTHD;
  const roots = ['--data-root', `${directory}/data`, '--exec-root', `${directory}/exec`, '--bridge', 'none'];
  const files = ['-H', `unix://${directory}/sock`, '--pidfile', `${directory}/pid`];
  try {
    for (const [args, message] of [
      [['--default-ulimit', 'nope=1'], 'invalid ulimit type: nope'],
      [['--seccomp-profile', '/nosuch'], 'opening seccomp profile (/nosuch) failed'],
      [['--default-ipc-mode', 'host'], 'IPC mode "host" is not supported as default value'],
    ] as const) {
      const r = await run(program, [...first, ...roots, ...files, ...args], { limitMs: 20_000 });
      expect(r.code).toBe(1);
      expect(r.stderr).toContain(message);
    }
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}, 60_000);
