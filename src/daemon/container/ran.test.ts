import { expect, test } from 'bun:test';
import { ranSince, ranUntil } from './ran.ts';

test('an end that was seen late is told by the recorded times, a jump of the clock is not believed', () => {
  const startedAt = '2026-01-01T00:00:00.000000000Z';
  const after = (ms: number): Date => new Date(Date.parse(startedAt) + ms);
  // Ended after 2 s, seen a minute later.
  expect(ranUntil(startedAt, after(2000), 60_000)).toBe(2000);
  // The clock was set forward by an hour, or back.
  expect(ranUntil(startedAt, after(3_600_000), 2500)).toBe(2500);
  expect(ranUntil(startedAt, after(-3_600_000), 2500)).toBe(2500);
});

test('this process has run for a while, whatever the clock says', () => {
  const ran = ranSince(0n);
  expect(ran).toBeGreaterThan(1000);
  expect(ranSince(2n ** 40n)).toBe(0);
});
