/** The local driver and compression, by the stock docker CLI. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const run = (name: string, options: readonly string[], script: string) =>
  d.must(['run', '--name', name, '--network', 'none', ...options, IMG, 'sh', '-c', script]);
const filesOf = async (name: string) => {
  const id = await d.must(['inspect', '-f', '{{.Id}}', name]);
  return fs.readdirSync(path.join(d.dataRoot, 'containers', id.trim())).filter((file) => file.includes('log'));
};

test('local: everything that logs can do; the kill of the daemon loses nothing', async () => {
  await run(
    'talk',
    ['-d', '--log-driver', 'local'],
    'for i in 1 2 3; do echo line $i; done; echo oops >&2; sleep 1000',
  );
  await eventually('logged', async () => (await d.docker(['logs', 'talk'])).stderr === 'oops\n');
  await d.restart();
  expect(await d.docker(['logs', 'talk'])).toEqual({ code: 0, stdout: 'line 1\nline 2\nline 3\n', stderr: 'oops\n' });
  expect((await d.docker(['logs', '-n', '2', 'talk'])).stdout).toBe('line 3\n');
  const stamped = (await d.docker(['logs', '-t', 'talk'])).stdout.split('\n');
  const second = (stamped[1] ?? '').split(' ')[0] ?? '';
  expect((await d.docker(['logs', '--since', second, 'talk'])).stdout).toBe('line 2\nline 3\n');
  expect(await d.must(['inspect', '-f', '{{json .HostConfig.LogConfig}} {{.LogPath}}.', 'talk'])).toBe(
    '{"Type":"local","Config":{}} .',
  );
  await d.must(['rm', '-f', 'talk']);
}, 30_000);

test.each(['local', 'json-file'])(
  '%s: rotated, compressed and followed',
  async (driver) => {
    const options = ['--log-driver', driver, '--log-opt', 'max-size=40k', '--log-opt', 'max-file=3'];
    options.push('--log-opt', 'compress=true');
    const name = `many-${driver}`;
    await d.must(['create', '--name', name, '--network', 'none', ...options, IMG, 'sh', '-c', 'seq 1 20000']);
    await d.must(['start', '-a', name]);
    const suffix = driver === 'local' ? '.zst' : '.gz';
    await eventually('compressed', async () => (await filesOf(name)).some((file) => file.endsWith(`.1${suffix}`)));
    const kept = (await d.must(['logs', name])).split('\n').map(Number);
    expect(kept.at(-1)).toBe(20_000);
    expect(kept.length).toBeGreaterThan(100);
    kept.forEach((n, i) => expect(n).toBe((kept[0] ?? 0) + i));
    await eventually('nothing is left half made', async () => !(await filesOf(name)).some((f) => f.endsWith('.tmp')));
    await d.must(['rm', name]);
  },
  30_000,
);

test('options are refused at create in dockerd’s words', async () => {
  const refused = async (driver: string, option: string) =>
    (await d.docker(['create', '--network', 'none', '--log-driver', driver, '--log-opt', option, IMG])).stderr.trim();
  expect(await refused('json-file', 'x=1')).toContain("unknown log opt 'x' for json-file log driver");
  expect(await refused('local', 'tag=1')).toContain("unknown log opt 'tag' for log driver local");
  expect(await refused('awslogs', 'awslogs-group=x')).toContain('log driver "awslogs" is not supported');
  expect(await refused('nope', 'x=1')).toContain('error looking up logging plugin nope: plugin "nope" not found');
});
