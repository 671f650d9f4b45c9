import { expect, test } from 'bun:test';
import { ownPs } from './own-ps.ts';
import { parsePs } from './top.ts';

const text = `UID   PID  PPID CMD
root    7     1 sh -c  a  b
root    8     7 other
root    -     - thread of another
root    9     7 third
root    -     - its thread
`;

test('only the processes asked for, their threads, and the last column whole', () => {
  expect(parsePs(text, new Set([7, 9]))).toEqual({
    Titles: ['UID', 'PID', 'PPID', 'CMD'],
    Processes: [
      ['root', '7', '1', 'sh -c a b'],
      ['root', '9', '7', 'third'],
      ['root', '-', '-', 'its thread'],
    ],
  });
});

test('without a column PID, or with something else in it, nothing is shown', () => {
  expect(() => parsePs('COMMAND\nsh\n', new Set([7]))).toThrow("Couldn't find PID field in ps output");
  expect(() => parsePs('PID\nsh\n', new Set([7]))).toThrow("Unexpected pid 'sh'");
});

test('a host without ps: the usual forms', () => {
  const { Titles, Processes } = ownPs([process.pid], 'aux');
  expect(Titles.slice(0, 4)).toEqual(['USER', 'PID', '%CPU', '%MEM']);
  expect(Processes[0]?.[1]).toBe(String(process.pid));
  expect(() => ownPs([process.pid], '-l')).toThrow('need ps on the host');
});
