/** Readings of single values of `run`'s flags, refused with docker's words. */
import type { ThrottleDevice, Ulimit, WeightDevice } from '#api/types/host-config.ts';
import { parseRamBytes } from '../flags/go-values.ts';

/** `-a`: one of the three streams. */
export function parseStreams(text: string): string {
  const name = text.toLowerCase();
  if (!['stdin', 'stdout', 'stderr'].includes(name)) throw new Error('valid streams are STDIN, STDOUT and STDERR');
  return name;
}

const SYSCTLS = [
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
];
const SYSCTL_PREFIXES = ['net.', 'fs.mqueue.'];

export function parseSysctl(text: string): string {
  const [name = '', value] = text.split(/=(.*)/s);
  const known = SYSCTLS.includes(name) || SYSCTL_PREFIXES.some((prefix) => name.startsWith(prefix));
  if (!known || value === undefined) throw new Error(`sysctl '${text}' is not allowed`);
  return text;
}

const LIMITS = [
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
];

/** `nofile=1024:2048`. */
export function parseLimit(text: string): Ulimit {
  const [name = '', values] = text.split(/=(.*)/s);
  if (values === undefined) throw new Error(`invalid ulimit argument: ${text}`);
  if (!LIMITS.includes(name)) throw new Error(`invalid ulimit type: ${name}`);
  const numbers = values.split(':').map((value) => {
    if (!/^-?\d+$/.test(value.trim())) throw new Error(`strconv.ParseInt: parsing "${value}": invalid syntax`);
    return Number(value);
  });
  const [soft = 0, hard = soft] = numbers;
  if (numbers.length > 2)
    throw new Error(`too many limit value arguments - ${values}, can only have up to two, \`soft[:hard]\``);
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw new Error(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
  }
  return { Name: name, Hard: hard, Soft: soft };
}

/** `/dev/sda:1mb` or `/dev/sda:1000`. */
export function parseThrottle(text: string, inBytes: boolean): ThrottleDevice {
  const [path = '', rate, ...more] = text.split(':');
  if (rate === undefined || more.length > 0) throw new Error(`bad format: ${text}`);
  if (!path.startsWith('/dev/')) throw new Error(`bad format for device path: ${text}`);
  if (inBytes) {
    try {
      return { Path: path, Rate: parseRamBytes(rate) };
    } catch {
      throw new Error(
        `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`,
      );
    }
  }
  if (!/^\d+$/.test(rate)) {
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
    );
  }
  return { Path: path, Rate: Number(rate) };
}

const WEIGHT_MIN = 10;
const WEIGHT_MAX = 1000;

export function parseWeight(text: string): WeightDevice {
  const [path = '', weight, ...more] = text.split(':');
  if (weight === undefined || more.length > 0) throw new Error(`bad format: ${text}`);
  if (!path.startsWith('/dev/')) throw new Error(`bad format for device path: ${text}`);
  const value = Number(weight);
  if (!/^\d+$/.test(weight) || (value > 0 && (value < WEIGHT_MIN || value > WEIGHT_MAX))) {
    throw new Error(`invalid weight for device: ${text}`);
  }
  return { Path: path, Weight: value };
}

export function parseDeviceRule(text: string): string {
  if (!/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(text))
    throw new Error(`invalid device cgroup format '${text}'`);
  return text;
}

export function parseLink(text: string): string {
  const parts = text.split(':');
  if (text === '' || parts.length > 2 || parts[0] === '') throw new Error(`bad format for links: ${text}`);
  return text;
}
