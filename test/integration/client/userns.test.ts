/** What our own CLI has beyond docker's for user namespaces: `--userns auto`, and `idmap` and `U` of --mount. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
let file: string;
beforeAll(async () => {
  d = await TestDaemon.start();
  const source = path.join(d.directory, 'source');
  fs.mkdirSync(source);
  file = path.join(source, 'f');
  fs.writeFileSync(file, '');
  fs.chownSync(file, 1000, 2000);
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

async function run(flags: readonly string[], ...command: string[]): Promise<string> {
  const r = await d.berth(['run', '--rm', '--network', 'none', ...flags, IMG, ...command]);
  expect(r.stderr).toBe('');
  return r.stdout.trim();
}

test('--userns takes auto with a size', async () => {
  expect((await run(['--userns', 'auto:size=70'], 'cat', '/proc/self/uid_map')).split(/\s+/)[2]).toBe('70');
  expect((await d.berth(['run', '--help'])).stdout).toContain('--userns string');
  const r = await d.berth(['create', '--userns', 'nosuch', IMG, 'true']);
  expect(r.code).not.toBe(0);
  expect(r.stderr).toContain('--userns: invalid USER mode');
});

test('--mount takes idmap and U', async () => {
  const mount = `type=bind,src=${path.dirname(file)},dst=/m`;
  const owner = ['stat', '-c', '%u:%g', '/m/f'];
  expect(await run(['--mount', `${mount},idmap=uids=1000-3-1;gids=2000-4-1`], ...owner)).toBe('3:4');
  expect(await run(['--userns', 'auto', '--mount', `${mount},idmap`], ...owner)).toBe('1000:2000');
  expect(await run(['-u', '12:13', '--mount', `${mount},U`], ...owner)).toBe('12:13');
  expect(fs.statSync(file).uid).toBe(12);
  expect(await run(['-u', '5:6', '--mount', 'type=volume,src=given,dst=/m,U=true'], 'stat', '-c', '%u:%g', '/m')).toBe(
    '5:6',
  );
});
