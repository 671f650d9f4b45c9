import { describe, expect, test } from 'bun:test';
import { can, containerStatuses, moveTo, newState, transitions } from './state.ts';
import { humanDuration } from '#pkg/units/duration.ts';
import { statusText } from './status-text.ts';
import { parseContainerName } from './name.ts';
import { parseSignal } from './signals.ts';

describe('state machine', () => {
  test('a move that is not in the table is refused', () => {
    expect(() => moveTo(newState, { status: 'exited' })).toThrow('from "created" to "exited"');
    expect(moveTo(newState, { status: 'running', pid: 7 })).toMatchObject({ status: 'running', pid: 7 });
  });

  test('every status can be removed in the end', () => {
    for (const status of containerStatuses) {
      expect(transitions[status].includes('removing') || status === 'removing').toBe(true);
    }
  });

  test('verbs ask the state', () => {
    expect(can(newState, 'start')).toBe(true);
    expect(can({ ...newState, status: 'running' }, 'start')).toBe(false);
    expect(can({ ...newState, status: 'paused' }, 'exec')).toBe(false);
    expect(can({ ...newState, status: 'running' }, 'remove')).toBe(false);
  });
});

describe('status text', () => {
  const now = new Date('2026-01-01T12:00:00Z');
  const at = (secondsAgo: number) => new Date(now.getTime() - secondsAgo * 1000).toISOString();
  test('is what docker ps prints', () => {
    expect(statusText(newState, now)).toBe('Created');
    expect(statusText({ ...newState, status: 'running', startedAt: at(185) }, now)).toBe('Up 3 minutes');
    expect(statusText({ ...newState, status: 'paused', startedAt: at(2) }, now)).toBe('Up 2 seconds (Paused)');
    expect(statusText({ ...newState, status: 'exited', exitCode: 137, finishedAt: at(1) }, now)).toBe(
      'Exited (137) 1 second ago',
    );
  });

  test.each([
    [0.5, 'Less than a second'],
    [59, '59 seconds'],
    [60, 'About a minute'],
    [3599, '59 minutes'],
    [3600, 'About an hour'],
    [5400, '2 hours'],
    [48 * 3600, '2 days'],
    [15 * 86400, '2 weeks'],
    [70 * 86400, '2 months'],
    [800 * 86400, '2 years'],
  ])('%p seconds', (seconds, text) => {
    expect(humanDuration(seconds * 1000)).toBe(text);
  });
});

describe('names and signals', () => {
  test.each(['a', '-a', 'a b', '/x/y', '', 'ä1'])('%p is no container name', (name) => {
    expect(() => parseContainerName(name)).toThrow(
      `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    );
  });
  test('a leading slash is dropped', () => {
    expect(parseContainerName('/web.1')).toBe('web.1');
  });
  test.each([
    ['KILL', 9],
    ['sigterm', 15],
    ['15', 15],
    ['RTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['RTMAX-1', 63],
  ] as const)('%p is signal %p', (text, number) => {
    expect(parseSignal(text)).toBe(number);
  });
  test.each(['0', '65', 'FOO', '', 'RTMIN-1', 'RTMIN+40'])('%p is no signal', (text) => {
    expect(() => parseSignal(text)).toThrow(`invalid signal: ${text}`);
  });
});
