import { expect, test } from 'bun:test';
import type { KernelLimits } from '#libcontainer/cgroups/kernel-limits.ts';
import { fitResources } from './fit-resources.ts';
import { allLimits, stockHostConfig } from './testing/stock.ts';

const noLimits: KernelLimits = { ...allLimits };
for (const name of Object.keys(allLimits)) Reflect.set(noLimits, name, false);

test('a kernel with everything discards nothing', () => {
  const asked = { ...stockHostConfig, Memory: 64 << 20, OomKillDisable: true, BlkioWeight: 300 };
  expect(fitResources(asked, allLimits)).toEqual({ resources: asked, warnings: [] });
});

test('what the stock CLI sends unasked gives no warning on a kernel with nothing', () => {
  expect(fitResources(stockHostConfig, noLimits).warnings).toEqual([]);
});

test('each limit that is not there is discarded with the words of dockerd', () => {
  const device = [{ Path: '/dev/x', Rate: 1 }];
  const { resources, warnings } = fitResources(
    {
      ...stockHostConfig,
      Memory: 64 << 20,
      MemorySwap: 128 << 20,
      MemorySwappiness: 10,
      MemoryReservation: 32 << 20,
      KernelMemory: 1,
      KernelMemoryTCP: 1,
      OomKillDisable: true,
      CpuShares: 2,
      CpuQuota: 2000,
      CpusetCpus: '0',
      PidsLimit: 5,
      BlkioWeight: 3,
      BlkioWeightDevice: [{ Path: '/dev/x', Weight: 10 }],
      BlkioDeviceReadBps: device,
      BlkioDeviceWriteIOps: device,
    },
    noLimits,
  );
  expect(warnings.map((warning) => warning.replace('Your kernel does not support ', ''))).toEqual([
    'memory limit capabilities or the cgroup is not mounted. Limitation discarded.',
    'memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.',
    'memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.',
    'kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.',
    'kernel memory TCP limit capabilities or the cgroup is not mounted. Limitation discarded.',
    'OomKillDisable. OomKillDisable discarded.',
    'CPU shares or the cgroup is not mounted. Shares discarded.',
    'CPU CFS scheduler. CPU period/quota discarded.',
    'cpuset or the cgroup is not mounted. Cpuset discarded.',
    'Block I/O weight or the cgroup is not mounted. Weight discarded.',
    'Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.',
    'BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.',
    'IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.',
    'PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.',
  ]);
  expect(resources).toMatchObject({ Memory: 0, MemorySwap: -1, PidsLimit: null, CpuShares: 0 });
});

test('without swap accounting memory is limited alone; no OOM killer without a limit is worth a warning', () => {
  const swapless = fitResources({ ...stockHostConfig, Memory: 64 << 20 }, { ...allLimits, swap: false });
  expect(swapless.resources.MemorySwap).toBe(-1);
  expect(swapless.warnings[0]).toContain('Memory limited without swap.');
  expect(fitResources({ ...stockHostConfig, OomKillDisable: true }, allLimits).warnings[0]).toContain(
    'OOM killer is disabled for the container, but no memory limit is set',
  );
});
