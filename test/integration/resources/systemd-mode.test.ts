/** `--security-opt writable-cgroups` and podman's `--systemd`: what a service manager finds as a container's first process. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const v2 = existsSync('/sys/fs/cgroup/cgroup.controllers');
/** A group that every kind of host has inside. */
const group = v2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
const tries = `mkdir ${group}/mine && rmdir ${group}/mine`;

test('cgroups are read-only, unless it is said otherwise', async () => {
  const code = async (...options: string[]) =>
    (await d.docker(['run', '--rm', ...none, ...options, IMG, 'sh', '-c', tries])).code;
  expect(await code()).not.toBe(0);
  expect(await code('--security-opt', 'writable-cgroups=true')).toBe(0);
  expect(await code('--security-opt', 'writable-cgroups=false')).not.toBe(0);
  expect(await code('--privileged')).toBe(0);
  expect(await code('--privileged', '--security-opt', 'writable-cgroups=false')).not.toBe(0);
  const wrong = await d.docker(['create', '--security-opt', 'writable-cgroups=x', IMG]);
  expect(wrong.stderr).toContain('invalid --security-opt 2: "writable-cgroups=x"');
  const mapped = await d.docker([
    'create',
    ...['--security-opt', 'writable-cgroups=true', '--security-opt', 'userns=auto'],
    IMG,
  ]);
  expect(mapped.stderr).toContain('option WritableCgroups conflicts with user namespaces');
}, 60_000);

test('--systemd: temporary file systems, a cgroup to write to, the signal that systemd ends by', async () => {
  const script = `
    trap 'echo ended; exit 0' 37
    for at in /run /run/lock /tmp; do grep -c " $at tmpfs rw," /proc/mounts; done
    echo "$container \${#container_uuid}"
    cat /proc/self/cgroup | cut -d: -f3 | sort -u
    for group in ${group} /sys/fs/cgroup/systemd; do
      [ ! -d $group ] || { mkdir $group/mine && echo $$ > $group/mine/cgroup.procs && echo "in mine"; }
    done
    echo ready
    while :; do sleep 0.1; done`;
  const made = await d.berth([
    'run',
    '-d',
    '--name',
    'managed',
    ...none,
    '--systemd',
    'always',
    IMG,
    'sh',
    '-c',
    script,
  ]);
  expect([made.code, made.stderr]).toEqual([0, '']);
  const inspected = await d.must(['inspect', '-f', '{{.Config.StopSignal}} {{.HostConfig.CgroupnsMode}}', 'managed']);
  expect(inspected).toBe('SIGRTMIN+3 private');
  await eventually('it is ready', async () => (await d.must(['logs', 'managed'])).endsWith('ready'));
  await d.must(['stop', '-t', '40', 'managed']);
  const groups = existsSync('/sys/fs/cgroup/systemd') ? 'in mine\nin mine' : 'in mine';
  expect(await d.must(['logs', 'managed'])).toBe(`1\n1\n1\noci 32\n/\n${groups}\nready\nended`);
  expect(await d.must(['inspect', '-f', '{{.State.ExitCode}}', 'managed'])).toBe('0');
  await d.must(['rm', 'managed']);
}, 60_000);

test('exec and health probes go where the first process went, when its root gives controllers away', async () => {
  const script = v2
    ? 'cd /sys/fs/cgroup; mkdir init; until test -e /go; do sleep 0.1; done; echo 1 >init/cgroup.procs; until echo "+memory +pids" 2>/dev/null >cgroup.subtree_control; do sleep 0.1; done; touch /gave; sleep 1000'
    : 'until test -e /go; do sleep 0.1; done; touch /gave; sleep 1000';
  const health = ['--health-cmd', 'test -e /gave', '--health-interval', '1s', '--health-retries', '1000'];
  const options = ['--security-opt', 'writable-cgroups=true', ...health];
  await d.must(['run', '-d', '--name', 'nested', ...none, ...options, IMG, 'sh', '-c', script]);
  // A probe before the change too: what is kept of it must not hold the next one up.
  const probes = () => d.must(['inspect', '-f', '{{len .State.Health.Log}}', 'nested']);
  await eventually('it is probed', async () => (await probes()) !== '0');
  await d.must(['exec', 'nested', 'touch', '/go']);
  await eventually(
    'it is healthy',
    async () => (await d.must(['inspect', '-f', '{{.State.Health.Status}}', 'nested'])) === 'healthy',
  );
  if (v2) expect(await d.must(['exec', 'nested', 'cat', '/proc/self/cgroup'])).toBe('0::/init');
  expect(await d.must(['exec', 'nested', 'echo', 'inside'])).toBe('inside');
  await d.must(['rm', '-f', 'nested']);
}, 60_000);

test('--systemd true is for inits only; a label does the same; an image cannot ask for it', async () => {
  const stopSignal = async (...args: string[]) => {
    const id = (await d.berth(['create', ...none, ...args])).stdout.trim();
    return d.must(['inspect', '-f', '[{{.Config.StopSignal}}]', id]);
  };
  expect(await stopSignal('--systemd', 'true', IMG, 'sh')).toBe('[]');
  expect(await stopSignal('--systemd', 'true', IMG, '/sbin/init')).toBe('[SIGRTMIN+3]');
  expect(await stopSignal('--label', 'berth.systemd=always', IMG, 'sh')).toBe('[SIGRTMIN+3]');
  expect(await stopSignal(IMG, '/sbin/init')).toBe('[]');
  const id = await d.must(['create', IMG, 'true']);
  await d.must(['commit', '--change', 'LABEL berth.systemd=always', id, 'asks:1']);
  expect(await stopSignal('asks:1', '/sbin/init')).toBe('[]');
  const wrong = await d.berth(['create', '--systemd', 'yes', IMG]);
  expect(wrong.stderr).toContain('it must be one of true, false, always');
}, 60_000);
