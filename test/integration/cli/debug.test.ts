/** `berth debug`: tools beside containers that have none, dead ones included; `berth doctor`. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const berth = path.resolve(import.meta.dirname, '../../../berth');
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start();
  // An image with one program and nothing else: no shell, no libraries.
  const folder = path.join(d.directory, 'scratch');
  fs.mkdirSync(folder);
  fs.copyFileSync('/bin/busybox', path.join(folder, 'sleep'));
  fs.writeFileSync(path.join(folder, 'note'), 'in the image');
  const tar = path.join(d.directory, 'scratch.tar');
  expect((await run('tar', ['-C', folder, '-cf', tar, '.'])).code).toBe(0);
  expect((await d.docker(['import', '-c', 'CMD ["/sleep","1000"]', tar, 'scratch:1'])).code).toBe(0);
});
afterAll(async () => {
  await d[Symbol.asyncDispose]();
});

const client = (...args: string[]) => run(berth, ['-H', `unix://${d.socket}`, ...args]);

test('a running container without a shell: its processes, files and network; its image stays as it is', async () => {
  expect((await d.docker(['run', '-d', '--name', 'bare', '-p', '127.0.0.1::80', 'scratch:1'])).code).toBe(0);
  const before = await d.docker(['inspect', '-f', '{{.Image}} {{.State.Pid}}', 'bare']);
  const said = await client('debug', '-c', 'ps; cat /target/note; ip -o -4 addr show eth0; ls /target', 'bare');
  expect(said.stderr).toBe('');
  expect(said.code).toBe(0);
  expect(said.stdout).toContain('/sleep 1000');
  expect(said.stdout).toContain('in the image');
  expect(said.stdout).toContain(
    (await d.docker(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'bare'])).stdout.trim(),
  );
  expect((await d.docker(['inspect', '-f', '{{.Image}} {{.State.Pid}}', 'bare'])).stdout).toBe(before.stdout);
  expect((await d.docker(['diff', 'bare'])).stdout).toBe('');
  expect((await client('debug', '-c', 'exit 9', 'bare')).code).toBe(9);
  expect((await d.docker(['ps', '-aq'])).stdout.trim().split('\n').length).toBe(1);
});

test('a container that ended, and an image', async () => {
  expect((await d.docker(['run', '--name', 'dead', '--entrypoint', '/sleep', 'scratch:1', '0'])).code).toBe(0);
  fs.writeFileSync(path.join(d.directory, 'left'), 'left behind');
  expect((await d.docker(['cp', path.join(d.directory, 'left'), 'dead:/left'])).code).toBe(0);
  const images = (await d.docker(['images', '-aq'])).stdout;
  const said = await client('debug', '-c', 'cat left; cat note; pwd', 'dead');
  expect(said).toMatchObject({ code: 0, stdout: 'left behindin the image/target\n', stderr: '' });
  expect((await d.docker(['images', '-aq'])).stdout).toBe(images);
  const onImage = await client('debug', '-c', 'cat note; ls', 'scratch:1');
  expect(onImage).toMatchObject({ code: 0, stdout: 'in the imagenote\nsleep\n' });
  expect((await d.docker(['inspect', '-f', '{{.State.Status}}', 'dead'])).stdout).toBe('exited\n');
  await d.docker(['rm', '-f', 'dead', 'bare']);
});

test('a name that nothing has', async () => {
  const said = await client('debug', 'nothing-of-this-name');
  expect(said).toMatchObject({ code: 1, stderr: 'Error: No such container or image: nothing-of-this-name\n' });
});

test('doctor: asks the daemon, and says what to start when there is none', async () => {
  const well = await client('doctor');
  expect(well.stdout).toContain('daemon');
  expect(well.stdout).not.toContain('FAIL');
  expect(well.code).toBe(0);
  const found: unknown = JSON.parse((await client('doctor', '--format', 'json')).stdout);
  expect(found).toContainEqual(expect.objectContaining({ name: 'daemon', verdict: 'ok' }));
  const none = await run(berth, ['-H', 'unix:///nowhere/x.sock', 'doctor']);
  expect(none.code).toBe(1);
  expect(none.stdout).toContain('→ systemctl start berth.socket, or: berth daemon');
});
