/**
 * What a cgroup has used, exactly as the kernel counts it: bigint where a count of bytes or nanoseconds may pass 2^53.
 * One shape for both versions; what a version does not count is absent. Reading is pure parsing over CgroupFacts.
 */
import type { V1Controller } from './detect.ts';
import type { CgroupFacts } from './write.ts';

export interface IoEntry {
  readonly major: number;
  readonly minor: number;
  /** v1: `Read`, `Write`, `Sync`, `Async`, `Discard`, `Total`; v2: `read`, `write`, `discard`. */
  readonly operation: string;
  readonly value: bigint;
}

export interface CgroupStats {
  readonly version: 1 | 2;
  readonly cpu: {
    readonly usageNs: bigint;
    readonly userNs: bigint;
    readonly systemNs: bigint;
    /** v1 only: by processor. */
    readonly perCpuNs?: readonly bigint[];
    readonly periods: bigint;
    readonly throttledPeriods: bigint;
    readonly throttledNs: bigint;
  };
  readonly memory: {
    readonly usageBytes: bigint;
    readonly maxUsageBytes?: bigint;
    /** Absent: no limit. */
    readonly limitBytes?: bigint;
    /** v1: how often the limit was hit; v2: how often allocation failed at it (`oom` of memory.events). */
    readonly failures?: bigint;
    readonly swapUsageBytes?: bigint;
    /** Processes that the kernel's OOM killer has ended in this group. */
    readonly oomKills?: bigint;
    /** memory.stat, line by line. */
    readonly stat: Readonly<Record<string, bigint>>;
  };
  readonly pids: { readonly current: bigint; readonly limit?: bigint };
  readonly io: { readonly serviceBytes: readonly IoEntry[]; readonly serviced: readonly IoEntry[] };
}

/** Microseconds in which some or all tasks of the group waited (PSI); absent where the kernel does not count. */
export type CgroupPressure = Readonly<
  Partial<Record<'cpu' | 'memory' | 'io', { readonly someUs: bigint; readonly fullUs?: bigint }>>
>;

export function v2Pressure(facts: CgroupFacts): CgroupPressure {
  const read = (resource: 'cpu' | 'memory' | 'io') => {
    const text = facts.read(`${resource}.pressure`) ?? '';
    const total = (who: string) => new RegExp(`^${who} .*total=(\\d+)$`, 'm').exec(text)?.[1];
    const [some, full] = [total('some'), total('full')];
    if (some === undefined) return {};
    return {
      [resource]: { someUs: BigInt(some), ...present('fullUs', full === undefined ? undefined : BigInt(full)) },
    };
  };
  return { ...read('cpu'), ...read('memory'), ...read('io') };
}

/** v1's "no limit": LONG_MAX rounded down to a page. */
const V1_UNLIMITED = 0x7fff_ffff_ffff_0000n;

const count = (text: string | undefined): bigint => (text !== undefined && /^[0-9]+$/.test(text) ? BigInt(text) : 0n);

/** A limit that is set: neither absent, `max` nor v1's greatest number. */
function limit(text: string | undefined): bigint | undefined {
  if (text === undefined || !/^[0-9]+$/.test(text)) return undefined;
  const value = BigInt(text);
  return value >= V1_UNLIMITED ? undefined : value;
}

/** `key value` lines. */
export function flatKeyed(text: string | undefined): Record<string, bigint> {
  const result: Record<string, bigint> = {};
  for (const line of (text ?? '').split('\n')) {
    const [key, value] = line.split(' ');
    if (key && value !== undefined && /^[0-9]+$/.test(value)) result[key] = BigInt(value);
  }
  return result;
}

/** `8:0 Read 4096` lines of v1. */
export function v1Io(text: string | undefined): IoEntry[] {
  const entries: IoEntry[] = [];
  for (const line of (text ?? '').split('\n')) {
    const match = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line);
    if (match === null) continue;
    const [, major = '', minor = '', operation = '', value = ''] = match;
    entries.push({ major: Number(major), minor: Number(minor), operation, value: BigInt(value) });
  }
  return entries;
}

/** `8:0 rbytes=1 wbytes=2 rios=3 …` lines of v2. */
export function v2Io(text: string | undefined): CgroupStats['io'] {
  const serviceBytes: IoEntry[] = [];
  const serviced: IoEntry[] = [];
  for (const line of (text ?? '').split('\n')) {
    const [device = '', ...pairs] = line.split(' ');
    const [major = NaN, minor = NaN] = device.split(':').map(Number);
    if (Number.isNaN(major) || Number.isNaN(minor)) continue;
    for (const pair of pairs) {
      const [key = '', value] = pair.split('=');
      const known = V2_IO[key];
      if (known === undefined) continue;
      const entry = { major, minor, operation: known.operation, value: count(value) };
      (known.bytes ? serviceBytes : serviced).push(entry);
    }
  }
  return { serviceBytes, serviced };
}

