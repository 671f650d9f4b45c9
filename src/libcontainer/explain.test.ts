import { describe, expect, test } from 'bun:test';
import { explainFailure } from './explain.ts';

const failure = (step: string, code: string, errno = 1, path?: string) => ({
  step,
  code,
  errno,
  ...(path === undefined ? {} : { path }),
});
const explain = (program: string, failed: ReturnType<typeof failure>, ...notes: string[]) => {
  const outcome = { failed, notes: notes.map((code) => failure('execve', code)) };
  const error = explainFailure(outcome, { program, cwd: '/work' });
  return [error.exitCode, error.message];
};

describe('why a program did not start', () => {
  test('the program itself, in the words that set 126 and 127', () => {
    expect(explain('/nope', failure('execve', 'ENOENT'))).toEqual([
      127,
      'exec: "/nope": stat /nope: no such file or directory',
    ]);
    expect(explain('/etc', failure('execve', 'EACCES'))).toEqual([126, 'exec: "/etc": permission denied']);
    expect(explain('/x', failure('execve', 'ENOEXEC'))).toEqual([126, 'exec: "/x": exec format error']);
  });

  test('a search that found nothing, or something that may not be executed', () => {
    const end = failure('search through PATH', 'ENOSYS');
    expect(explain('x', end, 'ENOENT', 'ENOTDIR')).toEqual([127, 'exec: "x": executable file not found in $PATH']);
    expect(explain('x', end, 'ENOENT', 'EACCES', 'ENOENT')).toEqual([126, 'exec: "x": permission denied']);
    expect(explain('x', end, 'ENOEXEC')).toEqual([126, 'exec: "x": exec format error']);
    expect(explain('x', end)).toEqual([127, 'exec: "x": executable file not found in $PATH']);
  });

  test('the working directory', () => {
    expect(explain('x', failure('open working directory', 'ENOENT'))).toEqual([
      127,
      'chdir to cwd ("/work") set in config.json failed: no such file or directory',
    ]);
    expect(explain('x', failure('open working directory', 'ELOOP'))[1]).toContain('leads out of the container');
  });

  test('any other step is 125 and has none of those words', () => {
    const [exitCode, message] = explain('x', failure('mount on /v', 'ENOENT', 2, '/v/w'));
    expect(exitCode).toBe(125);
    expect(message).toBe('Cannot start container: mount on /v ("/v/w"): ENOENT');
  });
});
