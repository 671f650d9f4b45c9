import { expect, test } from 'bun:test';
import { exitCodeFor, lastError } from './runtime-error.ts';

test('the last error of a log counts', () => {
  const lines = [
    '{"level":"error","msg":"first"}',
    '{"level":"warning","msg":"w"}',
    'noise',
    '{"level":"error","msg":"last"}',
    '{"level":"info","msg":"i"}',
    '',
  ];
  expect(lastError(lines.join('\n'))).toBe('last');
  expect(lastError('')).toBeUndefined();
});

test('exit codes by the words of the runtimes', () => {
  expect(exitCodeFor('exec: "x": executable file not found in $PATH')).toBe(127);
  expect(exitCodeFor('executable file `x` not found: No such file or directory')).toBe(127);
  expect(exitCodeFor('executable file `x` not found in $PATH')).toBe(127);
  expect(exitCodeFor('exec: "/etc": is a directory')).toBe(126);
  expect(exitCodeFor('open `/x`: Permission denied')).toBe(126);
  expect(exitCodeFor('cgroup is broken')).toBe(125);
});
