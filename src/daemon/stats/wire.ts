/** A cgroup's counts in the words of `GET /containers/{id}/stats`, for both cgroup versions as dockerd has them. */
import type { BlkioEntry, BlkioStats, ContainerStats, CpuStats, MemoryStats } from '#api/types/stats.ts';
import type { CgroupStats, IoEntry } from '#libcontainer/cgroups/stats.ts';
import type { HostCpuReading } from './host-cpu.ts';

export const NEVER = '0001-01-01T00:00:00Z';
const UINT64_MAX = 2n ** 64n - 1n;

const V1_MEMORY = ['cache', 'rss', 'rss_huge', 'mapped_file', 'dirty', 'writeback', 'pgpgin', 'pgpgout', 'pgfault'];
const V1_MORE = ['pgmajfault', 'inactive_anon', 'active_anon', 'inactive_file', 'active_file', 'unevictable'];
/** `total_` is the group with those below it. */
const v1MemoryNames = [
  ...V1_MEMORY,
  ...V1_MORE,
  'hierarchical_memory_limit',
  'hierarchical_memsw_limit',
  ...[...V1_MEMORY, ...V1_MORE].map((name) => `total_${name}`),
];
const v2MemoryNames = [
  ...['anon', 'file', 'kernel_stack', 'slab', 'sock', 'shmem', 'file_mapped', 'file_dirty', 'file_writeback'],
  ...['anon_thp', 'inactive_anon', 'active_anon', 'inactive_file', 'active_file', 'unevictable', 'slab_reclaimable'],
  ...['slab_unreclaimable', 'pgfault', 'pgmajfault', 'workingset_refault', 'workingset_activate'],
  ...['workingset_nodereclaim', 'pgrefill', 'pgscan', 'pgsteal', 'pgactivate', 'pgdeactivate', 'pglazyfree'],
  ...['pglazyfreed', 'thp_fault_alloc', 'thp_collapse_alloc'],
];

export function cpuOf(stats: CgroupStats, host: HostCpuReading): CpuStats<bigint> {
  const { cpu } = stats;
  return {
    cpu_usage: {
      total_usage: cpu.usageNs,
      ...(cpu.perCpuNs === undefined || cpu.perCpuNs.length === 0 ? {} : { percpu_usage: [...cpu.perCpuNs] }),
      usage_in_kernelmode: cpu.systemNs,
      usage_in_usermode: cpu.userNs,
    },
    system_cpu_usage: host.systemNs,
    online_cpus: host.online,
    throttling_data: {
      periods: cpu.periods,
      throttled_periods: cpu.throttledPeriods,
      throttled_time: cpu.throttledNs,
    },
  };
}

/** A container without a limit is limited by the host. */
export function memoryOf(stats: CgroupStats, hostBytes: number): MemoryStats<bigint> {
  const { memory, version } = stats;
  const host = BigInt(hostBytes);
  const limit = memory.limitBytes === undefined || memory.limitBytes > host ? host : memory.limitBytes;
  const names = version === 1 ? v1MemoryNames : v2MemoryNames;
  return {
    ...whenSet('usage', memory.usageBytes),
    // Of cgroup v2 dockerd tells no maximum.
    ...whenSet('max_usage', version === 1 ? memory.maxUsageBytes : undefined),
    stats: Object.fromEntries(names.map((name) => [name, memory.stat[name] ?? refault(memory.stat, name)])),
    ...whenSet('failcnt', memory.failures),
    ...whenSet('limit', limit),
  };
}

/** Newer kernels count refaults of anonymous memory and of files apart. */
function refault(stat: CgroupStats['memory']['stat'], name: string): bigint {
  return (stat[`${name}_anon`] ?? 0n) + (stat[`${name}_file`] ?? 0n);
}

function whenSet<K extends string>(key: K, value: bigint | undefined): { [P in K]?: bigint } {
  // as: the literal type of a computed key is lost by the compiler.
  return value === undefined || value === 0n ? {} : ({ [key]: value } as { [P in K]: bigint });
}

const noBlkio: BlkioStats<bigint> = {
  io_service_bytes_recursive: null,
  io_serviced_recursive: null,
  io_queue_recursive: null,
  io_service_time_recursive: null,
  io_wait_time_recursive: null,
  io_merged_recursive: null,
  io_time_recursive: null,
  sectors_recursive: null,
};

function entriesOf(entries: readonly IoEntry[]): BlkioEntry<bigint>[] {
  return entries.map(({ major, minor, operation, value }) => ({ major, minor, op: operation, value }));
}

/** v1 has lists that no scheduler of today fills; v2 has bytes read and written only. */
export function blkioOf({ version, io }: CgroupStats): BlkioStats<bigint> {
  if (version === 2) {
    const moved = io.serviceBytes.filter((entry) => entry.operation === 'read' || entry.operation === 'write');
    return { ...noBlkio, io_service_bytes_recursive: moved.length === 0 ? null : entriesOf(moved) };
  }
  return {
    io_service_bytes_recursive: entriesOf(io.serviceBytes),
    io_serviced_recursive: entriesOf(io.serviced),
    io_queue_recursive: [],
    io_service_time_recursive: [],
    io_wait_time_recursive: [],
    io_merged_recursive: [],
    io_time_recursive: [],
    sectors_recursive: [],
  };
}

/** Unlimited is nothing on v1 and the greatest number on v2. */
export function pidsOf({ version, pids }: CgroupStats): ContainerStats<bigint>['pids_stats'] {
  const unlimited = version === 1 ? undefined : UINT64_MAX;
  return { ...whenSet('current', pids.current), ...whenSet('limit', pids.limit ?? unlimited) };
}

const noCpu: CpuStats<bigint> = {
  cpu_usage: { total_usage: 0n, usage_in_kernelmode: 0n, usage_in_usermode: 0n },
  throttling_data: { periods: 0n, throttled_periods: 0n, throttled_time: 0n },
};

/** What is said of a container that does not run, and the frame of what is said of one that does. */
export function emptyStats(container: { readonly id: string; readonly name: string }): ContainerStats<bigint> {
  return {
    name: `/${container.name}`,
    id: container.id,
    read: NEVER,
    preread: NEVER,
    pids_stats: {},
    blkio_stats: noBlkio,
    num_procs: 0,
    storage_stats: {},
    cpu_stats: noCpu,
    precpu_stats: noCpu,
    memory_stats: {},
  };
}
