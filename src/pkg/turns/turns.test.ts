import { expect, test } from 'bun:test';
import { Turns } from './turns.ts';

/** A loop whose turns are taken by hand. */
function loop() {
  let planned: (() => void)[] = [];
  const turns = new Turns((work) => void planned.push(work));
  const turn = async () => {
    const now = planned;
    planned = [];
    for (const work of now) work();
    // Whoever was let in runs up to its next wait.
    for (let i = 0; i < 5; i++) await Promise.resolve();
    return now.length;
  };
  return { turns, turn };
}

test('one piece in each turn, in the order in which they came', async () => {
  const { turns, turn } = loop();
  const done: number[] = [];
  const piece = async (n: number) => {
    await turns.take();
    done.push(n);
  };
  const all = [1, 2, 3].map(piece);
  await Promise.resolve();
  await Promise.resolve();
  expect(done).toEqual([1]);
  await turn();
  expect(done).toEqual([1, 2]);
  all.push(piece(4));
  await turn();
  expect(done).toEqual([1, 2, 3]);
  await turn();
  await Promise.all(all);
  expect(done).toEqual([1, 2, 3, 4]);
});

test('with nobody waiting the next one goes at once, and nothing is planned any more', async () => {
  const { turns, turn } = loop();
  await turns.take();
  expect(await turn()).toBe(1);
  expect(await turn()).toBe(0);
  await turns.take();
  expect(await turn()).toBe(1);
  expect(await turn()).toBe(0);
});

test('what comes in is looked at between two pieces', async () => {
  const turns = new Turns();
  const seen: string[] = [];
  const piece = async (n: number) => {
    await turns.take();
    seen.push(`piece ${n}`);
    if (n === 1) setImmediate(() => seen.push('other'));
  };
  await Promise.all([1, 2, 3].map(piece));
  expect(seen.indexOf('other')).toBeLessThan(seen.indexOf('piece 3'));
});
