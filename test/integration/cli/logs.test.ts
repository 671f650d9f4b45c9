/** `docker logs`: what, since when, how many, followed, rotated. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

test('stdout and stderr, tail, timestamps, since and until', async () => {
  await d.must([
    'run',
    '--name',
    'talk',
    '--network',
    'none',
    IMG,
    'sh',
    '-c',
    'for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2',
  ]);
  expect(await d.docker(['logs', 'talk'])).toEqual({
    code: 0,
    stdout: 'line 1\nline 2\nline 3\nline 4\nline 5\n',
    stderr: 'oops\n',
  });
  const tail = await d.docker(['logs', '-n', '2', 'talk']);
  expect(tail.stdout + tail.stderr).toBe('line 5\noops\n');
  expect((await d.docker(['logs', '--tail', '0', 'talk'])).stdout).toBe('');
  const stamped = (await d.docker(['logs', '-t', 'talk'])).stdout.split('\n')[0] ?? '';
  expect(stamped).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 1$/);
  const third = ((await d.docker(['logs', '-t', 'talk'])).stdout.split('\n')[2] ?? '').split(' ')[0] ?? '';
  expect((await d.docker(['logs', '--since', third, 'talk'])).stdout).toBe('line 3\nline 4\nline 5\n');
  expect((await d.docker(['logs', '--until', third, 'talk'])).stdout).toContain('line 1\nline 2\n');
  expect((await d.docker(['logs', '--since', '1h', 'talk'])).stdout).toContain('line 1');
  await d.must(['rm', 'talk']);
});

test('-f follows until the container ends', async () => {
  await d.must([
    'run',
    '-d',
    '--name',
    'slow',
    '--network',
    'none',
    IMG,
    'sh',
    '-c',
    'echo a; sleep 0.3; echo b; sleep 0.3; echo c',
  ]);
  expect((await d.docker(['logs', '-f', 'slow'])).stdout).toBe('a\nb\nc\n');
  await d.must(['rm', 'slow']);
});

test('rotation keeps the newest whole lines, also when followed', async () => {
  const args = ['--log-opt', 'max-size=20k', '--log-opt', 'max-file=3'];
  await d.must(['create', '--name', 'many', '--network', 'none', ...args, IMG, 'sh', '-c', 'seq 1 20000']);
  const followed = (await d.docker(['start', '-a', 'many'])).stdout.trimEnd().split('\n');
  expect(followed.length).toBe(20_000);
  const kept = (await d.must(['logs', 'many'])).split('\n').map(Number);
  expect(kept.at(-1)).toBe(20_000);
  expect(kept.length).toBeGreaterThan(100);
  expect(kept.length).toBeLessThan(2000);
  kept.forEach((n, i) => expect(n).toBe((kept[0] ?? 0) + i));
  await d.must(['rm', 'many']);
});

test('a long line without an end, binary bytes and an unterminated tail come back as written', async () => {
  await d.must([
    'run',
    '--name',
    'odd',
    '--network',
    'none',
    IMG,
    'sh',
    '-c',
    "head -c 50000 /dev/zero | tr '\\0' 'y'; echo; printf 'ü€ \\001 tail'",
  ]);
  expect((await d.docker(['logs', 'odd'])).stdout).toBe(`${'y'.repeat(50_000)}\nü€ \u0001 tail`);
  await d.must(['rm', 'odd']);
});

test('log driver none has no logs, attach still works', async () => {
  const r = await d.docker([
    'run',
    '--name',
    'quiet',
    '--network',
    'none',
    '--log-driver',
    'none',
    IMG,
    'echo',
    'seen',
  ]);
  expect(r.stdout).toBe('seen\n');
  const logs = await d.docker(['logs', 'quiet']);
  expect(logs.code).toBe(1);
  expect(logs.stderr).toContain('configured logging driver does not support reading');
  await d.must(['rm', 'quiet']);
});

test('two clients attached to one container both see its output', async () => {
  await d.must(['run', '-d', '-i', '--name', 'both', '--network', 'none', IMG, 'sh', '-c', 'read x; echo got $x']);
  const first = d.docker(['attach', '--no-stdin', 'both']);
  const second = d.docker(['attach', 'both'], { input: '' }).catch(() => undefined);
  await eventually('attached', async () => (await d.must(['ps', '--format', '{{.Names}}'])) === 'both');
  await Bun.sleep(300); // attach has no answer of its own that a test could wait for
  await d.docker(['attach', 'both'], { input: 'hello\n' });
  expect((await first).stdout).toBe('got hello\n');
  await second;
  await d.must(['rm', '-f', 'both']);
});
