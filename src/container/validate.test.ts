import { describe, expect, test } from 'bun:test';
import type { ContainerConfig, HostConfig } from '#api/types/container.ts';
import { effectiveCapabilities } from './capabilities.ts';
import { mergeConfig, processEnv } from './merge-config.ts';
import { parseMounts } from './parse-mounts.ts';
import { nextRestart } from './restart-policy.ts';
import { allLimits, emptyConfig, stockHostConfig } from './testing/stock.ts';
import { checkConfig, checkHostConfig, networkWishes } from './validate.ts';

const facts = {
  cpus: 2,
  online: '0-1',
  memoryNodes: '0',
  cgroupVersion: 1,
  runtimes: ['runc'],
  limits: allLimits,
} as const;

function refusal(change: Partial<HostConfig>, config: Partial<ContainerConfig> = {}): string {
  try {
    const host = { ...stockHostConfig, ...change };
    checkHostConfig(host, { ...emptyConfig, ...config }, facts);
    parseMounts(host, { ...emptyConfig, ...config });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return '';
}

describe('HostConfig', () => {
  test('what the stock CLI sends unasked is accepted', () => {
    expect(refusal({})).toBe('');
  });

  test.each([
    [{ Memory: 5 << 20 }, 'Minimum memory limit allowed is 6MB'],
    [
      { Memory: 8 << 20, MemorySwap: 7 << 20 },
      'Minimum memoryswap limit should be larger than memory limit, see usage',
    ],
    [{ MemorySwappiness: 101 }, 'Invalid value: 101, valid memory swappiness range is 0-100'],
    [{ NanoCpus: 3e9 }, 'range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available'],
    [{ CpusetCpus: '0-5' }, 'Requested CPUs are not available - requested 0-5, available: 0-1'],
    [{ CpusetCpus: 'x' }, 'Invalid value x for cpuset cpus'],
    [{ CapAdd: ['NOPE'] }, 'invalid CapAdd: unknown capability: "CAP_NOPE"'],
    [{ CapDrop: ['NOPE'] }, 'invalid CapDrop: unknown capability: "CAP_NOPE"'],
    [{ Sysctls: { 'kernel.panic': '1' } }, 'sysctl "kernel.panic" is not in a separate kernel namespace'],
    [{ Ulimits: [{ Name: 'nope', Soft: 1, Hard: 1 }] }, 'invalid ulimit type: nope'],
    [
      { Ulimits: [{ Name: 'nofile', Soft: 9, Hard: 1 }] },
      'ulimit soft limit must be less than or equal to hard limit: 9 > 1',
    ],
    [{ RestartPolicy: { Name: 'always', MaximumRetryCount: 0 }, AutoRemove: true }, 'restart policy'],
    [{ RestartPolicy: { Name: 'always', MaximumRetryCount: 2 } }, "only be used with 'on-failure'"],
    [{ PidMode: 'nope' }, 'invalid PID mode: nope'],
    [{ IpcMode: 'nope' }, 'invalid IPC mode: nope'],
    [{ SecurityOpt: ['nope'] }, 'invalid --security-opt 2: "nope"'],
    [{ SecurityOpt: ['label=type:x'] }, 'SELinux labels'],
    [{ PortBindings: { '80/tcp': [{ HostIp: 'x', HostPort: '80' }] } }, 'invalid IP address: x'],
    [{ PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '80x' }] } }, 'invalid port specification: "80x"'],
    [{ PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '9-8' }] } }, 'invalid port specification: "9-8"'],
    [
      { CpuRealtimeRuntime: 2000, CpuRealtimePeriod: 1000 },
      'cpu real-time runtime cannot be higher than cpu real-time period',
    ],
    [{ StorageOpt: { size: '1X' } }, 'invalid size: "1X"'],
    [{ StorageOpt: { size: '0' } }, 'invalid size: "0"'],
    [{ StorageOpt: { colour: 'red' } }, 'Unknown option colour'],
    [{ CpuCount: 1 }, 'Linux does not support CpuCount'],
    [{ OomScoreAdj: 1001 }, 'Invalid value 1001, range for oom score adj is [-1000, 1000]'],
    [{ Runtime: 'nope' }, 'unknown or invalid runtime name: nope'],
    [{ DeviceCgroupRules: ['x'] }, "invalid device cgroup rule format: 'x'"],
    [{ ExtraHosts: ['x'] }, 'bad format for add-host: "x"'],
    [{ ExtraHosts: ['x:y'] }, 'invalid IP address in add-host: "y"'],
    [{ Dns: ['1.2.3.4\nsearch x'] }, 'Dns: "1.2.3.4\\nsearch x" is not an IP address'],
    [{ Tmpfs: { '/t': 'nope' } }, 'invalid tmpfs option ["nope"]'],
    [{ Binds: ['/a'.concat(':relative')] }, "invalid mount path: 'relative' mount path must be absolute"],
    [{ Binds: ['/a:/'] }, "destination can't be '/'"],
    [{ Binds: ['/a:/b:nope'] }, 'invalid mode: nope'],
    [{ Binds: ['/a:/b', '/c:/b'] }, 'Duplicate mount point: /b'],
    [{ Binds: ['a/b:/c'] }, 'includes invalid characters for a local volume name'],
    [{ Mounts: [{ Type: 'nope', Target: '/x' }] }, 'invalid mount config for type "nope": mount type unknown'],
    [{ Binds: ['/a:/proc/sys'] }, 'inside /proc'],
  ] as [Partial<HostConfig>, string][])('%j is refused', (change, message) => {
    expect(refusal(change)).toContain(message);
  });

  test('an image with VOLUME /proc is refused', () => {
    expect(refusal({}, { Volumes: { '/proc': {} } })).toContain('inside /proc');
  });
});

