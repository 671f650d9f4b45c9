import { describe, expect, test } from 'bun:test';
import { newState } from '../state.ts';
import { emptyConfig, stockHostConfig } from '../testing/stock.ts';
import { buildSpec, type SpecInput } from './spec.ts';

function specOf(change: {
  config?: Partial<typeof emptyConfig>;
  host?: Partial<typeof stockHostConfig>;
  input?: Partial<SpecInput>;
}) {
  const record: SpecInput['record'] = {
    id: 'c1',
    name: 'web',
    createdAt: '',
    imageId: 'sha256:1',
    config: { ...emptyConfig, Hostname: 'h', ...change.config },
    hostConfig: { ...stockHostConfig, NetworkMode: 'bridge', IpcMode: 'private', ...change.host },
    path: 'sh',
    args: ['-c', 'true'],
    mounts: [],
    driver: 'overlay2',
    complete: true,
    state: newState,
    desired: 'stopped',
    manuallyStopped: false,
    restartCount: 0,
    networks: {},
    endpoints: [],
  };
  return buildSpec({
    record,
    sources: new Map(),
    files: { hosts: '/f/hosts', hostname: '/f/hostname', resolvConf: '/f/resolv.conf' },
    initFile: undefined,
    cgroupsPath: '/berth/c1',
    cgroupVersion: 2,
    bounding: ['CAP_CHOWN', 'CAP_SYS_ADMIN'],
    possibleCpus: [0],
    seccomp: () => undefined,
    apparmorProfile: '',
    joined: {},
    devices: [],
    deviceNumbers: () => ({ major: 8, minor: 0 }),
    consoleSize: undefined,
    noNewPrivilegesDefault: false,
    defaultUlimits: [],
    sharedShm: undefined,
    ...change.input,
  });
}

describe('the spec of a container', () => {
  test('has the default isolation', () => {
    const spec = specOf({});
    expect(spec.linux?.namespaces?.map((n) => n.type)).toEqual(['mount', 'network', 'uts', 'pid', 'ipc', 'cgroup']);
    expect(spec.process?.capabilities?.bounding).toHaveLength(14);
    expect(spec.process?.capabilities?.inheritable).toBeUndefined();
    expect(spec.linux?.maskedPaths).toContain('/proc/kcore');
    expect(spec.linux?.maskedPaths).toContain('/sys/devices/system/cpu/cpu0/thermal_throttle');
    expect(spec.linux?.readonlyPaths).toContain('/proc/sys');
    expect(spec.linux?.sysctl).toEqual({
      'net.ipv4.ping_group_range': '0 2147483647',
      'net.ipv4.ip_unprivileged_port_start': '0',
    });
    expect(spec.linux?.resources?.devices?.[0]).toEqual({ allow: false, access: 'rwm' });
    expect(spec.mounts?.find((m) => m.destination === '/sys')?.options).toContain('ro');
    expect(spec.process?.args).toEqual(['sh', '-c', 'true']);
  });

  test('host namespaces are not listed, and take their sysctls along', () => {
    const spec = specOf({ host: { NetworkMode: 'host', PidMode: 'host', IpcMode: 'host', UTSMode: 'host' } });
    expect(spec.linux?.namespaces?.map((n) => n.type)).toEqual(['mount', 'cgroup']);
    expect(spec.linux?.sysctl).toEqual({});
    expect(spec.hostname).toBeUndefined();
    expect(spec.mounts?.find((m) => m.destination === '/dev/shm')?.type).toBe('bind');
    // Not every host has it mounted, and the kernel shows the queues of the namespace anyway.
    expect(spec.mounts?.find((m) => m.destination === '/dev/mqueue')?.type).toBe('mqueue');
  });

  test('privileged is what the daemon has, without masks', () => {
    const spec = specOf({ host: { Privileged: true } });
    expect(spec.process?.capabilities?.bounding).toEqual(['CAP_CHOWN', 'CAP_SYS_ADMIN']);
    expect(spec.linux?.maskedPaths).toEqual([]);
    expect(spec.linux?.resources?.devices).toEqual([{ allow: true, access: 'rwm' }]);
    expect(spec.linux?.namespaces?.map((n) => n.type)).not.toContain('cgroup');
  });

  test('limits', () => {
    const spec = specOf({ host: { Memory: 64 << 20, NanoCpus: 1.5e9, PidsLimit: 10, CpuShares: 512 } });
    expect(spec.linux?.resources).toMatchObject({
      memory: { limit: 64 << 20, swap: 128 << 20 },
      cpu: { period: 100_000, quota: 150_000, shares: 512 },
      pids: { limit: 10 },
    });
  });

  test('--init goes before the command', () => {
    const spec = specOf({ input: { initFile: '/x/docker-init' } });
    expect(spec.process?.args).toEqual(['/sbin/docker-init', '--', 'sh', '-c', 'true']);
    expect(spec.mounts?.at(-1)).toMatchObject({ destination: '/sbin/docker-init', source: '/x/docker-init' });
  });

  test('a mount by the user takes the place of a generated one', () => {
    const spec = specOf({});
    expect(spec.mounts?.filter((m) => m.destination === '/etc/hosts')).toHaveLength(1);
  });
});
