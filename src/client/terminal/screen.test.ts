import { expect, test } from 'bun:test';
import { frameOf, mayColour, mayDraw, screenSize } from './screen.ts';

const io = { stdoutIsTerminal: true };

test('nothing is drawn in a pipe or on a dumb terminal, no colours where they are not wanted', () => {
  expect(mayDraw({ io, environment: { TERM: 'xterm' } })).toBe(true);
  expect(mayDraw({ io, environment: { TERM: 'dumb' } })).toBe(false);
  expect(mayDraw({ io: { stdoutIsTerminal: false }, environment: {} })).toBe(false);
  expect(mayColour({ io, environment: { NO_COLOR: '1' } })).toBe(false);
  expect(mayColour({ io, environment: { NO_COLOR: '' } })).toBe(true);
});

test('COLUMNS and LINES are believed when they are numbers', () => {
  expect(screenSize({ COLUMNS: '33', LINES: '7' })).toEqual({ rows: 7, columns: 33 });
  const usual = screenSize({});
  for (const COLUMNS of ['0', '-1', 'wide', '']) expect(screenSize({ COLUMNS })).toEqual(usual);
});

test('a frame fits its screen and says what it hides', () => {
  const text = 'HEAD\none\ntwo\nthree\nfour\n';
  expect(Bun.stripANSI(frameOf(text, { rows: 24, columns: 3 }))).toBe('HEA\none\ntwo\nthr\nfou\n');
  expect(Bun.stripANSI(frameOf(text, { rows: 4, columns: 80 }))).toBe('HEAD\none\n… 3 more\n');
  expect(Bun.stripANSI(frameOf(text, { rows: 6, columns: 80 }))).toBe(text);
  for (const rows of [0, 1, 2]) expect(frameOf(text, { rows, columns: 0 }).split('\n').length).toBeLessThanOrEqual(3);
});
