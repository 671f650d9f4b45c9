import { expect, test } from 'bun:test';
import { type Progress, ProgressDisplay } from './progress.ts';

function shown(terminal: boolean, messages: readonly Progress[]): string {
  let text = '';
  const display = new ProgressDisplay({ write: (part) => (text += part), terminal });
  for (const message of messages) display.show(message);
  return text;
}

const MESSAGES: readonly Progress[] = [
  { status: 'Loading', id: 'a', progressDetail: { current: 0, total: 100 } },
  { status: 'Loading', id: 'a', progressDetail: { current: 50, total: 100 } },
  { status: 'Loading', id: 'b' },
  { status: 'Done', id: 'a' },
  { stream: 'Loaded image: x\n' },
];

test('outside a terminal each status is told once, how far it is not', () => {
  expect(shown(false, MESSAGES)).toBe('b: Loading\na: Done\nLoaded image: x\n');
});

test('in a terminal a line is redrawn in its place', () => {
  const text = shown(true, MESSAGES);
  expect(text).toContain(`a: Loading [${'='.repeat(25)}>${' '.repeat(24)}]      50B/100B`);
  expect(text.endsWith('\u001b[2A\r\u001b[2Ka: Done\u001b[2B\rLoaded image: x\n')).toBe(true);
});

test('a rate and the time that is left are told after a second, for each thing a line does', () => {
  let now = 0;
  let text = '';
  const display = new ProgressDisplay({
    write: (part) => (text += part),
    terminal: true,
    columns: 200,
    now: () => now,
  });
  const line = (status: string, current: number, at: number): string => {
    now = at;
    text = '';
    display.show({ id: 'a', status, progressDetail: { current, total: 100_000_000 } });
    return /[\d.]+[kM]?B\/100MB.*?(?=\u001b)/.exec(text)?.[0] ?? text;
  };
  expect(line('Downloading', 1_000_000, 0)).toBe('1MB/100MB');
  expect(line('Downloading', 5_000_000, 500)).toBe('5MB/100MB');
  expect(line('Downloading', 21_000_000, 2000)).toBe('21MB/100MB 10MB/s 8s');
  expect(line('Extracting', 1_000_000, 2500)).toBe('1MB/100MB');
  expect(line('Extracting', 2_000_000, 4500)).toBe('2MB/100MB 500kB/s 3m16s');
  // Only the last seconds count.
  expect(line('Extracting', 12_000_000, 9500)).toBe('12MB/100MB 2MB/s 44s');
  expect(line('Extracting', 100_000_000, 10_500)).toBe('100MB/100MB');
});

test('where there is little room the rate goes first, then the bar', () => {
  for (const columns of [20, 30, 40, 60]) {
    let now = 0;
    let text = '';
    const display = new ProgressDisplay({ write: (part) => (text = part), terminal: true, columns, now: () => now });
    for (const current of [1_000_000, 2_000_000]) {
      display.show({ id: 'a', status: 'Pulling', progressDetail: { current, total: 9_000_000 } });
      now += 2000;
    }
    const shown = Bun.stripANSI(text).trim();
    expect(shown).toStartWith('a: Pulling');
    expect(shown.length).toBeLessThanOrEqual(Math.max(columns, 'a: Pulling 2MB/9MB'.length));
  }
});