describe('NetworkingConfig', () => {
  test('the network of the mode, and others beside it', () => {
    expect(Object.keys(networkWishes({ EndpointsConfig: null }, 'default', ''))).toEqual(['bridge']);
    const both = { EndpointsConfig: { other: endpoint({}), mine: endpoint({ Aliases: ['x'] }) } };
    expect(Object.keys(networkWishes(both, 'mine', ''))).toEqual(['mine', 'other']);
    expect(networkWishes(both, 'mine', '')['mine']?.aliases).toEqual(['x']);
    expect(networkWishes({ EndpointsConfig: null }, 'mine', 'AA-00-00-00-00-01')['mine']?.mac).toBe(
      'aa:00:00:00:00:01',
    );
    expect(networkWishes({ EndpointsConfig: null }, 'container:x', '')).toEqual({});
  });
  test.each([
    ['host', { other: {} }, 'cannot attach both'],
    ['container:x', { other: {} }, 'cannot attach both'],
    ['mine', { mine: { IPAMConfig: { IPv4Address: '1.2.3' } } }, 'invalid IPv4 address: 1.2.3'],
    ['mine', { mine: { IPAMConfig: { IPv6Address: 'x' } } }, 'invalid IPv6 address: x'],
    ['mine', { mine: { MacAddress: 'x' } }, 'invalid MAC address x'],
    [
      'mine',
      { mine: { DriverOpts: { 'com.docker.network.nosuch': 'x' } } },
      'DriverOpts "com.docker.network.nosuch" is not supported',
    ],
  ])('%s %j is refused', (mode, asked, words) => {
    const EndpointsConfig = Object.fromEntries(Object.entries(asked).map(([name, one]) => [name, endpoint(one)]));
    expect(() => networkWishes({ EndpointsConfig }, mode, '')).toThrow(words);
  });
  const endpoint = (change: object) => ({
    IPAMConfig: null,
    Links: null,
    Aliases: null,
    MacAddress: '',
    DriverOpts: null,
    GwPriority: 0,
    NetworkID: '',
    EndpointID: '',
    Gateway: '',
    IPAddress: '',
    IPPrefixLen: 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
    ...change,
  });
});

