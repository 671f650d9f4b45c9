import { expect, test } from 'bun:test';
import { nowNs, parseRfc3339, rfc3339, rfc3339OfDate } from './clock.ts';

test('time never stands still', () => {
  const times = Array.from({ length: 1000 }, nowNs);
  expect(times.every((time, i) => i === 0 || time > (times[i - 1] ?? 0n))).toBe(true);
  expect(Math.abs(Number(nowNs() / 1_000_000n) - Date.now())).toBeLessThan(1000);
});

test('RFC 3339 with nanoseconds, there and back', () => {
  const ns = 1_767_323_045_123_456_789n;
  expect(rfc3339(ns)).toBe('2026-01-02T03:04:05.123456789Z');
  expect(parseRfc3339(rfc3339(ns))).toBe(ns);
  expect(parseRfc3339('2026-01-02T03:04:05Z')).toBe(1_767_323_045_000_000_000n);
  expect(rfc3339OfDate(new Date('2026-01-02T03:04:05.007Z'))).toBe('2026-01-02T03:04:05.007000000Z');
});
