/**
 * daemon.json keys that say what a container gets when its request does not: decoded and checked once, at the start of
 * the daemon. What each means to a container is daemon/container's business.
 */
import type { Ulimit } from '#api/types/host-config.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { parseBytes } from '#pkg/units/size.ts';
import type { ConfigValue } from './values.ts';

export interface ContainerDefaults {
  /** '' is our own parent. */
  readonly cgroupParent: string;
  readonly ulimits: readonly Ulimit[];
  readonly shmSizeBytes: number;
  readonly ipcMode: 'private' | 'shareable';
  /** '' is private on cgroup v2 and the host's on v1. */
  readonly cgroupnsMode: '' | 'host' | 'private';
  /** 'builtin', 'unconfined' or the path of a profile. */
  readonly seccompProfile: string;
  /** Microseconds for our parent group of cgroup v1; 0: left alone. */
  readonly realtimePeriodUs: number;
  readonly realtimeRuntimeUs: number;
  readonly cdiSpecDirs: readonly string[];
}

export interface RuntimeConfig {
  readonly name: string;
  /** Absolute, or a name to be found in the usual directories. */
  readonly path: string;
  readonly args: readonly string[];
}

type Values = ReadonlyMap<string, ConfigValue>;
const SHM_DEFAULT_BYTES = 64 * 1024 * 1024;
const CDI_DIRECTORIES = ['/etc/cdi', '/var/run/cdi'];

const textOf = (values: Values, key: string): string => {
  const value = values.get(key);
  return typeof value === 'string' ? value : '';
};
const numberOf = (values: Values, key: string): number => {
  const value = values.get(key);
  return typeof value === 'number' ? value : 0;
};
const objectOf = (values: Values, key: string): [string, unknown][] => {
  const value = values.get(key);
  return typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];
};

/** Errors: invalid-parameter naming the key. */
export function containerDefaultsOf(values: Values): ContainerDefaults {
  const period = numberOf(values, 'cpu-rt-period');
  const runtime = numberOf(values, 'cpu-rt-runtime');
  if (period < 0 || runtime < 0 || (period > 0 && runtime > period)) {
    throw invalidParameter('invalid value for "cpu-rt-runtime": it cannot be higher than "cpu-rt-period"');
  }
  return {
    cgroupParent: textOf(values, 'cgroup-parent'),
    ulimits: objectOf(values, 'default-ulimits').map(([name, value]) => ulimitOf(name, value)),
    shmSizeBytes: shmSizeOf(values.get('default-shm-size')),
    ipcMode: ipcModeOf(textOf(values, 'default-ipc-mode')),
    cgroupnsMode: cgroupnsModeOf(textOf(values, 'default-cgroupns-mode')),
    seccompProfile: seccompOf(textOf(values, 'seccomp-profile')),
    realtimePeriodUs: period,
    realtimeRuntimeUs: runtime,
    cdiSpecDirs: cdiDirectoriesOf(values.get('cdi-spec-dirs')),
  };
}

/** From the file an object of dockerd's, from a flag `soft[:hard]`. */
function ulimitOf(name: string, value: unknown): Ulimit {
  const refuse = (why: string) => invalidParameter(`invalid value for "default-ulimits": ${name}: ${why}`);
  let soft: unknown;
  let hard: unknown;
  if (typeof value === 'string') {
    const match = /^(-?\d{1,19})(?::(-?\d{1,19}))?$/.exec(value);
    if (match === null) throw refuse('want soft[:hard]');
    soft = Number(match[1]);
    hard = Number(match[2] ?? match[1]);
  } else if (typeof value === 'object' && value !== null) {
    soft = Reflect.get(value, 'Soft') ?? 0;
    hard = Reflect.get(value, 'Hard') ?? 0;
    const own: unknown = Reflect.get(value, 'Name') ?? name;
    if (own !== name) throw refuse(`has the name ${JSON.stringify(own)}`);
  }
  if (!Number.isSafeInteger(soft) || !Number.isSafeInteger(hard)) throw refuse('Soft and Hard must be integers');
  return { Name: name, Soft: Number(soft), Hard: Number(hard) };
}

function shmSizeOf(value: ConfigValue | undefined): number {
  if (value === undefined || value === '') return SHM_DEFAULT_BYTES;
  const bytes = typeof value === 'number' ? value : parseSize(typeof value === 'string' ? value : '');
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw invalidParameter(`default-shm-size must be greater than 0, not ${JSON.stringify(value)}`);
  }
  return bytes;
}

function parseSize(text: string): number {
  try {
    return parseBytes(text);
  } catch (cause) {
    throw invalidParameter(`invalid value for "default-shm-size": "${text}": invalid size`, { cause });
  }
}

function ipcModeOf(mode: string): 'private' | 'shareable' {
  if (mode === '') return 'private';
  if (mode === 'private' || mode === 'shareable') return mode;
  const known = mode === 'none' || mode === 'host' || /^container:./.test(mode);
  throw invalidParameter(
    known
      ? `IPC mode "${mode}" is not supported as default value; use "shareable" or "private"`
      : `default IPC mode setting (${mode}) is invalid; use "shareable" or "private"`,
  );
}

function cgroupnsModeOf(mode: string): '' | 'host' | 'private' {
  if (mode === '' || mode === 'host' || mode === 'private') return mode;
  throw invalidParameter(`default cgroup namespace mode (${mode}) is invalid; use "host" or "private"`);
}

function seccompOf(profile: string): string {
  if (profile === '' || profile === 'builtin' || profile === 'default') return 'builtin';
  if (profile === 'unconfined' || profile.startsWith('/')) return profile;
  throw invalidParameter(
    `invalid value for "seccomp-profile": "${profile}" is not builtin, unconfined or an absolute path`,
  );
}

function cdiDirectoriesOf(value: ConfigValue | undefined): string[] {
  if (!Array.isArray(value)) return [...CDI_DIRECTORIES];
  return value.map(String).filter((directory) => {
    if (directory !== '' && !directory.startsWith('/')) {
      throw invalidParameter(`invalid value for "cdi-spec-dirs": "${directory}" is not an absolute path`);
    }
    return directory !== '';
  });
}

const reserved = ['berth', 'runc'];

/** `runtimes` of the file (objects) and `--add-runtime name=path`. Errors: invalid-parameter, not-implemented. */
export function runtimesOf(values: Values): RuntimeConfig[] {
  return objectOf(values, 'runtimes').map(([name, value]) => {
    if (reserved.includes(name)) throw invalidParameter(`runtime name '${name}' is reserved`);
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) throw invalidParameter(`invalid runtime name: "${name}"`);
    const refuse = (why: string) => invalidParameter(`invalid value for "runtimes": ${name}: ${why}`);
    if (typeof value === 'string') return { name, path: value, args: [] };
    if (typeof value !== 'object' || value === null) throw refuse('must be an object');
    if (Reflect.get(value, 'runtimeType') !== undefined) {
      throw notImplemented(`Cannot honour "runtimes" with a runtimeType (${name}): there is no containerd`);
    }
    const path: unknown = Reflect.get(value, 'path');
    const args: unknown = Reflect.get(value, 'runtimeArgs') ?? [];
    if (typeof path !== 'string' || path === '') throw refuse('it has no path');
    if (!Array.isArray(args) || !args.every((arg) => typeof arg === 'string'))
      throw refuse('runtimeArgs: want strings');
    return { name, path, args: args.map(String) };
  });
}
