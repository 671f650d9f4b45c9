/**
 * What this host's kernel cannot do is taken out of a request, each with dockerd's warning, so that the record (and
 * inspect) has only what is in force. Pure; runs before the checks, since a discarded value is not judged.
 */
import type { Resources } from '#api/types/host-config.ts';
import type { KernelLimits } from '#libcontainer/cgroups/kernel-limits.ts';

export interface Fitted<T> {
  readonly resources: T;
  readonly warnings: readonly string[];
}

export function fitResources<T extends Resources>(asked: T, kernel: KernelLimits): Fitted<T> {
  const resources = { ...asked };
  const warnings: string[] = [];
  const discard = (unfit: boolean, warning: string, act: () => void): void => {
    if (!unfit) return;
    warnings.push(warning);
    act();
  };
  fitMemory(resources, kernel, discard);
  fitCpu(resources, kernel, discard);
  fitBlockIo(resources, kernel, discard);
  discard(
    (resources.PidsLimit ?? 0) > 0 && !kernel.pids,
    'Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.',
    () => (resources.PidsLimit = null),
  );
  return { resources, warnings };
}

type Discard = (unfit: boolean, warning: string, act: () => void) => void;

const notMounted = (what: string, consequence: string): string =>
  `Your kernel does not support ${what} or the cgroup is not mounted. ${consequence}`;

function fitMemory(r: Resources, kernel: KernelLimits, discard: Discard): void {
  discard(r.Memory > 0 && !kernel.memory, notMounted('memory limit capabilities', 'Limitation discarded.'), () => {
    r.Memory = 0;
    r.MemorySwap = -1;
  });
  discard(
    r.Memory > 0 && r.MemorySwap !== -1 && !kernel.swap,
    notMounted('swap limit capabilities', 'Memory limited without swap.'),
    () => (r.MemorySwap = -1),
  );
  discard(
    (r.MemorySwappiness ?? -1) !== -1 && !kernel.swappiness,
    notMounted('memory swappiness capabilities', 'Memory swappiness discarded.'),
    () => (r.MemorySwappiness = null),
  );
  discard(
    r.MemoryReservation > 0 && !kernel.memoryReservation,
    notMounted('memory soft limit capabilities', 'Limitation discarded.'),
    () => (r.MemoryReservation = 0),
  );
  discard(
    (r.KernelMemory ?? 0) > 0 && !kernel.kernelMemory,
    notMounted('kernel memory limit capabilities', 'Limitation discarded.'),
    () => delete r.KernelMemory,
  );
  discard(
    (r.KernelMemoryTCP ?? 0) > 0 && !kernel.kernelMemoryTcp,
    notMounted('kernel memory TCP limit capabilities', 'Limitation discarded.'),
    () => delete r.KernelMemoryTCP,
  );
  discard(
    r.OomKillDisable === true && !kernel.oomKillDisable,
    'Your kernel does not support OomKillDisable. OomKillDisable discarded.',
    () => (r.OomKillDisable = null),
  );
  discard(
    r.OomKillDisable === true && r.Memory === 0,
    'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    () => undefined,
  );
}

function fitCpu(r: Resources, kernel: KernelLimits, discard: Discard): void {
  discard(r.CpuShares > 0 && !kernel.cpuShares, notMounted('CPU shares', 'Shares discarded.'), () => (r.CpuShares = 0));
  discard(
    (r.CpuPeriod !== 0 || r.CpuQuota !== 0) && !kernel.cpuCfs,
    'Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.',
    () => {
      r.CpuPeriod = 0;
      r.CpuQuota = 0;
    },
  );
  discard(r.CpuPercent > 0, 'linux does not support CPU percent. Percent discarded.', () => (r.CpuPercent = 0));
  discard(
    (r.CpusetCpus !== '' || r.CpusetMems !== '') && !kernel.cpuset,
    notMounted('cpuset', 'Cpuset discarded.'),
    () => {
      r.CpusetCpus = '';
      r.CpusetMems = '';
    },
  );
}

function fitBlockIo(r: Resources, kernel: KernelLimits, discard: Discard): void {
  discard(
    r.BlkioWeight > 0 && !kernel.blkioWeight,
    notMounted('Block I/O weight', 'Weight discarded.'),
    () => (r.BlkioWeight = 0),
  );
  discard(
    (r.BlkioWeightDevice ?? []).length > 0 && !kernel.blkioWeightDevice,
    notMounted('Block I/O weight_device', 'Weight-device discarded.'),
    () => (r.BlkioWeightDevice = []),
  );
  const throttles = [
    ['BlkioDeviceReadBps', kernel.blkioReadBps, 'BPS Block I/O read limit', 'BPS read'],
    ['BlkioDeviceWriteBps', kernel.blkioWriteBps, 'BPS Block I/O write limit', 'BPS write'],
    ['BlkioDeviceReadIOps', kernel.blkioReadIops, 'IOPS Block read limit', 'IOPS read'],
    ['BlkioDeviceWriteIOps', kernel.blkioWriteIops, 'IOPS Block write limit', 'IOPS write'],
  ] as const;
  for (const [field, supported, what, short] of throttles) {
    discard(
      (r[field] ?? []).length > 0 && !supported,
      notMounted(what, `Block I/O ${short} limit discarded.`),
      () => (r[field] = []),
    );
  }
}
