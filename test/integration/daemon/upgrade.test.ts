/**
 * A data root of the first build that ran containers, left behind as by a power cut: today's daemon takes it over. Its
 * containers have one endpoint and no list of networks, its mounts and records lack what came later; one was running, one
 * is to be kept running, one has ended, one was only created. Its image is two programs of some hundred bytes.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const FIXTURE = path.join(import.meta.dirname, 'fixtures/data-root-1.tar.gz');
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ image: false });
  await d.kill('SIGTERM');
  fs.rmSync(d.dataRoot, { recursive: true });
  fs.mkdirSync(d.dataRoot, { mode: 0o710 });
  await must('tar', ['--xattrs', '--xattrs-include=*', '-C', d.dataRoot, '-xzf', FIXTURE]);
  await d.launch();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const inspect = (name: string, format: string) => d.must(['inspect', '-f', format, name]);

test('what was there is there: containers, their ends and logs, volumes, the image', async () => {
  expect(await inspect('said', '{{.State.Status}} {{.State.ExitCode}}')).toBe('exited 0');
  expect(await d.must(['logs', 'said'])).toBe('kept');
  expect(await inspect('made', '{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}')).toBe('created always');
  expect(await inspect('bridged', '{{.State.Status}} {{.HostConfig.Memory}} {{.Config.Env}}')).toBe(
    'exited 67108864 [A=b]',
  );
  expect(await inspect('made', '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}};{{end}}')).toBe(
    'volume /extra true;volume /data true;',
  );
  expect((await d.must(['volume', 'ls', '-q'])).split('\n')).toHaveLength(5);
  expect(await d.must(['images', '--format', '{{.Repository}}:{{.Tag}}'])).toBe('older/also:2\nolder/tiny:1');
  expect(await d.must(['history', '-q', 'older/tiny:1'])).toMatch(/^\w+$/);
});

test('the restart policy of before is honoured, and what is started runs', async () => {
  await eventually('it is kept running', async () => (await inspect('always', '{{.State.Status}}')) === 'running');
  await d.must(['start', 'bridged', 'made']);
  expect(await inspect('bridged', '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}')).toBe('bridge');
  expect(await d.must(['exec', 'bridged', '/say'])).toBe('kept');
  expect(await d.must(['start', '-a', 'said'])).toBe('kept');
  expect(await d.must(['run', '--rm', '--network', 'none', 'older/also:2'])).toBe('kept');
  const copied = path.join(d.directory, 'copied');
  await d.must(['cp', 'bridged:/data/of-the-image', copied]);
  expect(fs.readFileSync(copied, 'utf8')).toBe('from the image\n');
  await d.must(['commit', 'said', 'older/committed:3']);
  const saved = path.join(d.directory, 'saved.tar');
  await d.must(['save', '-o', saved, 'older/tiny:1']);
  await d.must(['load', '-qi', saved]);
}, 60_000);

test('it is an ordinary data root afterwards: restarted, updated, removed without a trace', async () => {
  await d.restart();
  expect(await inspect('bridged', '{{.State.Status}}')).toBe('running');
  await d.must(['update', '--memory', '96m', '--memory-swap', '96m', 'bridged']);
  await d.must(['rename', 'bridged', 'renamed']);
  await d.must(['rm', '-f', '-v', 'renamed', 'made', 'said', 'always']);
  await d.must(['volume', 'rm', 'named']);
  // The child first: docker asks for all at once.
  await d.must(['rmi', 'older/committed:3']);
  await d.must(['rmi', 'older/tiny:1', 'older/also:2']);
  expect(await d.must(['volume', 'ls', '-q'])).toBe('');
  expect(fs.readdirSync(path.join(d.dataRoot, 'containers'))).toEqual([]);
}, 60_000);
