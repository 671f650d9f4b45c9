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

test('outside a terminal each status is told once', () => {
  expect(shown(false, MESSAGES)).toBe('a: Loading\nb: Loading\na: Done\nLoaded image: x\n');
});

test('in a terminal a line is redrawn in its place', () => {
  const text = shown(true, MESSAGES);
  expect(text).toContain(`a: Loading [${'='.repeat(25)}>${' '.repeat(24)}]      50B/100B`);
  expect(text.endsWith('\u001b[2A\r\u001b[2Ka: Done\u001b[2B\rLoaded image: x\n')).toBe(true);
});