describe('Config', () => {
  test.each([
    [{ Env: ['=x'] }, 'invalid environment variable: =x'],
    [{ WorkingDir: 'x' }, "the working directory 'x' is invalid, it needs to be an absolute path"],
    [{ StopSignal: 'NOPE' }, 'invalid signal: NOPE'],
    [{ Healthcheck: { Interval: 5 } }, 'Interval in Healthcheck cannot be less than 1ms'],
    [{ ExposedPorts: { x: {} } }, 'invalid port specification: "x"'],
  ] as [Partial<ContainerConfig>, string][])('%j is refused', (change, message) => {
    expect(() => checkConfig({ ...emptyConfig, ...change })).toThrow(message);
  });

  const image = { Entrypoint: ['/e'], Cmd: ['c'], Env: ['A=1', 'B=2'], WorkingDir: '/w', Labels: { l: 'image' } };
  const merged = (change: Partial<ContainerConfig>) => mergeConfig({ ...emptyConfig, ...change }, image);

  test('Cmd and Entrypoint come from the image unless the request has its own', () => {
    expect(merged({})).toMatchObject({ Entrypoint: ['/e'], Cmd: ['c'] });
    expect(merged({ Cmd: ['x'] })).toMatchObject({ Entrypoint: ['/e'], Cmd: ['x'] });
    expect(merged({ Entrypoint: ['/x'] })).toMatchObject({ Entrypoint: ['/x'], Cmd: null });
    expect(merged({ Entrypoint: [''], Cmd: ['x'] })).toMatchObject({ Entrypoint: null, Cmd: ['x'] });
    expect(() => mergeConfig(emptyConfig, {})).toThrow('no command specified');
  });

  test('environment and labels are united, the request wins', () => {
    const config = merged({ Env: ['B=3'], Labels: { l: 'mine', m: '1' } });
    expect(config.Env).toEqual(['B=3', 'A=1']);
    expect(config.Labels).toEqual({ l: 'mine', m: '1' });
    expect(config.WorkingDir).toBe('/w');
  });

  test('the process gets PATH, HOSTNAME and, with a terminal, TERM', () => {
    expect(processEnv({ Env: ['PATH=/x', 'HOSTNAME'], Tty: true, Hostname: 'h' })).toEqual(['PATH=/x', 'TERM=xterm']);
    expect(processEnv({ Env: null, Tty: false, Hostname: 'h' })[1]).toBe('HOSTNAME=h');
  });
});

describe('mounts', () => {
  test('the strongest request for a destination wins; parents come before children', () => {
    const mounts = parseMounts(
      { ...stockHostConfig, Binds: ['/h:/data/in/:ro', 'vol:/v'], Tmpfs: { '/t': 'size=1m,exec' } },
      { Volumes: { '/data/in': {}, '/data': {} } },
    );
    expect(mounts.map((m) => [m.type, m.source, m.destination, m.readOnly])).toEqual([
      ['volume', 'vol', '/v', false],
      ['tmpfs', '', '/t', false],
      ['volume', '', '/data', false],
      ['bind', '/h', '/data/in', true],
    ]);
    expect(mounts[1]?.tmpfsOptions).toEqual(['nosuid', 'nodev', 'size=1m', 'exec']);
  });
});

describe('capabilities', () => {
  const bounding = ['CAP_CHOWN', 'CAP_NET_ADMIN'];
  const of = (add: string[], drop: string[], privileged = false) =>
    effectiveCapabilities({ add, drop, privileged, bounding });
  test('14 by default; drop, add, ALL and privileged', () => {
    expect(of([], [])).toHaveLength(14);
    expect(of(['net_admin'], ['CAP_CHOWN'])).toContain('CAP_NET_ADMIN');
    expect(of([], ['all'])).toEqual([]);
    expect(of(['chown'], ['all'])).toEqual(['CAP_CHOWN']);
    expect(of(['all'], ['chown'])).toEqual(['CAP_NET_ADMIN']);
    expect(of([], [], true)).toEqual(bounding);
  });
});

describe('restart policy', () => {
  const run = { exitCode: 1, restartCount: 0, manuallyStopped: false, ranMs: 5, previousBackoffMs: 0 };
  const policy = (Name: 'no' | 'always' | 'on-failure', MaximumRetryCount = 0) => ({ Name, MaximumRetryCount });
  test('waits twice as long each time, and not at all for the user', () => {
    expect(nextRestart({ ...run, policy: policy('always') })).toEqual({ waitMs: 100 });
    expect(nextRestart({ ...run, policy: policy('always'), previousBackoffMs: 100 })).toEqual({ waitMs: 200 });
    expect(nextRestart({ ...run, policy: policy('always'), previousBackoffMs: 59_000 })).toEqual({ waitMs: 60_000 });
    expect(nextRestart({ ...run, policy: policy('always'), previousBackoffMs: 800, ranMs: 20_000 })).toEqual({
      waitMs: 100,
    });
    expect(nextRestart({ ...run, policy: policy('always'), manuallyStopped: true })).toBeUndefined();
  });
  test('on-failure looks at the code and counts', () => {
    expect(nextRestart({ ...run, policy: policy('on-failure'), exitCode: 0 })).toBeUndefined();
    expect(nextRestart({ ...run, policy: policy('on-failure', 2), restartCount: 1 })).toBeDefined();
    expect(nextRestart({ ...run, policy: policy('on-failure', 2), restartCount: 2 })).toBeUndefined();
    expect(nextRestart({ ...run, policy: policy('no') })).toBeUndefined();
  });
});
