import { describe, expect, test } from 'bun:test';
import { cpuMax, cpuWeightOfShares, hugepageName, ioWeightOfBlkioWeight, swapMax } from './convert.ts';

describe('cpu.shares to cpu.weight', () => {
  const cases = [
    [2, 1],
    [3, 2],
    [10, 4],
    [512, 59],
    [1024, 100],
    [2048, 174],
    [262_144, 10_000],
    [1_000_000, 10_000],
  ] as const;
  test.each(cases)('%d is %d', (shares, weight) => {
    expect(cpuWeightOfShares(shares)).toBe(weight);
  });
});

test.each([
  [10, 1],
  [500, 4950],
  [1000, 10_000],
] as const)('blkio.weight %d is io.weight %d', (weight, expected) => {
  expect(ioWeightOfBlkioWeight(weight)).toBe(expected);
});

describe('memory and swap', () => {
  const cases = [
    [100, 100, '0'],
    [100, 300, '200'],
    [100, -1, 'max'],
    [100, undefined, undefined],
    [100, 0, undefined],
    [-1, undefined, 'max'],
    [undefined, undefined, undefined],
  ] as const;
  test.each(cases)('memory %p with memory+swap %p writes %p', (memory, swap, expected) => {
    expect(swapMax(memory, swap)).toBe(expected);
  });
  test('what cannot be said is refused', () => {
    expect(() => swapMax(undefined, 100)).toThrow('without a memory limit');
    expect(() => swapMax(200, 100)).toThrow('larger than memory limit');
  });
});

test.each([
  [undefined, undefined, undefined],
  [50_000, undefined, '50000'],
  [50_000, 100_000, '50000 100000'],
  [-1, undefined, 'max'],
  [-1, 50_000, 'max 50000'],
  [undefined, 50_000, 'max 50000'],
] as const)('cpu quota %p and period %p write %p', (quota, period, expected) => {
  expect(cpuMax(quota, period)).toBe(expected);
});

test('a huge page size is a word of the kernel', () => {
  expect(hugepageName('2MB')).toBe('2MB');
  expect(() => hugepageName('../2MB')).toThrow('Cannot read huge page size');
});
