/** `berth top` of all containers in a terminal: it shows, acts on keys, lends the terminal, and gives it back. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as path from 'node:path';
import { eventually, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { Terminal } from '../../support/terminal.ts';

const berth = path.resolve(import.meta.dirname, '../../../berth');
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start();
  for (const name of ['first', 'second']) {
    expect((await d.docker(['run', '-d', '--name', name, 'berth.test/busybox:1', 'sleep', '1000'])).code).toBe(0);
  }
});
afterAll(async () => {
  await d[Symbol.asyncDispose]();
});

const running = async () => (await d.docker(['ps', '--format', '{{.Names}}'])).stdout.trim().split('\n').sort();

test('shows all, follows what comes and goes, acts on keys', async () => {
  await using terminal = new Terminal(`${berth} -H unix://${d.socket} top`);
  await terminal.sees('2 running');
  await terminal.sees('second');
  await terminal.sees('KiB');
  expect((await d.docker(['run', '-d', '--name', 'third', 'berth.test/busybox:1', 'sleep', '1000'])).code).toBe(0);
  await terminal.sees('3 running');
  terminal.types('n');
  await terminal.sees('by name');
  terminal.types('\x1b[B');
  terminal.types('\x1b[B');
  // The last by name.
  terminal.types('k');
  await eventually('third is gone', async () => (await running()).join() === 'first,second');
  terminal.types('\x1b[A\x1b[A');
  terminal.types('p');
  await terminal.sees('paused or resumed');
  await eventually(
    'first is paused',
    async () => (await d.docker(['inspect', '-f', '{{.State.Status}}', 'first'])).stdout === 'paused\n',
  );
  terminal.types('p');
  await eventually(
    'first runs',
    async () => (await d.docker(['inspect', '-f', '{{.State.Status}}', 'first'])).stdout === 'running\n',
  );
  terminal.types('e');
  await terminal.sees('/ #');
  terminal.types('echo in-$((40+2))\r');
  await terminal.sees('in-42');
  terminal.types('exit\r');
  const shown = terminal.text.length;
  await eventually('the picture is back', () => terminal.text.slice(shown).includes('2 running'));
  terminal.types('q');
  expect(await terminal.ended).toBe(0);
  expect(terminal.text.endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
});

test('ends with the daemon, and without a terminal says what to use', async () => {
  const piped = await run(berth, ['-H', `unix://${d.socket}`, 'top']);
  expect(piped).toMatchObject({ code: 1, stdout: '' });
  expect(piped.stderr).toContain('berth stats --no-stream');
  await using terminal = new Terminal(`${berth} -H unix:///nowhere.sock top`);
  expect(await terminal.ended).toBe(1);
  expect(terminal.text).toContain('Is the berth daemon running?');
});

test('ps --watch draws the list anew when something changes', async () => {
  await using terminal = new Terminal(`${berth} -H unix://${d.socket} ps --watch`);
  await terminal.sees('second');
  expect((await d.docker(['run', '-d', '--name', 'newcomer', 'berth.test/busybox:1', 'sleep', '1000'])).code).toBe(0);
  await terminal.sees('newcomer');
  expect((await d.docker(['rm', '-f', 'newcomer'])).code).toBe(0);
  terminal.types('\x03');
  expect(await terminal.ended).toBe(130);
});

test('BERTH_DEBUG=1 shows where a failure came from; otherwise nobody sees a trace', async () => {
  const args = ['-H', 'unix:///nowhere.sock', 'ps'];
  expect((await run(berth, args)).stderr).not.toContain('    at ');
  expect((await run(berth, args, { env: { BERTH_DEBUG: '1' } })).stderr).toContain('    at ');
});