const V2_IO: Readonly<Record<string, { readonly operation: string; readonly bytes: boolean }>> = {
  rbytes: { operation: 'read', bytes: true },
  wbytes: { operation: 'write', bytes: true },
  dbytes: { operation: 'discard', bytes: true },
  rios: { operation: 'read', bytes: false },
  wios: { operation: 'write', bytes: false },
  dios: { operation: 'discard', bytes: false },
};

/** Leaves out the keys whose value is undefined (exactOptionalPropertyTypes). */
function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  // The literal type of a computed key is lost by the compiler.
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

/** USER_HZ is 100 on every architecture we run on; used only where the kernel has no nanosecond files. */
const NS_PER_TICK = 10_000_000n;

export function v1Stats(facts: (controller: V1Controller) => CgroupFacts): CgroupStats {
  const cpuacct = facts('cpuacct');
  const ticks = flatKeyed(cpuacct.read('cpuacct.stat'));
  const cpu = flatKeyed(facts('cpu').read('cpu.stat'));
  const memory = facts('memory');
  const pids = facts('pids');
  const blkio = facts('blkio');
  const split = (file: string, key: string) => {
    const exact = cpuacct.read(file);
    return exact === undefined ? (ticks[key] ?? 0n) * NS_PER_TICK : count(exact);
  };
  const io = (kind: string) => {
    const bfq = v1Io(blkio.read(`blkio.bfq.${kind}_recursive`));
    return bfq.length > 0 ? bfq : v1Io(blkio.read(`blkio.throttle.${kind}_recursive`));
  };
  return {
    version: 1,
    cpu: {
      usageNs: count(cpuacct.read('cpuacct.usage')),
      userNs: split('cpuacct.usage_user', 'user'),
      systemNs: split('cpuacct.usage_sys', 'system'),
      perCpuNs: (cpuacct.read('cpuacct.usage_percpu') ?? '')
        .split(' ')
        .filter((word) => word !== '')
        .map(count),
      periods: cpu['nr_periods'] ?? 0n,
      throttledPeriods: cpu['nr_throttled'] ?? 0n,
      throttledNs: cpu['throttled_time'] ?? 0n,
    },
    memory: {
      usageBytes: count(memory.read('memory.usage_in_bytes')),
      maxUsageBytes: count(memory.read('memory.max_usage_in_bytes')),
      ...present('limitBytes', limit(memory.read('memory.limit_in_bytes'))),
      failures: count(memory.read('memory.failcnt')),
      ...present('oomKills', flatKeyed(memory.read('memory.oom_control'))['oom_kill']),
      stat: flatKeyed(memory.read('memory.stat')),
    },
    pids: { current: count(pids.read('pids.current')), ...present('limit', limit(pids.read('pids.max'))) },
    io: { serviceBytes: io('io_service_bytes'), serviced: io('io_serviced') },
  };
}

export function v2Stats(facts: CgroupFacts): CgroupStats {
  const cpu = flatKeyed(facts.read('cpu.stat'));
  const ns = (key: string) => (cpu[key] ?? 0n) * 1000n;
  const peak = facts.read('memory.peak');
  const swap = facts.read('memory.swap.current');
  const events = flatKeyed(facts.read('memory.events'));
  return {
    version: 2,
    cpu: {
      usageNs: ns('usage_usec'),
      userNs: ns('user_usec'),
      systemNs: ns('system_usec'),
      periods: cpu['nr_periods'] ?? 0n,
      throttledPeriods: cpu['nr_throttled'] ?? 0n,
      throttledNs: ns('throttled_usec'),
    },
    memory: {
      usageBytes: count(facts.read('memory.current')),
      ...present('maxUsageBytes', peak === undefined ? undefined : count(peak)),
      ...present('limitBytes', limit(facts.read('memory.max'))),
      ...present('swapUsageBytes', swap === undefined ? undefined : count(swap)),
      ...present('failures', events['oom']),
      ...present('oomKills', events['oom_kill']),
      stat: flatKeyed(facts.read('memory.stat')),
    },
    pids: { current: count(facts.read('pids.current')), ...present('limit', limit(facts.read('pids.max'))) },
    io: v2Io(facts.read('io.stat')),
  };
}
