/**
 * `berth image push` and `pull` between two daemons over ssh: through a local sshd with its own configuration and keys;
 * only what is missing travels.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { busyboxEntries, busyboxImage, tar, writeArchive } from '../../support/base-images.ts';
import { type CommandResult, eventually, must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { ensurePackage } from '../../support/debian-package.ts';

const repository = path.resolve(import.meta.dirname, '../../..');
const berth = path.join(repository, 'berth');
const IMG = 'berth.test/busybox:1';
const MB = 1 << 20;

let directory = '';
let sshd: ChildProcess;
let port = 0;
let here: TestDaemon;
let there: TestDaemon;

beforeAll(async () => {
  await ensurePackage('/usr/sbin/sshd', 'openssh-server');
  await ensurePackage('/usr/bin/ssh', 'openssh-client');
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-ssh-'));
  const at = (name: string): string => path.join(directory, name);
  port = await freePort();
  for (const key of ['host', 'user']) await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(key)]);
  fs.copyFileSync(at('user.pub'), at('authorized'));
  fs.mkdirSync(at('bin'));
  fs.symlinkSync(berth, at('bin/berth'));
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${at('host')}`,
    `AuthorizedKeysFile ${at('authorized')}`,
    `PidFile ${at('pid')}`,
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'UsePAM no',
    'StrictModes no',
    `SetEnv PATH=${at('bin')}:${process.env['PATH'] ?? ''}`,
  ];
  fs.writeFileSync(at('sshd_config'), config.join('\n'));
  fs.writeFileSync(at('known'), `[127.0.0.1]:${port} ${fs.readFileSync(at('host.pub'), 'utf8')}`);
  const options = `-F /dev/null -i ${at('user')} -o UserKnownHostsFile=${at('known')} -o IdentitiesOnly=yes -o BatchMode=yes`;
  const wrapper = `#!/bin/sh\nexec /usr/bin/ssh ${options} "$@"\n`;
  fs.mkdirSync(at('client'));
  fs.writeFileSync(at('client/ssh'), wrapper, { mode: 0o755 });
  fs.mkdirSync('/run/sshd', { recursive: true });
  sshd = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', at('sshd_config')], { stdio: 'ignore' });
  await eventually('sshd listens', () => connects(port));
  here = await TestDaemon.start({ noBridge: true });
  there = await TestDaemon.start({ noBridge: true, image: false });
}, 400_000);

afterAll(async () => {
  await here?.[Symbol.asyncDispose]();
  await there?.[Symbol.asyncDispose]();
  if (sshd?.exitCode === null) {
    const ended = new Promise((resolve) => sshd.once('exit', resolve));
    sshd.kill('SIGTERM');
    await ended;
  }
  fs.rmSync(directory, { recursive: true, force: true });
}, 60_000);

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function connects(to: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = net.connect(to, '127.0.0.1');
  socket.on('connect', () => resolve(true));
  socket.on('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

const host = (): string => `ssh://root@127.0.0.1:${port}${there.socket}`;

function cli(...args: string[]): Promise<CommandResult> {
  const env = { PATH: `${path.join(directory, 'client')}:${process.env['PATH'] ?? ''}`, HOME: directory };
  return run(berth, ['-H', `unix://${here.socket}`, 'image', ...args], { env, limitMs: 120_000 });
}

const idOf = (daemon: TestDaemon, name: string): Promise<string> =>
  daemon.must(['image', 'inspect', '-f', '{{.Id}}', name]);

/** Busybox and one more layer with a file of this content. */
function childImage(reference: string, content: Uint8Array): string {
  const base = tar(busyboxEntries(['sh', 'cat', 'echo', 'sleep', 'true']));
  const extra = tar([{ name: 'extra', type: '0', mode: 0o644, content }]);
  return writeArchive(`between-${process.pid}-${reference.replace(/\W/g, '-')}.tar`, {
    reference,
    layers: [base, extra],
  }).path;
}

