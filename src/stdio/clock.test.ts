import { expect, test } from 'bun:test';
import { wallClockNs } from './clock.ts';

test('follows the wall clock to the millisecond, with the digits below from the steady one', () => {
  let wall = 1_000_000;
  let steady = 5.25;
  const now = wallClockNs(
    () => Math.floor(wall),
    () => steady,
  );
  const within = () => {
    const ms = Number(now()) / 1e6;
    expect(ms).toBeGreaterThanOrEqual(Math.floor(wall));
    expect(ms).toBeLessThan(Math.floor(wall) + 1);
    return ms;
  };
  within();
  const first = now();
  wall += 0.5;
  steady += 0.5;
  expect(now() - first).toBe(500_000n);
  for (let i = 0; i < 50; i++) {
    wall += 0.31;
    steady += 0.31;
    within();
  }
  // Somebody sets the time forth and back.
  wall += 3_600_000;
  within();
  wall -= 7_200_000;
  within();
});
