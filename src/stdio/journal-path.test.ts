import { afterEach, beforeEach, expect, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { journalPath } from './journal-path.ts';

let shared = '';
let disk = '';
beforeEach(() => {
  shared = mkdtempSync('/dev/shm/test-');
  disk = mkdtempSync(join(import.meta.dir, 'test-'));
});
afterEach(() => {
  rmSync(shared, { recursive: true });
  rmSync(disk, { recursive: true });
});

test('in an exec root in memory it lies there', () => {
  expect(journalPath(shared)).toBe(join(shared, 'pump.journal'));
});

test('an exec root on a disk has a folder in memory, always the same, until it goes', () => {
  const [one, two] = [join(disk, 'one'), join(disk, 'two')];
  mkdirSync(one);
  mkdirSync(two);
  const path = journalPath(one, shared);
  expect(path).toStartWith(`${shared}/berth-`);
  expect(journalPath(one, shared)).toBe(path);
  expect(journalPath(two, shared)).not.toBe(path);
  rmSync(one, { recursive: true });
  journalPath(two, shared);
  expect(existsSync(path.slice(0, path.lastIndexOf('/')))).toBe(false);
});
