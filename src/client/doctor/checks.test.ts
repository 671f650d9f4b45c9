import { expect, test } from 'bun:test';
import { findings, type Machine } from './checks.ts';

const good: Readonly<Record<string, string>> = {
  '/proc/sys/kernel/osrelease': '6.1.0-18-amd64',
  '/proc/filesystems': 'nodev\tsysfs\nnodev\toverlay',
  '/sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory hugetlb pids rdma',
  '/proc/sys/kernel/seccomp/actions_avail': 'kill errno',
  '/usr/lib/x86_64-linux-gnu/libseccomp.so.2': '',
  '/usr/lib/x86_64-linux-gnu/libnftables.so.1': '',
  '/proc/modules': 'nf_tables 1 2 - Live 0x0',
  '/proc/sys/net/ipv4/ip_forward': '1',
  '/proc/sys/user/max_user_namespaces': '15000',
  '/proc/sys/fs/inotify/max_user_instances': '1024',
  '/run/berth.sock': '',
};

function machine(changes: Readonly<Record<string, string | undefined>> = {}, free = 100 * 2 ** 30): Machine {
  const files: Record<string, string | undefined> = { ...good, ...changes };
  return {
    uid: 0,
    read: (file) => files[file] ?? '',
    exists: (file) => files[file] !== undefined,
    freeBytes: () => free,
  };
}

const options = { dataRoot: '/var/lib/berth', socket: '/run/berth.sock', nowMs: Date.UTC(2027, 0, 1) };
const bad = (m: Machine, o = options) => findings(m, o).filter((one) => one.verdict !== 'ok');

test('a good machine has nothing to mend', () => expect(bad(machine())).toEqual([]));

for (const [what, changes, name, verdict, fix] of [
  ['an old kernel', { '/proc/sys/kernel/osrelease': '5.4.0' }, 'kernel', 'failure', 'newer kernel'],
  ['no overlayfs', { '/proc/filesystems': '' }, 'overlayfs', 'warning', 'modprobe overlay'],
  ['no cgroups', { '/sys/fs/cgroup/cgroup.controllers': undefined }, 'cgroups', 'failure', 'mount -t cgroup2'],
  [
    'no memory controller',
    { '/sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io pids' },
    'cgroups',
    'warning',
    'cgroup_enable=memory',
  ],
  [
    'no libnftables',
    { '/usr/lib/x86_64-linux-gnu/libnftables.so.1': undefined },
    'libnftables.so.1',
    'failure',
    'libnftables1',
  ],
  [
    'no forwarding',
    { '/proc/sys/net/ipv4/ip_forward': '0' },
    'IP forwarding',
    'warning',
    'sysctl -w net.ipv4.ip_forward=1',
  ],
  ['no socket', { '/run/berth.sock': undefined }, 'socket', 'failure', 'berth daemon'],
  [
    'AppArmor without its parser',
    { '/sys/module/apparmor/parameters/enabled': 'Y' },
    'AppArmor',
    'warning',
    'apt-get install apparmor',
  ],
] as const) {
  test(what, () => {
    const [first, ...more] = bad(machine(changes));
    expect(more).toEqual([]);
    expect(first).toMatchObject({ name, verdict });
    expect(first?.fix).toContain(fix);
    expect(first?.why).not.toBe('');
  });
}

test('disk and clock', () => {
  expect(bad(machine({}, 2 ** 30)).map((one) => [one.name, one.verdict])).toEqual([['disk', 'warning']]);
  expect(bad(machine({}, 1000)).map((one) => [one.name, one.verdict])).toEqual([['disk', 'failure']]);
  expect(bad(machine(), { ...options, nowMs: 0 }).map((one) => one.name)).toEqual(['clock']);
});

test('cgroup version 1 is fine', () => {
  const v1 = {
    '/sys/fs/cgroup/cgroup.controllers': undefined,
    '/sys/fs/cgroup/cpu': '',
    '/sys/fs/cgroup/memory': '',
    '/sys/fs/cgroup/pids': '',
  };
  expect(bad(machine(v1))).toEqual([]);
});
