import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { Bench, hostFacts, type Running, specOf } from './bench.ts';

let bench: Bench;
let container: Running;
beforeAll(() => {
  bench = new Bench();
  container = bench.start(specOf(['sleep', '600']));
});
afterAll(async () => {
  await container[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});
const exec = (script: string, process: object = {}) =>
  bench.exec(container, { args: ['sh', '-c', script], ...process });

describe('a process in a running container', () => {
  test('is in every namespace and in its cgroups', () => {
    const names = ['mnt', 'pid', 'net', 'ipc', 'uts'];
    const { output } = exec(`for n in ${names.join(' ')}; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup`);
    for (const name of names) expect(output).toContain(fs.readlinkSync(`/proc/${container.pid}/ns/${name}`));
    expect(output).toContain(container.cgroup.path);
  });

  test('has a user, directory and environment of its own', () => {
    const ran = exec('id -u; id -G; pwd; echo $X $HOME; echo x > /dev/stdout', {
      cwd: '/etc',
      env: ['PATH=/bin', 'X=y'],
      user: { uid: 0, gid: 0, username: 'bob' },
    });
    expect(ran.output.trim().split('\n')).toEqual(['1000', '1001 44', '/etc', 'y /home/bob', 'x']);
  });

  test('gives back its exit code', () => expect(exec('exit 42').exitCode).toBe(42));

  test('holds no descriptor of ours', () => {
    expect(exec('ls /proc/self/fd').output.trim().split('\n')).toEqual(['0', '1', '2', '3']);
  });

  test('has a terminal of the container', () => {
    const { output } = exec('tty; ls -1 /dev/pts', { terminal: true });
    expect(output.trim().split('\n')).toEqual(['/dev/pts/0', '0', 'ptmx']);
  });

  test('that cannot be', () => {
    expect(bench.exec(container, { args: ['nope'] }).error).toMatchObject({ exitCode: 127 });
    expect(bench.exec(container, { args: ['/etc'] }).error).toMatchObject({ exitCode: 126 });
    expect(exec('true', { cwd: '/nonesuch' }).error).toMatchObject({
      exitCode: 127,
      message: 'chdir to cwd ("/nonesuch") set in config.json failed: no such file or directory',
    });
    expect(() => exec('true', { user: { uid: 0, gid: 0, username: 'eve' } })).toThrow('unable to find user eve');
  });

  test('a uid is a number, never a name', () => {
    expect(exec('id -u', { user: { uid: 0, gid: 0, username: '1234' } }).output.trim()).toBe('1234');
    expect(exec('id -u', { user: { uid: 0, gid: 0, username: '1' } }).output.trim()).toBe('1');
  });

  test('leaves nothing behind', () => {
    const before = hostFacts();
    for (let i = 0; i < 20; i++) exec('true');
    for (let i = 0; i < 20; i++) bench.exec(container, { args: ['nope'] });
    expect(hostFacts()).toEqual(before);
    expect(container.cgroup.pids()).toEqual([container.pid]);
  });
});
