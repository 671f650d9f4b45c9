import { expect, test } from 'bun:test';
import { messageOf } from '#errdefs/errors.ts';
import { buildConfig, parseConfigFile } from './daemon-config.ts';
import { parseDaemonFlags } from './flags.ts';

const config = (argv: readonly string[], file: unknown = {}) =>
  buildConfig(parseDaemonFlags(argv).values, parseConfigFile(JSON.stringify(file)));

test('what is not said', () => {
  expect(config([]).containerDefaults).toEqual({
    cgroupParent: '',
    ulimits: [],
    shmSizeBytes: 64 << 20,
    ipcMode: 'private',
    cgroupnsMode: '',
    seccompProfile: 'builtin',
    realtimePeriodUs: 0,
    realtimeRuntimeUs: 0,
    cdiSpecDirs: ['/etc/cdi', '/var/run/cdi'],
  });
  expect(config([]).runtimes).toEqual([]);
});

test('by file and by flag the same', () => {
  const file = config([], {
    'default-ulimits': { nofile: { Name: 'nofile', Hard: 2000, Soft: 1000 }, nproc: { Hard: 5, Soft: 5 } },
    'default-shm-size': '1G',
    'default-ipc-mode': 'shareable',
    'default-cgroupns-mode': 'private',
    'seccomp-profile': '/etc/profile.json',
    'cgroup-parent': '/x',
    'cdi-spec-dirs': [''],
    runtimes: { other: { path: '/bin/other', runtimeArgs: ['--debug'] } },
  });
  expect(file.containerDefaults).toMatchObject({
    ulimits: [
      { Name: 'nofile', Soft: 1000, Hard: 2000 },
      { Name: 'nproc', Soft: 5, Hard: 5 },
    ],
    shmSizeBytes: 1 << 30,
    ipcMode: 'shareable',
    cgroupnsMode: 'private',
    seccompProfile: '/etc/profile.json',
    cgroupParent: '/x',
    cdiSpecDirs: [],
  });
  expect(file.runtimes).toEqual([{ name: 'other', path: '/bin/other', args: ['--debug'] }]);
  const flags = config([
    '--default-ulimit',
    'nofile=1000:2000',
    '--default-ulimit=nproc=5',
    '--add-runtime',
    'other=/o',
  ]);
  expect(flags.containerDefaults.ulimits).toEqual(file.containerDefaults.ulimits);
  expect(flags.runtimes).toEqual([{ name: 'other', path: '/o', args: [] }]);
});

test('what is wrong is named', () => {
  const cases: [unknown, string][] = [
    [{ 'default-ulimits': { nofile: 'x' } }, 'nofile: want soft[:hard]'],
    [{ 'default-ulimits': { nofile: { Name: 'nproc', Hard: 1, Soft: 1 } } }, 'has the name "nproc"'],
    [{ 'default-shm-size': 'big' }, 'invalid value for "default-shm-size": "big"'],
    [{ 'default-shm-size': 0 }, 'default-shm-size must be greater than 0'],
    [{ 'default-ipc-mode': 'host' }, 'IPC mode "host" is not supported as default value; use "shareable" or "private"'],
    [{ 'default-ipc-mode': 'nope' }, 'default IPC mode setting (nope) is invalid'],
    [{ 'default-cgroupns-mode': 'nope' }, 'default cgroup namespace mode (nope) is invalid; use "host" or "private"'],
    [{ 'seccomp-profile': 'x' }, 'is not builtin, unconfined or an absolute path'],
    [{ 'cdi-spec-dirs': ['x'] }, '"x" is not an absolute path'],
    [{ 'cpu-rt-runtime': 5, 'cpu-rt-period': 4 }, 'cannot be higher than "cpu-rt-period"'],
    [{ runtimes: { runc: { path: '/x' } } }, "runtime name 'runc' is reserved"],
    [{ runtimes: { a: {} } }, 'a: it has no path'],
    [{ runtimes: { a: { runtimeType: 'io.containerd.x' } } }, 'there is no containerd'],
  ];
  for (const [file, message] of cases) {
    let told = '';
    try {
      config([], file);
    } catch (error) {
      told = messageOf(error);
    }
    expect(told).toContain(message);
  }
});
