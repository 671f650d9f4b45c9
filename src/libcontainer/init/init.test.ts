/** The bytes are what the source says, and they behave as tini does. */
import { afterAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dockerInit, installDockerInit } from './init.ts';

const directory = mkdtempSync(`${tmpdir()}/berth-init-`);
afterAll(() => rmSync(directory, { recursive: true }));

const assembler = Bun.which('gcc');

test.if(assembler !== null)('the bytes agree with init-x64.S', () => {
  const source = `${import.meta.dirname}/init-x64.S`;
  const script = `gcc -c ${source} -o ${directory}/init.o && objcopy -O binary -j .text ${directory}/init.o ${directory}/made`;
  expect(Bun.spawnSync(['/bin/sh', '-c', script]).exitCode).toBe(0);
  expect(readFileSync(`${directory}/made`).toString('hex')).toBe(Buffer.from(dockerInit('x64')).toString('hex'));
});

test('a few hundred bytes, and none for other machines', () => {
  expect(dockerInit('x64').length).toBeLessThan(1024);
  expect(() => dockerInit('arm64')).toThrow('no docker-init for arm64');
});

describe.if(process.arch === 'x64')('behaviour', () => {
  const init = installDockerInit(directory);
  writeFileSync(`${directory}/script`, 'echo script $1\n', { mode: 0o755 });
  const run = (args: readonly string[], env: Record<string, string> = { PATH: '/bin:/usr/bin' }) => {
    const done = Bun.spawnSync([init, ...args], { env, stdin: 'ignore' });
    return { code: done.exitCode, out: done.stdout.toString(), err: done.stderr.toString() };
  };

  test('it is installed once', () => {
    const { ino, mode } = statSync(init);
    expect(mode & 0o777).toBe(0o555);
    expect(installDockerInit(directory)).toBe(init);
    expect(statSync(init).ino).toBe(ino);
  });

  const cases: readonly [string, readonly string[], number, string, string][] = [
    ['exit code', ['--', 'sh', '-c', 'echo out; exit 7'], 7, 'out\n', ''],
    ['without --', ['echo', '-n', 'x'], 0, 'x', ''],
    ['ended by a signal', ['--', 'sh', '-c', 'kill -9 $$'], 137, '', ''],
    ['not found', ['--', 'no-such-thing'], 127, '', 'docker-init: cannot run no-such-thing\n'],
    ['not found by path', ['--', '/no/such'], 127, '', 'docker-init: cannot run /no/such\n'],
    ['not executable', ['--', '/etc/passwd'], 126, '', 'docker-init: cannot run /etc/passwd\n'],
    ['empty name', ['--', ''], 127, '', 'docker-init: cannot run \n'],
    ['script without #!', ['--', `${directory}/script`, 'a'], 0, 'script a\n', ''],
    ['no command', ['--'], 1, '', ''],
  ];
  test.each(cases)('%s', (_, args, code, out, err) => {
    expect(run(args)).toEqual({ code, out, err });
  });

  test('PATH is searched like execvp does', () => {
    expect(run(['script', 'b'], { PATH: `/nowhere:/etc/passwd:${directory}` }).out).toBe('script b\n');
    expect(run(['ls', '/'], {}).code).toBe(0); // no PATH: /bin and /usr/bin
    expect(run(['passwd-'], { PATH: '/etc' }).code).toBe(126);
    expect(run(['x'], { PATH: '/'.repeat(9000) }).code).toBe(1); // too long a name
  });

  test('signals reach the command, and orphans are reaped', async () => {
    // A pid namespace makes it pid 1, as in a container.
    const script = `trap 'echo got usr1' USR1; trap 'exit 3' TERM
      sh -c 'sh -c "exit 0" & sh -c "exit 0" &'; echo ready; while read line; do echo "$line"; done
      ps -o stat= -A | grep -c Z; exit 5`;
    const child = Bun.spawn(['unshare', '-pf', '--mount-proc', init, '--', 'sh', '-c', script], {
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toBe('ready\n');
    // unshare's only child is our pid 1.
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
    process.kill(Number(children), 'SIGUSR1');
    await child.stdin.write('line\n');
    await child.stdin.end();
    let rest = '';
    for (let part = await reader.read(); part.value !== undefined; part = await reader.read()) rest += part.value;
    expect(await child.exited).toBe(5);
    expect(rest).toContain('got usr1');
    expect(rest).toContain('\n0\n');
  });
});
