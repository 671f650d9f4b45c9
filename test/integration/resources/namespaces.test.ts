/** ipc, pid, uts and cgroup namespaces: own, the host's, another container's, and what is refused; also after restarts. */
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

const inside = async (...args: string[]) => {
  const r = await d.docker(['run', '--rm', ...none, ...args]);
  return (r.stdout + r.stderr).trim();
};
const start = (name: string, ...flags: string[]) =>
  d.must(['run', '-d', '--name', name, ...none, ...flags, IMG, 'sleep', '1000']);
const namespaceOf = async (name: string, kind: string) =>
  fs.readlinkSync(`/proc/${await d.must(['inspect', '-f', '{{.State.Pid}}', name])}/ns/${kind}`);
const shm = () =>
  fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((l) => l.includes(`${d.execRoot}/shm`));

test('a shareable container lets others into its memory, for as long as they live', async () => {
  const id = await start('donor', '--ipc', 'shareable', '--shm-size', '3m');
  expect(shm()).toHaveLength(1);
  await d.must(['exec', 'donor', 'sh', '-c', 'echo from the donor > /dev/shm/x']);
  expect(await inside('--ipc', 'container:donor', IMG, 'cat', '/dev/shm/x')).toBe('from the donor');
  expect(
    await inside(
      '--ipc',
      `container:${id.slice(0, 12)}`,
      IMG,
      'sh',
      '-c',
      'df -k /dev/shm | grep -c 3072; readlink /proc/self/ns/ipc',
    ),
  ).toBe(`1\n${await namespaceOf('donor', 'ipc')}`);
  await start('guest', '--ipc', 'container:donor');
  await d.must(['exec', 'guest', 'sh', '-c', 'echo from the guest > /dev/shm/y']);
  expect(await d.must(['exec', 'donor', 'cat', '/dev/shm/y'])).toBe('from the guest');
  // A daemon that dies changes nothing.
  await d.restart();
  expect(await inside('--ipc', 'container:donor', IMG, 'cat', '/dev/shm/y')).toBe('from the guest');
  expect(shm()).toHaveLength(1);
  // The donor is started again: its memory is new, the guest has the old one until its own restart.
  await d.must(['restart', '-t', '0', 'donor']);
  expect((await d.docker(['exec', 'donor', 'cat', '/dev/shm/y'])).code).toBe(1);
  expect(await d.must(['exec', 'guest', 'cat', '/dev/shm/y'])).toBe('from the guest');
  await d.must(['restart', '-t', '0', 'guest']);
  expect(await namespaceOf('guest', 'ipc')).toBe(await namespaceOf('donor', 'ipc'));
  expect((await d.docker(['exec', 'guest', 'cat', '/dev/shm/y'])).code).toBe(1);
  await d.must(['rm', '-f', 'guest', 'donor']);
  expect(shm()).toEqual([]);
}, 60_000);

test('memory of a container that ended while no daemon ran is unmounted by the next', async () => {
  await start('gone', '--ipc', 'shareable');
  const pid = Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'gone']));
  await d.kill();
  process.kill(pid, 'SIGKILL');
  await d.launch();
  await eventually(
    'its end is seen',
    async () => (await d.must(['inspect', '-f', '{{.State.Status}}', 'gone'])) === 'exited',
  );
  await eventually('nothing is mounted', () => shm().length === 0);
  await d.restart('SIGTERM', { BERTH_FAILPOINTS: 'start.launched=kill' });
  await d.docker(['start', 'gone']);
  await d.ended();
  await d.launch();
  await eventually('nothing is mounted', () => shm().length === 0);
  await d.must(['rm', '-f', 'gone']);
}, 60_000);

test('private, none and host memory', async () => {
  expect(await inside('--ipc', 'none', IMG, 'sh', '-c', 'ls -d /dev/shm')).toContain('No such file');
  expect(await inside('--ipc', 'host', IMG, 'readlink', '/proc/self/ns/ipc')).toBe(
    fs.readlinkSync('/proc/self/ns/ipc'),
  );
  expect(await inside('--ipc', 'private', IMG, 'readlink', '/proc/self/ns/ipc')).not.toBe(
    fs.readlinkSync('/proc/self/ns/ipc'),
  );
});

test('what cannot be joined is refused in the words of dockerd', async () => {
  const closed = await start('closed');
  const idle = await d.must(['create', '--name', 'idle', '--ipc', 'shareable', ...none, IMG, 'true']);
  expect(await inside('--ipc', 'container:closed', IMG, 'true')).toContain(
    `failed to join IPC namespace: container ${closed}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
  );
  expect(await inside('--ipc', 'container:idle', IMG, 'true')).toContain(
    `failed to join IPC namespace: container ${idle} is not running`,
  );
  expect(await inside('--pid', 'container:idle', IMG, 'true')).toContain(`container ${idle} is not running`);
  const network = await d.docker(['run', '--rm', '--network', 'container:idle', IMG, 'true']);
  expect(network.stderr).toContain(`cannot join network of a non running container: ${idle}`);
  for (const kind of ['ipc', 'pid']) {
    expect(await inside(`--${kind}`, 'container:nosuch', IMG, 'true')).toContain('No such container: nosuch');
  }
  expect(await inside('--ipc', 'nope', IMG, 'true')).toContain('invalid IPC mode: nope');
  expect(await inside('--uts', 'host', '-h', 'x', IMG, 'true')).toContain(
    'conflicting options: hostname and the UTS mode',
  );
  await d.must(['rm', '-f', 'closed', 'idle']);
}, 60_000);

test('processes of another container are seen and signalled; after its restart the new ones', async () => {
  await start('donor');
  expect(await inside('--pid', 'container:donor', IMG, 'sh', '-c', 'ps | grep -c "sleep 1000"')).not.toBe('0');
  expect(await inside('--pid', 'container:donor', IMG, 'readlink', '/proc/self/ns/pid')).toBe(
    await namespaceOf('donor', 'pid'),
  );
  await d.must(['restart', '-t', '0', 'donor']);
  await d.restart();
  expect(await inside('--pid', 'container:donor', IMG, 'readlink', '/proc/self/ns/pid')).toBe(
    await namespaceOf('donor', 'pid'),
  );
  expect(await inside('--pid', 'host', IMG, 'readlink', '/proc/self/ns/pid')).toBe(
    fs.readlinkSync('/proc/self/ns/pid'),
  );
  await d.must(['rm', '-f', 'donor']);
}, 60_000);

test("the host's name, and a cgroup namespace of its own", async () => {
  expect(await inside('--uts', 'host', IMG, 'readlink', '/proc/self/ns/uts')).toBe(
    fs.readlinkSync('/proc/self/ns/uts'),
  );
  expect(await inside('--uts', 'host', IMG, 'hostname')).toBe(
    fs.readFileSync('/proc/sys/kernel/hostname', 'utf8').trim(),
  );
  expect(await inside('--cgroupns', 'host', IMG, 'readlink', '/proc/self/ns/cgroup')).toBe(
    fs.readlinkSync('/proc/self/ns/cgroup'),
  );
  expect(await inside('--cgroupns', 'private', IMG, 'readlink', '/proc/self/ns/cgroup')).not.toBe(
    fs.readlinkSync('/proc/self/ns/cgroup'),
  );
});
