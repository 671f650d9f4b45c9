/** `berth logs --grep` over the logs of live and removed containers, and `berth logs` of several at once. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { LogMatch } from '#api/types/logs.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d?.[Symbol.asyncDispose](), 60_000);

const berth = (args: readonly string[]) => d.berth(args);
const make = (name: string, script: string, options: readonly string[] = []) =>
  d.docker(['run', '--name', name, '--network', 'none', ...options, IMG, 'sh', '-c', script]);

async function search(query: string): Promise<LogMatch[]> {
  const answer = await fetch(`http://berth/berth/logs?${query}`, { unix: d.socket });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  // as: lines of our own answer.
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LogMatch);
}

test.each(['json-file', 'local'])(
  'a pattern in the logs, %s',
  async (driver) => {
    const name = `talk-${driver}`;
    const script = 'echo "alpha <one> 1"; echo "beta \\"two\\" 22" >&2; echo gamma; echo alpha again';
    await make(name, script, ['--log-driver', driver]);
    const lines = (matches: LogMatch[]) => matches.map(({ Stream, Line }) => `${Stream}: ${Line}`).sort();
    expect(lines(await search(`grep=alpha&container=${name}`))).toEqual([
      'stdout: alpha <one> 1',
      'stdout: alpha again',
    ]);
    expect(lines(await search(`grep=${encodeURIComponent('<one>')}&container=${name}`))).toEqual([
      'stdout: alpha <one> 1',
    ]);
    expect(lines(await search(`grep=${encodeURIComponent('"two"')}&container=${name}`))).toEqual([
      'stderr: beta "two" 22',
    ]);
    expect(lines(await search(`grep=${encodeURIComponent('\\d{2}$')}&container=${name}`))).toEqual([
      'stderr: beta "two" 22',
    ]);
    expect(lines(await search(`grep=${encodeURIComponent('^(g|b)')}&container=${name}`))).toEqual([
      'stderr: beta "two" 22',
      'stdout: gamma',
    ]);
    expect(lines(await search(`grep=${encodeURIComponent('(?i)ALPHA AGAIN')}&container=${name}`))).toEqual([
      'stdout: alpha again',
    ]);
    expect(await search(`grep=stdout&container=${name}`)).toEqual([]);
    const [gamma] = await search(`grep=gamma&container=${name}`);
    expect(gamma).toMatchObject({ Name: name, Removed: false });
    const seconds = (Date.parse(gamma?.Time ?? '') / 1000 + 3600).toFixed(3);
    expect(await search(`grep=gamma&container=${name}&since=${seconds}`)).toEqual([]);
    expect((await search(`grep=gamma&container=${name}&until=${seconds}`)).length).toBe(1);
    await d.must(['rm', name]);
  },
  30_000,
);

test('a removed container’s log is kept, within the budget, and found by its name', async () => {
  await make('gone', 'echo needle in a stack', ['--rm', '--log-opt', 'max-size=1m', '--log-opt', 'max-file=2']);
  await make('stays', 'echo needle too');
  expect(fs.readdirSync(path.join(d.dataRoot, 'containers')).length).toBe(1);
  const all = await search('grep=needle');
  expect(all.map(({ Name, Removed }) => [Name, Removed])).toEqual([
    ['gone', true],
    ['stays', false],
  ]);
  expect(await berth(['logs', '--grep', 'need.e in', 'gone'])).toEqual({
    code: 0,
    stdout: 'gone (removed) | needle in a stack\n',
    stderr: '',
  });
  expect(await berth(['logs', '--grep', 'nothing like it'])).toEqual({ code: 1, stdout: '', stderr: '' });
  expect((await berth(['logs', '--grep', 'x', 'never-was'])).stderr).toContain('No such container: never-was');
  expect((await berth(['logs', '--grep', '('])).stderr).toContain('invalid pattern "("');
  await d.restart();
  expect((await search('grep=needle&container=gone')).length).toBe(1);
  fs.writeFileSync(path.join(d.directory, 'daemon.json'), '{"log-archive": {"max-size": "0"}}');
  await d.restart('SIGTERM');
  expect(await search('grep=needle')).toMatchObject([{ Name: 'stays' }]);
  await make('unkept', 'echo needle', ['--rm']);
  expect(fs.readdirSync(path.join(d.dataRoot, 'log-archive'))).toEqual([]);
  await d.must(['rm', 'stays']);
}, 60_000);

test('logs of several containers: each line with its name', async () => {
  await make('first', 'echo a; echo b; printf c');
  await make('second-one', 'echo x >&2; echo y');
  const both = await berth(['logs', 'first', 'second-one']);
  expect(both.code).toBe(0);
  expect(
    both.stdout
      .split('\n')
      .filter((line) => line !== '')
      .sort(),
  ).toEqual(['first      | a', 'first      | b', 'first      | c', 'second-one | y']);
  expect(both.stderr).toBe('second-one | x\n');
  expect((await berth(['logs', '-n', '1', 'first', 'second-one'])).stdout).toContain('first      | c\n');
  const wrong = await berth(['logs', 'first', 'nope']);
  expect(wrong).toMatchObject({ code: 1, stdout: '' });
  expect(wrong.stderr).toContain('No such container: nope');
  expect((await berth(['logs'])).stderr).toContain("'berth logs' requires at least 1 argument");
  await d.must(['rm', 'first', 'second-one']);
}, 30_000);