test('only missing layers travel, in both directions, and ids stay', async () => {
  const first = await cli('push', host(), IMG);
  expect(first.stderr).toBe('');
  expect(first.stdout).toMatch(/^1 layers \([^)]+\): 0 are there already, 1 \([^)]+\) are sent$/m);
  expect(first.stdout).toContain(`Loaded image: ${IMG}`);
  expect(await idOf(there, IMG)).toBe(await idOf(here, IMG));
  const again = await cli('push', host(), IMG);
  expect(again.stdout).toMatch(/1 are there already, 0 \(0B\) are sent/);

  for (const [n, content] of ['one', 'two'].entries()) {
    const archive = childImage(`berth.test/child:${n}`, Buffer.from(content));
    await here.must(['load', '-q', '-i', archive]);
    fs.rmSync(archive);
  }
  const child = await cli('push', host(), 'berth.test/child:0');
  expect(child.code).toBe(0);
  const changed = await cli('push', '-q', host(), 'berth.test/child:1');
  expect([changed.code, changed.stdout]).toEqual([0, '']);
  expect(await idOf(there, 'berth.test/child:1')).toBe(await idOf(here, 'berth.test/child:1'));
  const ran = await there.must(['run', '--rm', '--network', 'none', 'berth.test/child:1', 'cat', '/extra']);
  expect(ran).toBe('two');

  await there.must(['tag', 'berth.test/child:1', 'berth.test/there:1']);
  await here.must(['rmi', 'berth.test/child:1']);
  const pulled = await cli('pull', host(), 'berth.test/there:1', 'berth.test/child:0');
  expect(pulled.stderr).toBe('');
  expect(await idOf(here, 'berth.test/there:1')).toBe(await idOf(there, 'berth.test/there:1'));
  const ranHere = await here.must(['run', '--rm', '--network', 'none', 'berth.test/there:1', 'cat', '/extra']);
  expect(ranHere).toBe('two');
}, 120_000);

test('a change of one layer moves less than that layer, counted at the socket', async () => {
  const content = Buffer.alloc(8 * MB);
  for (let i = 0; i < content.length; i += 4) content.writeUInt32LE((i * 2654435761) >>> 0, i);
  const base = childImage('berth.test/large:base', content);
  await here.must(['load', '-q', '-i', base]);
  fs.rmSync(base);
  expect((await cli('push', host(), 'berth.test/large:base')).code).toBe(0);
  await here.must([
    'run',
    '--name',
    'change',
    '--network',
    'none',
    'berth.test/large:base',
    'sh',
    '-c',
    'echo x > /new',
  ]);
  await here.must(['commit', 'change', 'berth.test/large:changed']);
  await here.must(['rm', 'change']);
  const counting = await Counter.start(there.socket, path.join(directory, 'counted.sock'));
  try {
    const pushed = await cli('push', `ssh://root@127.0.0.1:${port}${counting.socket}`, 'berth.test/large:changed');
    expect(pushed.stderr).toBe('');
    expect(counting.bytes).toBeLessThan(MB);
  } finally {
    counting.stop();
  }
  const args = ['run', '--rm', '--network', 'none', 'berth.test/large:changed', 'cat', '/new'];
  expect(await there.must(args)).toBe('x');
}, 120_000);

