import { describe, expect, test } from 'bun:test';
import { formatDuration, humanDuration, parseDuration, parseTimestamp } from './duration.ts';
import { binarySize, humanSize, parseBytes, parseDecimalBytes } from './size.ts';

describe('sizes', () => {
  for (const [text, bytes] of [
    ['0', 0],
    ['1024', 1024],
    ['1k', 1024],
    ['1K', 1024],
    ['64m', 64 << 20],
    ['1.5g', 1.5 * 2 ** 30],
    ['2GiB', 2 ** 31],
    ['2 gb', 2 ** 31],
    ['1b', 1],
    ['-1', -1],
    ['1p', 2 ** 50],
  ] as const) {
    test(`read ${text}`, () => expect(parseBytes(text)).toBe(bytes));
  }
  for (const text of ['', 'k', '1x', '-2', '1 k m', '--1', '1e3', '1ki ', '99999p', '0x10']) {
    test(`refuse "${text}"`, () => expect(() => parseBytes(text)).toThrow('invalid size'));
  }
  test('decimal', () => expect(parseDecimalBytes('1k')).toBe(1000));
  for (const [bytes, text] of [
    [0, '0B'],
    [999, '999B'],
    [1000, '1kB'],
    [4261550, '4.262MB'],
    [1234567890, '1.235GB'],
  ] as const) {
    test(`show ${bytes}`, () => expect(humanSize(bytes)).toBe(text));
  }
  test('three digits', () => expect(humanSize(4261550, 3)).toBe('4.26MB'));
  test('binary', () => expect(binarySize(512 << 20)).toBe('512MiB'));
});

describe('durations', () => {
  for (const [text, ns] of [
    ['0', 0n],
    ['1h30m', 5_400_000_000_000n],
    ['1.5s', 1_500_000_000n],
    ['-2ms', -2_000_000n],
    ['10us', 10_000n],
  ] as const) {
    test(`read ${text}`, () => expect(parseDuration(text)).toBe(ns));
  }
  for (const text of ['', '1', 'h', '1d', '.s', '1h-1m', '99999999999h']) {
    test(`refuse "${text}"`, () => expect(() => parseDuration(text)).toThrow('time: invalid duration'));
  }
  for (const [ns, text] of [
    [0n, '0s'],
    [30_000_000_000n, '30s'],
    [90_500_000_000n, '1m30.5s'],
    [3_600_000_000_000n, '1h0m0s'],
    [1_500_000n, '1.5ms'],
    [-5n, '-5ns'],
  ] as const) {
    test(`show ${ns}`, () => expect(formatDuration(ns)).toBe(text));
  }
  for (const [seconds, text] of [
    [0.5, 'Less than a second'],
    [1, '1 second'],
    [59, '59 seconds'],
    [60, 'About a minute'],
    [119, 'About a minute'],
    [120, '2 minutes'],
    [3600, 'About an hour'],
    [5399, 'About an hour'],
    [5400, '2 hours'],
    [47 * 3600, '47 hours'],
    [48 * 3600, '2 days'],
    [15 * 86400, '2 weeks'],
    [70 * 86400, '2 months'],
    [800 * 86400, '2 years'],
  ] as const) {
    test(`roughly ${seconds}`, () => expect(humanDuration(seconds * 1000)).toBe(text));
  }
});

test('points in time', () => {
  const now = new Date('2026-01-02T03:04:05Z');
  expect(parseTimestamp('1700000000', now)).toBe(1_700_000_000_000_000_000n);
  expect(parseTimestamp('1700000000.000000001', now)).toBe(1_700_000_000_000_000_001n);
  expect(parseTimestamp('2026-01-02T03:04:05.5Z', now)).toBe(BigInt(now.getTime()) * 1_000_000n + 500_000_000n);
  expect(parseTimestamp('2026-01-02T04:04+01:00', now)).toBe(BigInt(now.getTime() - 5000) * 1_000_000n);
  expect(parseTimestamp('10m', now)).toBe(BigInt(now.getTime() - 600_000) * 1_000_000n);
  for (const text of ['', 'x', '2026-13-01', '2026-01-02T25:00Z']) {
    expect(() => parseTimestamp(text, now)).toThrow('failed to parse value as time or duration');
  }
});
