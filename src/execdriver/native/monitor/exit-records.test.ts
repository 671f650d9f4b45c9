import { afterAll, expect, test } from 'bun:test';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { ExitRecords, readRecords } from './exit-records.ts';

const directory = mkdtempSync(`${tmpdir()}/berth-exits-`);
afterAll(() => rmSync(directory, { recursive: true }));
const record = (id: string) => ({ id, pid: 7, code: 1, signal: 0, time: 1_700_000_000_000 });

test('records outlive their writer until they are forgotten', () => {
  const path = `${directory}/a`;
  {
    using records = new ExitRecords(path);
    for (const id of ['x', 'y', 'z']) records.append(record(id));
    records.forget('y');
    records.forget('unknown');
    expect(records.all().map((r) => r.id)).toEqual(['x', 'z']);
  }
  // A forgotten one comes back until the file is rewritten: whoever reads it does not know the id and forgets it again.
  using again = new ExitRecords(path);
  expect(again.all()).toEqual([record('x'), record('y'), record('z')]);
});

test('a line cut short is left out', () => {
  const path = `${directory}/b`;
  {
    using records = new ExitRecords(path);
    records.append(record('x'));
  }
  appendFileSync(path, '{"id":"y","pid":');
  expect(readRecords(path)).toEqual([record('x')]);
});

test('the file does not grow with what is forgotten', () => {
  const path = `${directory}/c`;
  using records = new ExitRecords(path);
  for (let i = 0; i < 5000; i++) {
    records.append(record(`id${i}`));
    records.forget(`id${i}`);
  }
  records.append(record('last'));
  expect(readFileSync(path, 'utf8').split('\n').length).toBeLessThan(1100);
  expect(readRecords(path).at(-1)).toEqual(record('last'));
});