test('a copy that broke off is gone on with: what has come is not sent again', async () => {
  const content = Buffer.alloc(12 * MB);
  for (let i = 0; i < content.length; i += 4) content.writeUInt32LE((i * 2246822519) >>> 0, i);
  const archive = childImage('berth.test/broken:1', content);
  await here.must(['load', '-q', '-i', archive]);
  fs.rmSync(archive);
  const at = path.join(directory, 'breaking.sock');
  const counting = await Counter.start(there.socket, at);
  const push = () => cli('push', `ssh://root@127.0.0.1:${port}${at}`, 'berth.test/broken:1');
  const cameBefore = (text: string): number => Number(/of which ([0-9.]+)MB came before/.exec(text)?.[1] ?? 0);
  try {
    let before = 0;
    for (const limit of [6 * MB, 5 * MB]) {
      counting.breakAfter(limit);
      const broken = await push();
      expect(broken.code).not.toBe(0);
      expect(cameBefore(broken.stdout)).toBeGreaterThanOrEqual(before);
      before = cameBefore(broken.stdout);
      await eventually('the reader has noticed', () =>
        fs.readdirSync(path.join(there.dataRoot, 'content/partial')).some((name) => name.endsWith('.sent')),
      );
    }
    expect((await there.docker(['image', 'inspect', 'berth.test/broken:1'])).code).toBe(1);
    // The daemon there may end in between.
    await there.restart();
    counting.breakAfter(Infinity);
    const whole = await push();
    expect([whole.code, whole.stderr]).toEqual([0, '']);
    expect(cameBefore(whole.stdout)).toBeGreaterThan(before);
    expect(counting.bytes).toBeLessThan(8 * MB);
  } finally {
    counting.stop();
  }
  expect(await idOf(there, 'berth.test/broken:1')).toBe(await idOf(here, 'berth.test/broken:1'));
  expect(
    await there.must(['run', '--rm', '--network', 'none', 'berth.test/broken:1', 'sh', '-c', 'wc -c < /extra']),
  ).toBe(String(content.length));
  expect(fs.readdirSync(path.join(there.dataRoot, 'content/partial'))).toEqual([]);
}, 120_000);

/** Stands before a socket and counts what is sent to it. */
class Counter {
  readonly socket: string;
  bytes = 0;
  #limit = Infinity;
  readonly #server: net.Server;

  private constructor(to: string, socket: string) {
    this.socket = socket;
    this.#server = net.createServer({ allowHalfOpen: true }, (client) => {
      const target = net.connect({ path: to, allowHalfOpen: true });
      for (const end of [client, target]) end.on('error', () => undefined);
      client.on('data', (bytes: Buffer) => {
        this.bytes += bytes.length;
        if (this.bytes < this.#limit) return;
        client.destroy();
        target.destroy();
      });
      client.pipe(target);
      target.pipe(client);
    });
  }

  static async start(to: string, socket: string): Promise<Counter> {
    const counter = new Counter(to, socket);
    await new Promise<void>((resolve) => counter.#server.listen(socket, resolve));
    return counter;
  }

  /** Counts anew; the connection that reaches so many bytes ends. */
  breakAfter(bytes: number): void {
    this.bytes = 0;
    this.#limit = bytes;
  }

  stop(): void {
    this.#server.close();
  }
}

test('what cannot be copied is told, and nothing is half there', async () => {
  const unknown = await cli('push', host(), 'berth.test/none:1');
  expect([unknown.code, unknown.stderr]).toEqual([
    1,
    expect.stringContaining('No such image: berth.test/none:1') as string,
  ]);
  const nobody = await cli('push', `ssh://root@127.0.0.1:${port}${directory}/none.sock`, IMG);
  expect(nobody.code).toBe(1);
  expect((await cli('push', host())).stderr).toContain('which image?');
  expect((await cli('pull', '-q', host(), 'berth.test/none:1')).stderr).toContain('No such image');
  // An archive with a gap that nobody said is there.
  const archive = path.join(directory, 'gap.tar');
  await here.must(['save', '-o', archive, IMG]);
  const gap = path.join(directory, 'gap');
  fs.mkdirSync(gap);
  await must('tar', ['-xf', archive, '-C', gap]);
  for (const blob of fs.readdirSync(path.join(gap, 'blobs/sha256'))) {
    const file = path.join(gap, 'blobs/sha256', blob);
    if (fs.statSync(file).size > 100_000) fs.rmSync(file);
  }
  await must('tar', ['-cf', archive, '-C', gap, '.']);
  const refused = await here.docker(['load', '-i', archive]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('invalid image archive');
}, 120_000);

test('the base image itself is not touched by a load that finds it here', async () => {
  const { path: archive } = await busyboxImage();
  await there.must(['load', '-q', '-i', archive]);
  expect(await there.must(['run', '--rm', '--network', 'none', IMG, 'echo', 'works'])).toBe('works');
  expect((await cli('push', host(), IMG)).code).toBe(0);
  await there.must(['save', '-o', path.join(directory, 'again.tar'), IMG]);
}, 120_000);
