import { expect, test } from 'bun:test';
import { type BudgetImage, type BudgetLimits, planBudget } from './budget.ts';

const image = (id: string, usedMs: number, layers: string[], more: Partial<BudgetImage> = {}): BudgetImage => ({
  id,
  tags: [`repo/${id}:1`],
  usedMs,
  arrivedMs: usedMs,
  layers,
  kept: undefined,
  ...more,
});
const none: BudgetLimits = { sizeBytesMax: undefined, freeBytesMin: undefined, ageMsMax: undefined, keepLast: 0 };
const layerSizes = new Map([
  ['base', 100],
  ['a', 10],
  ['b', 20],
  ['c', 30],
]);
const plan = (images: readonly BudgetImage[], limits: Partial<BudgetLimits>, freeBytes = 1000) =>
  planBudget({ images, layerSizes, freeBytes, nowMs: 10_000 }, { ...none, ...limits });
const images = [image('a', 1000, ['base', 'a']), image('b', 3000, ['base', 'b']), image('c', 2000, ['base', 'c'])];

test('without limits nothing goes', () => {
  expect(plan(images, {})).toEqual({ evictions: [], sizeBytes: 160, sizeBytesAfter: 160, unmet: [] });
});

test('the one not used for the longest time goes first; shared layers count with the last that has them', () => {
  expect(plan(images, { sizeBytesMax: 155 }).evictions).toEqual([{ id: 'a', reason: 'size', bytes: 10 }]);
  expect(plan(images, { sizeBytesMax: 130 }).evictions.map((e) => e.id)).toEqual(['a', 'c']);
  const all = plan(images, { sizeBytesMax: 0 });
  expect(all.evictions).toEqual([
    { id: 'a', reason: 'size', bytes: 10 },
    { id: 'c', reason: 'size', bytes: 30 },
    { id: 'b', reason: 'size', bytes: 120 },
  ]);
  expect(all.sizeBytesAfter).toBe(0);
});

test('age, free space, and what stays', () => {
  expect(plan(images, { ageMsMax: 7500 }).evictions).toEqual([
    { id: 'a', reason: 'age', bytes: 10 },
    { id: 'c', reason: 'age', bytes: 30 },
  ]);
  expect(plan(images, { freeBytesMin: 1035 }).evictions.map((e) => e.id)).toEqual(['a', 'c']);
  const kept = images.map((one) => ({ ...one, kept: one.id === 'b' ? undefined : ('locked' as const) }));
  const locked = plan(kept, { sizeBytesMax: 100 });
  expect(locked.evictions.map((e) => e.id)).toEqual(['b']);
  expect(locked.unmet).toEqual(['size']);
});

test('the newest of each repository stay', () => {
  const tags = [1, 2, 3].map((n) => image(`v${n}`, n * 1000, [`l${n}`], { tags: [`app:${n}`] }));
  const limits = { sizeBytesMax: -1, keepLast: 2 };
  expect(plan(tags, limits).evictions.map((e) => e.id)).toEqual(['v1']);
  expect(plan([...tags, image('x', 1, ['z'], { tags: [] })], limits).evictions.map((e) => e.id)).toEqual(['x', 'v1']);
});
