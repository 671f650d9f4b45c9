/** `docker exec` of the stock CLI. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
  await d.must(['run', '-d', '--name', 'keep', '--network', 'none', IMG, 'sleep', '1000']);
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

test('output, errors and exit code are the program’s', async () => {
  expect(await d.docker(['exec', 'keep', 'sh', '-c', 'echo out; echo err >&2; exit 9'])).toEqual({
    code: 9,
    stdout: 'out\n',
    stderr: 'err\n',
  });
});

test('no such command is 127, not executable is 126, no such user an error', async () => {
  const missing = await d.docker(['exec', 'keep', 'nosuchcommand']);
  expect(missing.code).toBe(127);
  expect(missing.stdout + missing.stderr).toContain('executable file not found in $PATH');
  expect((await d.docker(['exec', 'keep', '/etc/passwd'])).code).toBe(126);
  const user = await d.docker(['exec', '-u', 'nobodyknows', 'keep', 'id']);
  expect(user.code).not.toBe(0);
  expect(user.stdout + user.stderr).toContain('unable to find user nobodyknows: no matching entries in passwd file');
});

test('stdin with its end, user, environment, working directory, terminal', async () => {
  const text = 'x'.repeat(3_000_000);
  expect((await d.docker(['exec', '-i', 'keep', 'wc', '-c'], { input: text })).stdout).toBe('3000000\n');
  expect(
    await d.must([
      'exec',
      '-u',
      '1000:2000',
      '-e',
      'A=b',
      '-w',
      '/tmp',
      'keep',
      'sh',
      '-c',
      'id -u; id -g; echo $A; pwd',
    ]),
  ).toBe('1000\n2000\nb\n/tmp');
  const tty = await d.docker(['exec', '-it', 'keep', 'sh', '-c', 'tty; stty size'], { terminal: true });
  expect(tty.stdout).toMatch(/\/dev\/pts\/\d/);
  expect(tty.stdout).toContain('24 80');
});

test('it runs in the container: its processes, hostname, limits and capabilities', async () => {
  const out = await d.must([
    'exec',
    'keep',
    'sh',
    '-c',
    'ps -o args; hostname; grep CapEff /proc/self/status; cat /proc/self/cgroup | head -1',
  ]);
  expect(out).toContain('sleep 1000');
  expect(out).toContain('00000000a80425fb');
});

test('-d returns at once; inspect tells its end', async () => {
  const created = await d.request('POST', '/containers/keep/exec', { Cmd: ['sh', '-c', 'exit 5'], Detach: true });
  expect(created.status).toBe(201);
  const id = String(Reflect.get(Object(created.body), 'Id'));
  const started = await d.request('POST', `/exec/${id}/start`, { Detach: true });
  expect(started.status).toBe(200);
  const inspected = await eventually('the exec has ended', async () => {
    const r = await d.request('GET', `/exec/${id}/json`);
    return Reflect.get(Object(r.body), 'Running') === false ? r.body : undefined;
  });
  expect(inspected).toMatchObject({
    ID: id,
    ExitCode: 5,
    Running: false,
    ProcessConfig: { entrypoint: 'sh', arguments: ['-c', 'exit 5'] },
  });
  expect((await d.request('POST', `/exec/${id}/start`, { Detach: true })).status).toBe(409);
});

test('an exec ends with its container', async () => {
  await d.must(['run', '-d', '--name', 'short', '--network', 'none', IMG, 'sleep', '1000']);
  const running = d.docker(['exec', 'short', 'sleep', '1000']);
  await eventually(
    'the exec runs',
    async () =>
      (await d.must(['top', 'short'])).includes('sleep 1000\nroot') ||
      (await d.must(['top', 'short'])).split('\n').length > 2,
  );
  await d.must(['kill', 'short']);
  expect((await running).code).toBe(137);
  await d.must(['rm', 'short']);
});

test('many at once', async () => {
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) => d.docker(['exec', 'keep', 'echo', String(i)])),
  );
  expect(results.map((r) => r.stdout)).toEqual(Array.from({ length: 20 }, (_, i) => `${i}\n`));
});

test('a second start of an exec is told in the stream, or refused when it is detached', async () => {
  await d.must(['run', '-d', '--name', 'twice', '--network', 'none', IMG, 'sleep', '1000']);
  const made = await d.request('POST', '/containers/twice/exec', { AttachStdout: true, Cmd: ['true'] });
  const { Id: id } = made.body as { Id: string };
  expect((await d.request('POST', `/exec/${id}/start`, {})).status).toBe(200);
  const again = await d.request('POST', `/exec/${id}/start`, {});
  expect(again.status).toBe(200);
  expect(String(again.body)).toContain(`exec command ${id} has already run\r\n`);
  const detached = await d.request('POST', `/exec/${id}/start`, { Detach: true });
  expect([detached.status, detached.body]).toEqual([409, { message: `exec command ${id} has already run` }]);
  await d.must(['rm', '-f', 'twice']);
});
