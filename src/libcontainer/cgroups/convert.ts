/**
 * Numbers that v1 and v2 spell differently. Pure; the formulas are those of the OCI runtimes, so that a limit means the
 * same under Berth as under them.
 */
import { invalidParameter } from '#errdefs/errors.ts';

/**
 * cpu.shares (2…262144, default 1024) → cpu.weight (1…10000, default 100). The curve goes through (2, 1), (1024, 100)
 * and (262144, 10000): https://github.com/opencontainers/cgroups `ConvertCPUSharesToCgroupV2Value`. The older linear
 * formula made 39 of the default.
 */
export function cpuWeightOfShares(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262_144) return 10_000;
  const l = Math.log2(shares);
  return Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34));
}

/** blkio.weight (10…1000) → io.weight (1…10000). */
export function ioWeightOfBlkioWeight(weight: number): number {
  return 1 + Math.trunc(((weight - 10) * 9999) / 990);
}

/**
 * OCI `memory.swap` is memory plus swap; `memory.swap.max` is swap alone. Undefined: leave it as it is.
 */
export function swapMax(memory: number | undefined, swap: number | undefined): string | undefined {
  if (swap === undefined || swap === 0) return memory === -1 ? 'max' : undefined;
  if (swap === -1) return 'max';
  if (memory === undefined || memory <= 0) throw invalidParameter('Cannot set a swap limit without a memory limit');
  if (swap < memory) throw invalidParameter('Minimum memoryswap limit should be larger than memory limit');
  return String(swap - memory);
}

/** -1 is "no limit". */
export const limitOrMax = (limit: number): string => (limit < 0 ? 'max' : String(limit));

/** cpu.max: quota (-1 or 0: none) and period in microseconds. */
export function cpuMax(quota: number | undefined, period: number | undefined): string | undefined {
  if (!quota && !period) return undefined;
  const limit = quota !== undefined && quota > 0 ? String(quota) : 'max';
  return period ? `${limit} ${period}` : limit;
}

/** '2MB' as the files of hugetlb are called; the OCI spec and Docker use the same words. */
const PAGE_SIZE = /^[1-9][0-9]*(KB|MB|GB)$/;

export function hugepageName(pageSize: string): string {
  if (!PAGE_SIZE.test(pageSize)) throw invalidParameter(`Cannot read huge page size ${JSON.stringify(pageSize)}`);
  return pageSize;
}
