/**
 * dockerode and Testcontainers (npm packages of test/conformance/node, pinned there) drive the daemon unchanged. No
 * install script of theirs is run.
 */
import { beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const programs = path.join(import.meta.dirname, 'node');

beforeAll(async () => {
  if (fs.existsSync(path.join(programs, 'node_modules'))) return;
  await must('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: programs, limitMs: 300_000 });
}, 310_000);

async function outcome(program: string, env: Readonly<Record<string, string>>) {
  const r = await run('node', [path.join(programs, program)], { cwd: programs, env, limitMs: 120_000 });
  const lines = r.stdout.trim().split('\n');
  return {
    passed: lines.filter((line) => line.startsWith('ok ')).length,
    rest: lines.filter((line) => !line.startsWith('ok ')),
    code: r.code,
    stderr: r.stderr,
  };
}

test('dockerode', async () => {
  await using d = await TestDaemon.start({ noBridge: true });
  const result = await outcome('dockerode.mjs', { DOCKER_SOCKET: d.socket });
  expect(result).toEqual({ passed: 27, rest: [], code: 0, stderr: '' });
}, 180_000);

test('Testcontainers', async () => {
  await using d = await TestDaemon.start();
  const result = await outcome('testcontainers.mjs', {
    DOCKER_HOST: `unix://${d.socket}`,
    // Its helper's image would have to be pulled.
    TESTCONTAINERS_RYUK_DISABLED: 'true',
    TESTCONTAINERS_REUSE_ENABLE: 'true',
    HOME: d.directory,
  });
  expect(result).toEqual({ passed: 12, rest: [], code: 0, stderr: '' });
}, 180_000);
