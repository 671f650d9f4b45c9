/**
 * OCI resources → files of cgroup v1. Pure: what the kernel has is asked through CgroupFacts. The order of the writes
 * is part of the result (memory and swap limits constrain each other). What v1 cannot do is refused by name.
 */
import type { BlockIoResources, CpuResources, MemoryResources, Resources, ThrottleDevice } from '#libcontainer/spec.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { hugepageName } from './convert.ts';
import type { V1Controller } from './detect.ts';
import type { CgroupFacts, CgroupWrite } from './write.ts';

export interface V1Write extends CgroupWrite {
  readonly controller: V1Controller;
}

type FactsOf = (controller: V1Controller) => CgroupFacts;

const put = (
  controller: V1Controller,
  file: string,
  value: string | number,
  field: string,
  optional = false,
): V1Write => ({
  controller,
  file,
  value: String(value),
  field,
  optional,
});

/** Everything but devices (v1-devices.ts). */
export function v1Writes(resources: Resources, facts: FactsOf): V1Write[] {
  if (resources.unified !== undefined && Object.keys(resources.unified).length > 0) {
    throw invalidParameter('Cannot set unified: this host has cgroup v1');
  }
  if (resources.rdma !== undefined && Object.keys(resources.rdma).length > 0) {
    throw invalidParameter('Cannot set rdma: not supported');
  }
  return [
    ...memoryWrites(resources.memory ?? {}, facts('memory')),
    ...cpuWrites(resources.cpu ?? {}),
    ...pidsWrites(resources.pids?.limit),
    ...blkioWrites(resources.blockIO ?? {}, facts('blkio')),
    ...(resources.hugepageLimits ?? []).map((huge) => {
      const page = hugepageName(huge.pageSize);
      return put('hugetlb', `hugetlb.${page}.limit_in_bytes`, huge.limit, `hugepageLimits ${page}`);
    }),
    ...networkWrites(resources.network),
  ];
}

function memoryWrites(memory: MemoryResources, facts: CgroupFacts): V1Write[] {
  const writes: V1Write[] = [];
  const { limit } = memory;
  // No limit on memory is no limit on swap either, where the kernel accounts it.
  const implied = limit === -1 && !memory.swap;
  const swap = implied ? -1 : memory.swap;
  const setLimit = limit ? [put('memory', 'memory.limit_in_bytes', limit, 'memory.limit')] : [];
  const setSwap = swap ? [put('memory', 'memory.memsw.limit_in_bytes', swap, 'memory.swap', implied)] : [];
  // memory ≤ memory+swap must hold after each write: the one that grows the room goes first.
  const both = Boolean(limit) && Boolean(swap);
  const current = both ? BigInt(facts.read('memory.limit_in_bytes') ?? '0') : 0n;
  const swapFirst = both && swap !== undefined && (swap === -1 || current < BigInt(swap));
  writes.push(...(swapFirst ? [...setSwap, ...setLimit] : [...setLimit, ...setSwap]));
  if (memory.kernel) writes.push(put('memory', 'memory.kmem.limit_in_bytes', memory.kernel, 'memory.kernel'));
  if (memory.kernelTCP) {
    writes.push(put('memory', 'memory.kmem.tcp.limit_in_bytes', memory.kernelTCP, 'memory.kernelTCP'));
  }
  if (memory.reservation) {
    writes.push(put('memory', 'memory.soft_limit_in_bytes', memory.reservation, 'memory.reservation'));
  }
  if (memory.disableOOMKiller) writes.push(put('memory', 'memory.oom_control', 1, 'memory.disableOOMKiller'));
  const { swappiness } = memory;
  if (swappiness !== undefined && swappiness !== -1) {
    if (swappiness < 0 || swappiness > 100) {
      throw invalidParameter(`Cannot set memory.swappiness to "${swappiness}": want 0 to 100`);
    }
    writes.push(put('memory', 'memory.swappiness', swappiness, 'memory.swappiness'));
  }
  return writes;
}

