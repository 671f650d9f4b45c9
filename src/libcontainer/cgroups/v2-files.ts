/**
 * OCI resources → files of cgroup v2. Pure. `unified` comes last, so that a file named there wins. What v2 has no file
 * for (kernel memory, swappiness, OOM killer off, real-time, network classes) is refused by name, never dropped.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import type { BlockIoResources, CpuResources, MemoryResources, Resources, ThrottleDevice } from '#libcontainer/spec.ts';
import { cpuMax, cpuWeightOfShares, hugepageName, ioWeightOfBlkioWeight, limitOrMax, swapMax } from './convert.ts';
import type { CgroupFacts, CgroupWrite } from './write.ts';

const put = (file: string, value: string | number, field: string, optional = false): CgroupWrite => ({
  file,
  value: String(value),
  field,
  optional,
});

/** Everything but devices (v2-devices.ts). */
export function v2Writes(resources: Resources, facts: CgroupFacts): CgroupWrite[] {
  const { network } = resources;
  refuse('network.classID', network?.classID);
  refuse('network.priorities', network?.priorities?.length);
  refuse('rdma', Object.keys(resources.rdma ?? {}).length);
  return [
    ...memoryWrites(resources.memory ?? {}, facts),
    ...cpuWrites(resources.cpu ?? {}),
    ...(resources.pids?.limit === undefined
      ? []
      : [put('pids.max', resources.pids.limit > 0 ? resources.pids.limit : 'max', 'pids.limit')]),
    ...ioWrites(resources.blockIO ?? {}, facts),
    ...hugepageWrites(resources.hugepageLimits ?? [], facts),
    ...unifiedWrites(resources.unified ?? {}),
  ];
}

function refuse(field: string, value: number | boolean | undefined): void {
  if (value) throw invalidParameter(`Cannot set ${field}: cgroup v2 has no such limit`);
}

function memoryWrites(memory: MemoryResources, facts: CgroupFacts): CgroupWrite[] {
  refuse('memory.kernel', memory.kernel);
  refuse('memory.kernelTCP', memory.kernelTCP);
  refuse('memory.disableOOMKiller', memory.disableOOMKiller);
  refuse('memory.swappiness', memory.swappiness !== undefined && memory.swappiness !== -1);
  const { limit } = memory;
  if (memory.checkBeforeUpdate && limit !== undefined && limit > 0) {
    const used = Number(facts.read('memory.current') ?? '0');
    if (used > limit) {
      throw invalidParameter(`Cannot set memory.limit to "${limit}": it is less than what is in use now (${used})`);
    }
  }
  const writes: CgroupWrite[] = [];
  const swap = swapMax(limit, memory.swap);
  // Without swap accounting there is no memory.swap.max: then "no limit" and "no swap" hold already.
  if (swap !== undefined) {
    writes.push(put('memory.swap.max', swap, 'memory.swap', swap === 'max' || swap === '0'));
  }
  if (limit) writes.push(put('memory.max', limitOrMax(limit), 'memory.limit'));
  if (memory.reservation) writes.push(put('memory.low', limitOrMax(memory.reservation), 'memory.reservation'));
  return writes;
}

function cpuWrites(cpu: CpuResources): CgroupWrite[] {
  refuse('cpu.realtimeRuntime', cpu.realtimeRuntime);
  refuse('cpu.realtimePeriod', cpu.realtimePeriod);
  const writes: CgroupWrite[] = [];
  if (cpu.idle !== undefined) writes.push(put('cpu.idle', cpu.idle, 'cpu.idle'));
  if (cpu.shares) writes.push(put('cpu.weight', cpuWeightOfShares(cpu.shares), 'cpu.shares'));
  const max = cpuMax(cpu.quota, cpu.period);
  if (max !== undefined) writes.push(put('cpu.max', max, 'cpu.quota'));
  if (cpu.burst !== undefined) writes.push(put('cpu.max.burst', cpu.burst, 'cpu.burst'));
  if (cpu.cpus) writes.push(put('cpuset.cpus', cpu.cpus, 'cpu.cpus'));
  if (cpu.mems) writes.push(put('cpuset.mems', cpu.mems, 'cpu.mems'));
  return writes;
}

function ioWrites(io: BlockIoResources, facts: CgroupFacts): CgroupWrite[] {
  refuse('blockIO.leafWeight', io.leafWeight);
  const writes: CgroupWrite[] = [];
  const bfq = !facts.has('io.weight') && facts.has('io.bfq.weight');
  const weight = (value: number) => (bfq ? value : ioWeightOfBlkioWeight(value));
  const file = bfq ? 'io.bfq.weight' : 'io.weight';
  if (io.weight) writes.push(put(file, weight(io.weight), 'blockIO.weight'));
  for (const device of io.weightDevice ?? []) {
    refuse('blockIO.weightDevice leafWeight', device.leafWeight);
    if (!device.weight) continue;
    const value = `${device.major}:${device.minor} ${weight(device.weight)}`;
    writes.push(put(file, value, 'blockIO.weightDevice'));
  }
  const throttle = (key: string, field: string, devices: readonly ThrottleDevice[] = []) => {
    for (const { major, minor, rate } of devices) {
      writes.push(put('io.max', `${major}:${minor} ${key}=${rate === 0 ? 'max' : rate}`, `blockIO.${field}`));
    }
  };
  throttle('rbps', 'throttleReadBpsDevice', io.throttleReadBpsDevice);
  throttle('wbps', 'throttleWriteBpsDevice', io.throttleWriteBpsDevice);
  throttle('riops', 'throttleReadIOPSDevice', io.throttleReadIOPSDevice);
  throttle('wiops', 'throttleWriteIOPSDevice', io.throttleWriteIOPSDevice);
  return writes;
}

function hugepageWrites(limits: NonNullable<Resources['hugepageLimits']>, facts: CgroupFacts): CgroupWrite[] {
  return limits.flatMap(({ pageSize, limit }) => {
    const page = hugepageName(pageSize);
    const field = `hugepageLimits ${page}`;
    const reserved = `hugetlb.${page}.rsvd.max`;
    return [put(`hugetlb.${page}.max`, limit, field), ...(facts.has(reserved) ? [put(reserved, limit, field)] : [])];
  });
}

function unifiedWrites(unified: NonNullable<Resources['unified']>): CgroupWrite[] {
  return Object.entries(unified).flatMap(([file, value]) => {
    // A name with a slash would reach another group; files of `cgroup.` are how we run the group.
    if (!/^[a-z0-9_]+(\.[A-Za-z0-9_]+)+$/.test(file) || file.startsWith('cgroup.')) {
      throw invalidParameter(`Cannot set unified ${JSON.stringify(file)}: not a limit`);
    }
    return value
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => put(file, line, `unified ${file}`));
  });
}
