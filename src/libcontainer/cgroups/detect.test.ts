import { describe, expect, test } from 'bun:test';
import { cgroupMounts, hostOf } from './detect.ts';
import { containerPath, planLayout } from './layout.ts';
import { flatKeyed, v1Io, v1Stats, v2Io, v2Stats } from './stats.ts';
import { scopeCall } from './systemd.ts';
import { encodeCall } from '#pkg/dbus/messages.ts';

const line = (place: string, type: string, options: string) =>
  `31 24 0:26 / ${place} rw,nosuid shared:9 - ${type} ${type} rw,${options}`;
const V1 = ['cpu,cpuacct', 'memory', 'freezer', 'devices', 'pids', 'cpuset', 'blkio', 'name=systemd']
  .map((names) => line(`/sys/fs/cgroup/${names.replace('name=', '')}`, 'cgroup', names))
  .join('\n');
const V2 = line('/sys/fs/cgroup', 'cgroup2', 'nsdelegate');
const host = (mountinfo: string, systemd = false) => hostOf(cgroupMounts(mountinfo), systemd, () => ['cpu', 'memory']);

describe('detection', () => {
  test('v2', () => {
    const found = host(V2, true);
    expect(found).toEqual({ version: 2, systemd: true, mountPoint: '/sys/fs/cgroup', controllers: ['cpu', 'memory'] });
  });
  test('v1 and hybrid', () => {
    const found = host(V1);
    expect(found.version === 1 && !found.hybrid).toBe(true);
    const hybrid = host(`${V1}\n${line('/sys/fs/cgroup/unified', 'cgroup2', '')}`);
    expect(hybrid.version === 1 && hybrid.hybrid).toBe(true);
    if (found.version !== 1) throw new Error('not v1');
    expect(found.hierarchies[0]).toEqual({ mountPoint: '/sys/fs/cgroup/cpu,cpuacct', controllers: ['cpu', 'cpuacct'] });
    expect(found.hierarchies.at(-1)?.controllers).toEqual(['freezer']);
    expect(found.hierarchies.length).toBe(7);
  });
  test('a mount that is covered does not count', () => {
    expect(host(`${V1}\n${V2}`).version).toBe(1);
    expect(host(`${line('/sys/fs/cgroup', 'cgroup', 'memory')}\n${V2}`).version).toBe(2);
  });
  test('none', () => expect(() => host('')).toThrow('no cgroup hierarchy is mounted'));
  test('a place with a space', () => {
    expect(cgroupMounts(line('/a\\040b', 'cgroup2', ''))[0]?.mountPoint).toBe('/a b');
  });
});

test.each([
  [V2, true, undefined, '/berth.slice/berth.scope/ID', '/berth.slice/berth.scope/monitor'],
  [V2, true, '00ff12', '/berth.slice/berth-00ff12.scope/ID', '/berth.slice/berth-00ff12.scope/monitor'],
  [V2, false, undefined, '/berth/ID', '/berth/monitor'],
  [V1, true, undefined, '/berth/ID', undefined],
  [V1, false, '00ff12', '/berth-00ff12/ID', undefined],
] as const)('layout %#', (mounts, systemd, suffix, path, monitor) => {
  const layout = planLayout({ host: host(mounts, systemd), ...(suffix === undefined ? {} : { suffix }) });
  expect(containerPath(layout, 'ID')).toBe(path);
  expect(layout.monitor).toBe(monitor);
  expect(layout.scope).toBe(systemd ? `berth${suffix === undefined ? '' : `-${suffix}`}.scope` : undefined);
});

test('stats of v1 and v2 from the same kernel words', () => {
  const files: Readonly<Record<string, string>> = {
    'cpuacct.usage': '123456789012345678',
    'cpuacct.usage_percpu': '1 2 ',
    'cpuacct.stat': 'user 5\nsystem 7',
    'cpu.stat':
      'nr_periods 1\nnr_throttled 2\nthrottled_time 3\nusage_usec 10\nuser_usec 4\nsystem_usec 6\nthrottled_usec 9',
    'memory.usage_in_bytes': '4096',
    'memory.limit_in_bytes': '9223372036854771712',
    'memory.current': '8192',
    'memory.max': 'max',
    'memory.stat': 'inactive_file 1\ntotal_inactive_file 2',
    'pids.current': '3',
    'pids.max': '10',
    'blkio.throttle.io_service_bytes_recursive': '8:0 Read 1\n8:0 Total 1\nTotal 1',
    'io.stat': '8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16',
  };
  const facts = { has: (file: string) => file in files, read: (file: string) => files[file] };
  const first = v1Stats(() => facts);
  expect(first.cpu).toEqual({
    usageNs: 123456789012345678n,
    userNs: 50_000_000n,
    systemNs: 70_000_000n,
    perCpuNs: [1n, 2n],
    periods: 1n,
    throttledPeriods: 2n,
    throttledNs: 3n,
  });
  expect(first.memory.limitBytes).toBeUndefined();
  expect(first.pids).toEqual({ current: 3n, limit: 10n });
  expect(first.io.serviceBytes).toEqual(v1Io('8:0 Read 1\n8:0 Total 1'));
  const second = v2Stats(facts);
  expect(second.cpu.usageNs).toBe(10_000n);
  expect(second.cpu.throttledNs).toBe(9_000n);
  expect(second.memory).toEqual({ usageBytes: 8192n, stat: { inactive_file: 1n, total_inactive_file: 2n } });
  expect(v2Io('8:0 rbytes=1 wios=4')).toEqual({
    serviceBytes: [{ major: 8, minor: 0, operation: 'read', value: 1n }],
    serviced: [{ major: 8, minor: 0, operation: 'write', value: 4n }],
  });
  expect(flatKeyed(undefined)).toEqual({});
});

test('the call to systemd is laid out as the specification says', () => {
  const call = scopeCall({ scope: 'b.scope', slice: 'b.slice', pids: [7, 8], before: 'b.service' }, 2);
  const bytes = encodeCall(call);
  const view = new DataView(bytes.buffer);
  const fields = 16 + view.getUint32(12, true);
  expect([...bytes.subarray(0, 4)]).toEqual([108, 1, 0, 1]);
  expect(view.getUint32(8, true)).toBe(2);
  expect(((fields + 7) & ~7) + view.getUint32(4, true)).toBe(bytes.length);
  expect(new TextDecoder().decode(bytes)).toContain('ssa(sv)a(sa(sv))');
});