function cpuWrites(cpu: CpuResources): V1Write[] {
  const writes: V1Write[] = [];
  if (cpu.shares) writes.push(put('cpu', 'cpu.shares', cpu.shares, 'cpu.shares'));
  if (cpu.idle !== undefined) writes.push(put('cpu', 'cpu.idle', cpu.idle, 'cpu.idle'));
  if (cpu.period) writes.push(put('cpu', 'cpu.cfs_period_us', cpu.period, 'cpu.period'));
  if (cpu.quota) writes.push(put('cpu', 'cpu.cfs_quota_us', cpu.quota, 'cpu.quota'));
  if (cpu.burst !== undefined) writes.push(put('cpu', 'cpu.cfs_burst_us', cpu.burst, 'cpu.burst'));
  if (cpu.realtimePeriod) writes.push(put('cpu', 'cpu.rt_period_us', cpu.realtimePeriod, 'cpu.realtimePeriod'));
  if (cpu.realtimeRuntime) writes.push(put('cpu', 'cpu.rt_runtime_us', cpu.realtimeRuntime, 'cpu.realtimeRuntime'));
  if (cpu.cpus) writes.push(put('cpuset', 'cpuset.cpus', cpu.cpus, 'cpu.cpus'));
  if (cpu.mems) writes.push(put('cpuset', 'cpuset.mems', cpu.mems, 'cpu.mems'));
  return writes;
}

function pidsWrites(limit: number | undefined): V1Write[] {
  if (limit === undefined) return [];
  return [put('pids', 'pids.max', limit > 0 ? limit : 'max', 'pids.limit')];
}

function blkioWrites(io: BlockIoResources, facts: CgroupFacts): V1Write[] {
  const writes: V1Write[] = [];
  // The CFQ files went with Linux 5.0; BFQ has its own, with another name.
  const name = (file: string) =>
    !facts.has(`blkio.${file}`) && facts.has(`blkio.bfq.${file}`) ? `blkio.bfq.${file}` : `blkio.${file}`;
  if (io.weight) writes.push(put('blkio', name('weight'), io.weight, 'blockIO.weight'));
  if (io.leafWeight) writes.push(put('blkio', 'blkio.leaf_weight', io.leafWeight, 'blockIO.leafWeight'));
  for (const { major, minor, weight, leafWeight } of io.weightDevice ?? []) {
    if (weight) {
      writes.push(put('blkio', name('weight_device'), `${major}:${minor} ${weight}`, 'blockIO.weightDevice'));
    }
    if (leafWeight) {
      const value = `${major}:${minor} ${leafWeight}`;
      writes.push(put('blkio', 'blkio.leaf_weight_device', value, 'blockIO.weightDevice'));
    }
  }
  const throttle = (file: string, field: string, devices: readonly ThrottleDevice[] = []) => {
    for (const { major, minor, rate } of devices) {
      writes.push(put('blkio', `blkio.throttle.${file}`, `${major}:${minor} ${rate}`, `blockIO.${field}`));
    }
  };
  throttle('read_bps_device', 'throttleReadBpsDevice', io.throttleReadBpsDevice);
  throttle('write_bps_device', 'throttleWriteBpsDevice', io.throttleWriteBpsDevice);
  throttle('read_iops_device', 'throttleReadIOPSDevice', io.throttleReadIOPSDevice);
  throttle('write_iops_device', 'throttleWriteIOPSDevice', io.throttleWriteIOPSDevice);
  return writes;
}

function networkWrites(network: Resources['network']): V1Write[] {
  if (network === undefined) return [];
  const writes: V1Write[] = [];
  if (network.classID) writes.push(put('net_cls', 'net_cls.classid', network.classID, 'network.classID'));
  for (const { name, priority } of network.priorities ?? []) {
    writes.push(put('net_prio', 'net_prio.ifpriomap', `${name} ${priority}`, 'network.priorities'));
  }
  return writes;
}
