/** Containers that follow their image: updated when it is newer, put back when the new one does not do, also by a next daemon. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { busyboxEntries, tar, writeArchive } from '../../support/base-images.ts';
import { TestDaemon } from '../../support/daemon.ts';

const LABEL = 'io.containers.autoupdate=local';
const base = tar(busyboxEntries(['sh', 'sleep', 'cat', 'echo', 'test']));
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

/** Gives the name a new meaning. */
async function release(name: string, version: string, config: Record<string, unknown>): Promise<void> {
  const archive = writeArchive(`auto-${process.pid}-${version}.tar`, {
    reference: name,
    layers: [base],
    config: { StopSignal: 'SIGKILL', Env: ['PATH=/bin', `VERSION=${version}`], Labels: { version }, ...config },
  });
  await d.must(['load', '-q', '-i', archive.path]);
  fs.rmSync(archive.path);
}

const inspect = (name: string, format: string): Promise<string> => d.must(['inspect', '-f', format, name]);
const update = async (...args: string[]): Promise<string[]> => {
  const format = '{{.Container}} {{.Policy}} {{.Updated}} {{.Error}}';
  const result = await d.berth(['auto-update', '--settle', '1', '--format', format, ...args]);
  return result.stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd());
};

test('a container gets the new image with what its user had asked for; its volumes go with it', async () => {
  const name = 'auto.example/app:1';
  await release(name, 'one', { Cmd: ['sleep', '1000'], Volumes: { '/data': {} } });
  const flags = ['--label', LABEL, '--label', 'mine=yes', '-e', 'OWN=1', '-w', '/home', '--network', 'none'];
  await d.must(['run', '-d', '--name', 'follows', ...flags, name]);
  await d.must(['run', '-d', '--name', 'stays', '--network', 'none', name]);
  await d.must(['exec', 'follows', 'sh', '-c', 'echo kept > /data/file']);
  const before = await inspect('follows', '{{.Id}}');
  expect(await update()).toEqual(['follows local false']);

  await release(name, 'two', { Cmd: ['sleep', '2000'], Volumes: { '/data': {} } });
  expect(await update('--dry-run')).toEqual(['follows local pending']);
  expect(await inspect('follows', '{{.Id}}')).toBe(before);
  expect(await update()).toEqual(['follows local true']);
  expect(await inspect('follows', '{{.Id}}')).not.toBe(before);
  expect(await inspect('follows', '{{.State.Running}} {{.Config.Cmd}} {{.Config.WorkingDir}}')).toBe(
    'true [sleep 2000] /home',
  );
  expect(await inspect('follows', '{{.Config.Labels.version}} {{.Config.Labels.mine}}')).toBe('two yes');
  expect(await d.must(['exec', 'follows', 'sh', '-c', 'echo $VERSION $OWN; cat /data/file'])).toBe('two 1\nkept');
  expect(await d.must(['ps', '-a', '--format', '{{.Names}}'])).not.toContain('before-update');
  expect(await inspect('stays', '{{.Config.Cmd}}')).toBe('[sleep 1000]');
  await d.must(['rm', '-fv', 'follows', 'stays']);
}, 60_000);

test('one that ends, or turns unhealthy, is put back', async () => {
  const name = 'auto.example/bad:1';
  await release(name, 'good', { Cmd: ['sleep', '1000'] });
  await d.must(['run', '-d', '--name', 'careful', '--label', LABEL, '--network', 'none', name]);
  const before = await inspect('careful', '{{.Id}}');
  await release(name, 'ends', { Cmd: ['sh', '-c', 'exit 3'] });
  expect(await update()).toEqual(['careful local rolled back it ended with 3']);
  expect(await inspect('careful', '{{.Id}} {{.State.Running}}')).toBe(`${before} true`);

  const Healthcheck = { Test: ['CMD', 'test', '-e', '/nothing'], Interval: 2e8, Retries: 1, Timeout: 30e9 };
  await release(name, 'ill', { Cmd: ['sleep', '1000'], Healthcheck });
  expect(await update()).toEqual(['careful local rolled back it is unhealthy']);
  expect(await inspect('careful', '{{.Id}} {{.State.Running}}')).toBe(`${before} true`);

  await release(name, 'well', {
    Cmd: ['sleep', '1000'],
    Healthcheck: { ...Healthcheck, Test: ['CMD', 'test', '-e', '/bin'] },
  });
  expect(await update()).toEqual(['careful local true']);
  expect(await inspect('careful', '{{.State.Health.Status}}')).toBe('healthy');
  await d.must(['rm', '-f', 'careful']);
}, 90_000);

test.each(['replace.recorded', 'replace.aside', 'replace.created', 'replace.started'])(
  'a daemon that is killed at %s: the next one puts the old container back',
  async (point) => {
    const name = 'auto.example/killed:1';
    await release(name, 'first', { Cmd: ['sleep', '1000'] });
    await d.must(['run', '-d', '--name', 'survivor', '--label', LABEL, '--network', 'none', name]);
    const before = await inspect('survivor', '{{.Id}}');
    await release(name, 'second', { Cmd: ['sleep', '2000'] });
    await d.restart('SIGKILL', { BERTH_FAILPOINTS: `${point}=kill` });
    await d.berth(['auto-update', '--settle', '0']);
    expect(await d.ended(30_000)).toBe('SIGKILL');
    await d.restart();
    expect(await inspect('survivor', '{{.Id}} {{.State.Running}}')).toBe(`${before} true`);
    expect(await d.must(['ps', '-aq', '--filter', 'name=before-update'])).toBe('');
    expect(await update()).toEqual(['survivor local true']);
    await d.must(['rm', '-f', 'survivor']);
  },
  60_000,
);
