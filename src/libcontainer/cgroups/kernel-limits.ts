/**
 * Which limits this host's kernel can set. Asked once at the start of the daemon; what is missing is discarded with a
 * warning at create and update, and listed by /info.
 */
import { existsSync, readdirSync } from 'node:fs';
import { type CgroupHost, type V1Controller, v1MountOf } from './detect.ts';

export interface KernelLimits {
  readonly memory: boolean;
  readonly swap: boolean;
  readonly memoryReservation: boolean;
  readonly swappiness: boolean;
  readonly oomKillDisable: boolean;
  readonly kernelMemory: boolean;
  readonly kernelMemoryTcp: boolean;
  readonly cpuShares: boolean;
  readonly cpuCfs: boolean;
  readonly cpuRealtime: boolean;
  readonly cpuset: boolean;
  readonly blkioWeight: boolean;
  readonly blkioWeightDevice: boolean;
  readonly blkioReadBps: boolean;
  readonly blkioWriteBps: boolean;
  readonly blkioReadIops: boolean;
  readonly blkioWriteIops: boolean;
  readonly pids: boolean;
  readonly cgroupNamespaces: boolean;
}

type Exists = (path: string) => boolean;

export function kernelLimits(host: CgroupHost, exists: Exists = existsSync): KernelLimits {
  const cgroupNamespaces = exists('/proc/self/ns/cgroup');
  if (host.version === 2) return { ...v2Limits(host.mountPoint, host.controllers, exists), cgroupNamespaces };
  const has = (controller: V1Controller, file = ''): boolean => {
    const mount = v1MountOf(host, controller);
    return mount !== undefined && exists(`${mount}/${file}`);
  };
  const throttle = (file: string): boolean => has('blkio', `blkio.throttle.${file}`);
  return {
    memory: has('memory'),
    swap: has('memory', 'memory.memsw.limit_in_bytes'),
    memoryReservation: has('memory', 'memory.soft_limit_in_bytes'),
    swappiness: has('memory', 'memory.swappiness'),
    oomKillDisable: has('memory', 'memory.oom_control'),
    // The file is still there, but nothing obeys it since Linux 5.16, and other runtimes do not write it any more.
    kernelMemory: false,
    kernelMemoryTcp: has('memory', 'memory.kmem.tcp.limit_in_bytes'),
    cpuShares: has('cpu', 'cpu.shares'),
    cpuCfs: has('cpu', 'cpu.cfs_quota_us'),
    cpuRealtime: has('cpu', 'cpu.rt_runtime_us'),
    cpuset: has('cpuset'),
    blkioWeight: has('blkio', 'blkio.weight') || has('blkio', 'blkio.bfq.weight'),
    blkioWeightDevice: has('blkio', 'blkio.weight_device') || has('blkio', 'blkio.bfq.weight_device'),
    blkioReadBps: throttle('read_bps_device'),
    blkioWriteBps: throttle('write_bps_device'),
    blkioReadIops: throttle('read_iops_device'),
    blkioWriteIops: throttle('write_iops_device'),
    pids: has('pids'),
    cgroupNamespaces,
  };
}

/** The root group has hardly any of the files: the controllers speak for them. */
function v2Limits(
  mountPoint: string,
  controllers: readonly string[],
  exists: Exists,
): Omit<KernelLimits, 'cgroupNamespaces'> {
  const on = (name: string): boolean => controllers.includes(name);
  // A group below the root tells what the kernel was built with; without any the controller's word is taken.
  const child = childGroup(mountPoint, exists);
  const file = (name: string): boolean => child === undefined || exists(`${child}/${name}`);
  const weight = on('io') && (file('io.weight') || file('io.bfq.weight'));
  return {
    memory: on('memory'),
    swap: on('memory') && file('memory.swap.max'),
    memoryReservation: on('memory'),
    swappiness: false,
    oomKillDisable: false,
    kernelMemory: false,
    kernelMemoryTcp: false,
    cpuShares: on('cpu'),
    cpuCfs: on('cpu') && file('cpu.max'),
    cpuRealtime: false,
    cpuset: on('cpuset'),
    blkioWeight: weight,
    blkioWeightDevice: weight,
    blkioReadBps: on('io'),
    blkioWriteBps: on('io'),
    blkioReadIops: on('io'),
    blkioWriteIops: on('io'),
    pids: on('pids'),
  };
}

/** One that its parent has given controllers to: memory and io. */
function childGroup(mountPoint: string, exists: Exists): string | undefined {
  const children = exists(mountPoint) ? readdirSync(mountPoint, { withFileTypes: true }) : [];
  return children
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${mountPoint}/${entry.name}`)
    .find(
      (directory) =>
        exists(`${directory}/memory.max`) && exists(`${directory}/io.max`) && exists(`${directory}/cpu.weight`),
    );
}
