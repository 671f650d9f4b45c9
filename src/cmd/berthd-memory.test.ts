import { expect, test } from 'bun:test';
import {
  COLLECTIONS_APART_MS,
  collector,
  GROWTH_BYTES,
  LOOK_EVERY,
  MUCH_GROWTH_BYTES,
  RARELY,
  REST_MS,
  WORK_MS,
} from './berthd-memory.ts';

function world() {
  const state = { bytes: 100 << 20, ms: 0, collections: 0, workedMs: 0, collectionMs: 0 };
  const quiet: (() => void)[] = [];
  const ended = collector({
    rss: () => state.bytes,
    now: () => state.ms,
    workedMs: () => state.workedMs,
    collect: () => {
      state.collections += 1;
      state.ms += state.collectionMs;
      state.bytes -= GROWTH_BYTES / 2;
    },
    later: (work, ms) => {
      if (ms === REST_MS) quiet.push(work);
      else work();
    },
  });
  const jobs = (count: number) => {
    for (let i = 0; i < count; i++) ended();
  };
  return { state, jobs, quiet };
}

test('a daemon that does not grow is left alone', () => {
  const { state, jobs } = world();
  jobs(10 * LOOK_EVERY);
  state.bytes += GROWTH_BYTES - 1;
  jobs(10 * LOOK_EVERY);
  expect(state.collections).toBe(0);
});

test('growth is collected, counted from what the last collection left', () => {
  const { state, jobs } = world();
  jobs(LOOK_EVERY);
  state.bytes += GROWTH_BYTES;
  jobs(LOOK_EVERY - 1);
  expect(state.collections).toBe(0);
  jobs(1);
  expect(state.collections).toBe(1);
  state.ms += COLLECTIONS_APART_MS;
  jobs(LOOK_EVERY);
  expect(state.collections).toBe(1);
  state.bytes += GROWTH_BYTES;
  jobs(LOOK_EVERY);
  expect(state.collections).toBe(2);
});

test('however fast it grows, collections stay apart', () => {
  const { state, jobs } = world();
  jobs(LOOK_EVERY);
  for (let i = 0; i < 10; i++) {
    state.bytes += 2 * GROWTH_BYTES;
    jobs(LOOK_EVERY);
  }
  expect(state.collections).toBe(1);
});

test('little growth waits until a collection is a small part of the time, much growth does not', () => {
  const { state, jobs } = world();
  state.collectionMs = 20;
  jobs(LOOK_EVERY);
  state.bytes += GROWTH_BYTES;
  jobs(LOOK_EVERY);
  expect(state.collections).toBe(1);
  state.ms += COLLECTIONS_APART_MS;
  jobs(LOOK_EVERY);
  state.bytes += GROWTH_BYTES;
  jobs(LOOK_EVERY);
  expect(state.collections).toBe(1);
  state.bytes += MUCH_GROWTH_BYTES - GROWTH_BYTES;
  jobs(LOOK_EVERY);
  expect(state.collections).toBe(2);
  jobs(LOOK_EVERY);
  state.bytes += GROWTH_BYTES;
  state.ms += RARELY * state.collectionMs;
  jobs(LOOK_EVERY);
  expect(state.collections).toBe(3);
});

test('some seconds after the last job it collects once, and not again before the next', () => {
  const { state, jobs, quiet } = world();
  jobs(3);
  expect(quiet).toHaveLength(1);
  jobs(1);
  quiet.shift()?.();
  expect([state.collections, quiet.length]).toEqual([0, 1]);
  quiet.shift()?.();
  expect([state.collections, quiet.length]).toEqual([1, 0]);
  jobs(1);
  expect(quiet).toHaveLength(1);
});

test('while a long job keeps it at work it does not stop for a collection', () => {
  const { state, jobs, quiet } = world();
  jobs(1);
  state.workedMs += WORK_MS + 1;
  quiet.shift()?.();
  expect([state.collections, quiet.length]).toEqual([0, 1]);
  state.workedMs += WORK_MS;
  quiet.shift()?.();
  expect([state.collections, quiet.length]).toEqual([1, 0]);
});
