/**
 * Limits of a container: the checks and words of dockerd, and their translation into the OCI resources. What a host
 * cannot do is a warning, not an error, where dockerd has it so.
 */
import type { HostConfig, Resources as Requested, Ulimit } from '#api/types/host-config.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import type { KernelLimits } from '#libcontainer/cgroups/kernel-limits.ts';
import type { Resources } from '#libcontainer/spec.ts';

const MEMORY_MIN_BYTES = 6 * 1024 * 1024;

export interface CpuFacts {
  readonly cpus: number;
  /** '0-3,5' as in /sys/devices/system/cpu/online. */
  readonly online: string;
  readonly memoryNodes: string;
  readonly limits: KernelLimits;
}

/** After `fitResources`. `update`: memory and swap limits may come one at a time. */
export function checkResources(host: Requested, facts: CpuFacts, update = false): void {
  checkMemory(host, update);
  checkCpu(host, facts);
  checkBlockIo(host);
  const windows = ['CpuCount', 'CpuPercent', 'IOMaximumIOps', 'IOMaximumBandwidth'] as const;
  for (const field of windows)
    if (host[field] !== 0) throw invalidParameter(`invalid option: Linux does not support ${field}`);
  checkUlimits(host);
}

function checkMemory(host: Requested, update: boolean): void {
  const { Memory: memory, MemorySwap: swap, MemoryReservation: reservation } = host;
  if (memory !== 0 && memory < MEMORY_MIN_BYTES) throw invalidParameter('Minimum memory limit allowed is 6MB');
  if (memory > 0 && swap > 0 && swap < memory) {
    throw invalidParameter('Minimum memoryswap limit should be larger than memory limit, see usage');
  }
  if (memory === 0 && swap > 0 && !update) {
    throw invalidParameter('You should always set the Memory limit when using Memoryswap limit, see usage');
  }
  const swappiness = host.MemorySwappiness ?? -1;
  if (swappiness < -1 || swappiness > 100) {
    throw invalidParameter(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  }
  if (reservation > 0 && reservation < MEMORY_MIN_BYTES) {
    throw invalidParameter('Minimum memory reservation allowed is 6MB');
  }
  if (memory > 0 && reservation > 0 && memory < reservation) {
    throw invalidParameter('Minimum memory limit can not be less than memory reservation limit, see usage');
  }
}

function checkCpu(host: Requested, facts: CpuFacts): void {
  const { NanoCpus: nano, CpuPeriod: period, CpuQuota: quota } = host;
  if (nano > 0 && period > 0) {
    throw invalidParameter('Conflicting options: Nano CPUs and CPU Period cannot both be set');
  }
  if (nano > 0 && quota > 0) throw invalidParameter('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
  if (nano < 0 || nano > facts.cpus * 1e9) {
    const n = facts.cpus;
    throw invalidParameter(`range of CPUs is from 0.01 to ${n}.00, as there are only ${n} CPUs available`);
  }
  if (host.CpuShares < 0)
    throw invalidParameter(`invalid CPU shares (${host.CpuShares}): value must be a positive integer`);
  if (period !== 0 && (period < 1000 || period > 1_000_000)) {
    throw invalidParameter('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  }
  if (quota > 0 && quota < 1000) throw invalidParameter('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if (nano > 0 && !facts.limits.cpuCfs) {
    throw invalidParameter(
      'NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted',
    );
  }
  const { CpuRealtimePeriod: rtPeriod, CpuRealtimeRuntime: rtRuntime } = host;
  if ((rtPeriod !== 0 || rtRuntime !== 0) && !facts.limits.cpuRealtime) {
    throw invalidParameter('kernel does not support CPU real-time scheduler');
  }
  if (rtPeriod !== 0 && rtRuntime !== 0 && rtRuntime > rtPeriod) {
    throw invalidParameter('cpu real-time runtime cannot be higher than cpu real-time period');
  }
  checkSet(host.CpusetCpus, facts.online, 'cpus', 'CPUs');
  checkSet(host.CpusetMems, facts.memoryNodes, 'mems', 'memory nodes');
}

function checkSet(asked: string, available: string, kind: string, words: string): void {
  if (asked === '') return;
  const wanted = parseList(asked);
  if (wanted === undefined) {
    throw invalidParameter(`Invalid value ${asked} for cpuset ${kind}: invalid format: ${asked}`);
  }
  const have = parseList(available.trim()) ?? new Set<number>();
  for (const number of wanted) {
    if (!have.has(number)) {
      throw invalidParameter(
        `Requested ${words} are not available - requested ${asked}, available: ${available.trim()}`,
      );
    }
  }
}

/** '0-2,5' → {0,1,2,5}; undefined when it is not such a list. */
export function parseList(text: string): Set<number> | undefined {
  const numbers = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (match === null) return undefined;
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    if (to < from || to - from > 8192) return undefined;
    for (let n = from; n <= to; n++) numbers.add(n);
  }
  return numbers;
}

function checkBlockIo(host: Requested): void {
  const weight = host.BlkioWeight;
  if (weight !== 0 && (weight < 10 || weight > 1000)) {
    throw invalidParameter('Range of blkio weight is from 10 to 1000');
  }
  for (const device of host.BlkioWeightDevice ?? []) {
    if (device.Weight !== 0 && (device.Weight < 10 || device.Weight > 1000)) {
      throw invalidParameter('Range of blkio weight is from 10 to 1000');
    }
  }
}

const ulimitNames = [
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

/** Errors: invalid-parameter. */
export function checkUlimits(host: Pick<Requested, 'Ulimits'>): void {
  for (const limit of host.Ulimits ?? []) {
    if (!ulimitNames.includes(limit.Name)) throw invalidParameter(`invalid ulimit type: ${limit.Name}`);
    const unlimited = limit.Hard === -1;
    if (!unlimited && (limit.Soft === -1 || limit.Soft > limit.Hard)) {
      throw invalidParameter(
        `ulimit soft limit must be less than or equal to hard limit: ${limit.Soft} > ${limit.Hard}`,
      );
    }
  }
}

/** Number of a block device, for throttling; the daemon reads it from the host. */
export type DeviceNumbers = (path: string) => { readonly major: number; readonly minor: number };

/** Everything but devices. */
export function resourcesOf(host: HostConfig, numbers: DeviceNumbers): Resources {
  return { memory: memoryOf(host), cpu: cpuOf(host), ...pidsOf(host), blockIO: blockIoOf(host, numbers) };
}

function memoryOf(host: HostConfig): NonNullable<Resources['memory']> {
  const swappiness = host.MemorySwappiness ?? -1;
  // Without a word about swap dockerd allows as much swap as memory.
  const swap = host.Memory > 0 && host.MemorySwap === 0 ? host.Memory * 2 : host.MemorySwap;
  return {
    ...(host.Memory > 0 ? { limit: host.Memory } : {}),
    ...(swap === 0 ? {} : { swap }),
    ...(host.MemoryReservation > 0 ? { reservation: host.MemoryReservation } : {}),
    ...((host.KernelMemoryTCP ?? 0) > 0 ? { kernelTCP: host.KernelMemoryTCP } : {}),
    ...(swappiness >= 0 ? { swappiness } : {}),
    ...(host.OomKillDisable === true ? { disableOOMKiller: true } : {}),
  };
}

function cpuOf(host: HostConfig): NonNullable<Resources['cpu']> {
  const period = host.NanoCpus > 0 ? 100_000 : host.CpuPeriod;
  const quota = host.NanoCpus > 0 ? Math.trunc((host.NanoCpus * 100_000) / 1e9) : host.CpuQuota;
  return {
    ...(host.CpuShares > 0 ? { shares: host.CpuShares } : {}),
    ...(period > 0 ? { period } : {}),
    ...(quota === 0 ? {} : { quota }),
    ...(host.CpuRealtimePeriod > 0 ? { realtimePeriod: host.CpuRealtimePeriod } : {}),
    ...(host.CpuRealtimeRuntime > 0 ? { realtimeRuntime: host.CpuRealtimeRuntime } : {}),
    ...(host.CpusetCpus === '' ? {} : { cpus: host.CpusetCpus }),
    ...(host.CpusetMems === '' ? {} : { mems: host.CpusetMems }),
  };
}

function pidsOf(host: HostConfig): Pick<Resources, 'pids'> {
  const limit = host.PidsLimit ?? 0;
  return limit === 0 ? {} : { pids: { limit: limit < 0 ? -1 : limit } };
}

function blockIoOf(host: HostConfig, numbers: DeviceNumbers): NonNullable<Resources['blockIO']> {
  const throttles = (list: HostConfig['BlkioDeviceReadBps']) =>
    (list ?? []).map((device) => ({ ...numbers(device.Path), rate: device.Rate }));
  const weightDevice = (host.BlkioWeightDevice ?? []).map((device) => ({
    ...numbers(device.Path),
    weight: device.Weight,
  }));
  const all = {
    throttleReadBpsDevice: throttles(host.BlkioDeviceReadBps),
    throttleWriteBpsDevice: throttles(host.BlkioDeviceWriteBps),
    throttleReadIOPSDevice: throttles(host.BlkioDeviceReadIOps),
    throttleWriteIOPSDevice: throttles(host.BlkioDeviceWriteIOps),
    weightDevice,
  };
  const given = Object.fromEntries(Object.entries(all).filter(([, list]) => list.length > 0));
  return { ...(host.BlkioWeight > 0 ? { weight: host.BlkioWeight } : {}), ...given };
}

/** `defaults`: the daemon's, for those that the container does not name. */
export function rlimitsOf(
  host: Pick<HostConfig, 'Ulimits'>,
  defaults: readonly Ulimit[],
): { type: string; soft: number; hard: number }[] {
  const own = host.Ulimits ?? [];
  const others = defaults.filter(({ Name }) => !own.some((limit) => limit.Name === Name));
  return [...own, ...others].map(({ Name, Soft, Hard }) => ({
    type: `RLIMIT_${Name.toUpperCase()}`,
    soft: Soft,
    hard: Hard,
  }));
}
