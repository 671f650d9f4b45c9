import { expect, test } from 'bun:test';
import { LinePrefixer } from './line-prefixer.ts';

test('lines are prefixed when they are whole, whatever pieces they come in', () => {
  const lines = new LinePrefixer('p| ');
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
  expect(text(lines.push(Buffer.from('a')))).toBe('');
  expect(text(lines.push(Buffer.from('b\n\nc')))).toBe('p| ab\np| \n');
  expect(text(lines.end())).toBe('p| c\n');
  expect(text(lines.end())).toBe('');
  expect(text(lines.push(Buffer.alloc(300_000, 'x'))).length).toBe(300_004);
});
