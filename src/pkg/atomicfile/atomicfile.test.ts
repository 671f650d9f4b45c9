import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { writeFileAtomic } from './atomicfile.ts';

let directory = '';
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'atomicfile-'));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

test('replaces the whole file, with the mode asked for, and leaves no temporary name', () => {
  const file = path.join(directory, 'f');
  writeFileAtomic(file, 'old');
  writeFileAtomic(file, 'new', { mode: 0o640 });
  expect(fs.readFileSync(file, 'utf8')).toBe('new');
  expect(fs.statSync(file).mode & 0o777).toBe(0o640);
  expect(fs.readdirSync(directory)).toEqual(['f']);
});

test('a failure leaves the old content and no temporary name', () => {
  const target = path.join(directory, 'taken');
  fs.mkdirSync(path.join(target, 'child'), { recursive: true });
  expect(() => writeFileAtomic(target, 'x')).toThrow();
  expect(fs.readdirSync(directory).sort()).toEqual(['f', 'taken']);
});
