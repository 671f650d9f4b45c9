import { expect, test } from 'bun:test';
import { type DeadlineClock, Deadlines } from './deadlines.ts';

/** Time goes on when the test says so. */
class FakeClock implements DeadlineClock {
  ms = 1000;
  timer: { at: number; call: () => void } | undefined;
  armed = 0;

  now(): number {
    return this.ms;
  }

  after(ms: number, call: () => void): () => void {
    expect(this.timer).toBeUndefined();
    this.armed += 1;
    const timer = { at: this.ms + ms, call };
    this.timer = timer;
    return () => {
      if (this.timer === timer) this.timer = undefined;
    };
  }

  advance(ms: number): void {
    const end = this.ms + ms;
    while (this.timer !== undefined && this.timer.at <= end) {
      const { at, call } = this.timer;
      this.timer = undefined;
      this.ms = at;
      call();
    }
    this.ms = end;
  }
}

function recorder() {
  const clock = new FakeClock();
  const deadlines = new Deadlines(clock);
  const met: string[] = [];
  const at = (ms: number, name: string) => deadlines.in(ms, () => met.push(`${name} ${clock.ms}`));
  return { clock, deadlines, met, at };
}

test('deadlines are met in order, with one timer; without any there is none', () => {
  const { clock, deadlines, met, at } = recorder();
  for (const ms of [500, 100, 900, 300, 700]) at(ms, String(ms));
  expect(deadlines.size).toBe(5);
  clock.advance(10_000);
  expect(met).toEqual(['100 1100', '300 1300', '500 1500', '700 1700', '900 1900']);
  expect(clock.timer).toBeUndefined();
  expect(deadlines.size).toBe(0);
});

test('those that lie close together are one awakening', () => {
  const { clock, met, at } = recorder();
  at(100, 'a');
  at(110, 'b');
  at(200, 'c');
  const before = clock.armed;
  clock.advance(150);
  expect(met).toEqual(['a 1100', 'b 1100']);
  expect(clock.armed).toBe(before + 1);
});

test('a cancelled one is not met, and leaves no timer when it was the last', () => {
  const { clock, met, at } = recorder();
  const a = at(100, 'a');
  at(200, 'b');
  a.cancel();
  a.cancel();
  clock.advance(150);
  expect(met).toEqual([]);
  clock.advance(100);
  expect(met).toEqual(['b 1200']);
  at(100, 'c').cancel();
  expect(clock.timer).toBeUndefined();
});

test('one may cancel another of the same turn, and ask for more', () => {
  const { clock, deadlines, met, at } = recorder();
  let second: { cancel(): void } | undefined;
  deadlines.in(100, () => {
    second?.cancel();
    at(50, 'later');
  });
  second = at(101, 'second');
  clock.advance(1000);
  expect(met).toEqual(['later 1150']);
  expect(deadlines.size).toBe(0);
});

test('thousands, at random, some cancelled', () => {
  const { clock, deadlines, met, at } = recorder();
  let seed = 7;
  const random = () => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
  const made = Array.from({ length: 3000 }, (_, i) => at(Math.floor(random() * 100_000), `n${i}`));
  for (const [i, deadline] of made.entries()) if (i % 3 === 0) deadline.cancel();
  expect(deadlines.size).toBe(2000);
  clock.advance(200_000);
  expect(met.length).toBe(2000);
  const times = met.map((text) => Number(text.split(' ')[1]));
  expect(times).toEqual(times.toSorted((a, b) => a - b));
});
