import { expect, test } from 'bun:test';
import type { ContainerSummary } from '#api/types/container.ts';
import { orderedIds, type Overview, picture } from './picture.ts';

// as: the fields that the picture reads.
const container = (Id: string, name: string, Status = 'Up 2 minutes') =>
  ({ Id, Names: [`/${name}`], Status, State: 'running' }) as unknown as ContainerSummary;

const overview = (containers: ContainerSummary[]): Overview => ({
  containers,
  frames: new Map(),
  marked: containers[0]?.Id ?? '',
  order: 'name',
  message: '',
});

test('every size of terminal gets no more than it can hold', () => {
  const many = overview(Array.from({ length: 50 }, (_, i) => container(`id${i}`, `name-${i}`)));
  for (const [rows, columns] of [
    [0, 0],
    [1, 1],
    [2, 80],
    [24, 0],
    [24, 80],
    [60, 500],
  ] as const) {
    const lines = picture(many, rows, columns, false);
    expect(lines.length).toBeLessThanOrEqual(rows);
    expect(Math.max(0, ...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
  }
});

test('the marked line is in view wherever it is', () => {
  const many = overview(
    Array.from({ length: 50 }, (_, i) => container(`id${i}`, `name-${String(i).padStart(2, '0')}`)),
  );
  const lines = picture({ ...many, marked: 'id49' }, 10, 80, false);
  expect(lines.some((line) => line.startsWith('>name-49'))).toBe(true);
});

test('nothing of others steers the terminal', () => {
  const lines = picture(overview([container('a', 'x\x1b[2Jy', 'Up\n\x07')]), 24, 120, false);
  expect(lines.join('')).not.toMatch(/[\x00-\x1f]/);
});

test('by name, without figures', () => {
  expect(orderedIds(overview([container('1', 'b'), container('2', 'a')]))).toEqual(['2', '1']);
});
