/**
 * Copies that are long enough for a Worker to read and write the client's socket itself: whole, many at once, broken off
 * by either side, refused in the middle; and what is said over the same connection afterwards.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { tar } from '../../support/base-images.ts';
import { eventually, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const MB = 1 << 20;
let d: TestDaemon;
let local: string;
let port: number;
beforeAll(async () => {
  port = await freePort();
  d = await TestDaemon.start({ noBridge: true, args: ['-H', `tcp://127.0.0.1:${port}`] });
  local = path.join(d.directory, 'local');
  fs.mkdirSync(local);
  await d.must([
    'run',
    '-d',
    '--name',
    'target',
    '--network',
    'none',
    '--tmpfs',
    '/small:size=8m',
    IMG,
    'sleep',
    '9999',
  ]);
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

/** Bytes that tell their place. */
function numbered(bytes: number): Buffer {
  const all = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) all.writeUInt32LE(at + 1, at);
  return all;
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const file = (name: string, content: Buffer) => ({ name, type: '0', mode: 0o644, content }) as const;
const sums = async (name: string) => (await d.must(['exec', 'target', 'sha256sum', name])).split(' ')[0];

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** The stock CLI over TCP. */
const overTcp = (args: readonly string[]) => run('docker', ['-H', `tcp://127.0.0.1:${port}`, ...args]);

test('in and out by both clients, files of odd sizes one after the other', async () => {
  const whole = numbered(9 * MB + 12_345);
  fs.mkdirSync(path.join(local, 'tree'));
  for (const [i, size] of [700_001, 3 * MB, 1, 2 * MB + 511, 0].entries()) {
    fs.writeFileSync(path.join(local, 'tree', `f${i}`), whole.subarray(0, size));
  }
  fs.writeFileSync(path.join(local, 'whole'), whole);
  for (const client of [d.docker.bind(d), d.berth.bind(d), overTcp]) {
    fs.mkdirSync(path.join(local, 'back'));
    for (const name of ['whole', 'tree']) {
      expect(await client(['cp', path.join(local, name), `target:/${name}`])).toMatchObject({ code: 0 });
      expect(await client(['cp', `target:/${name}`, path.join(local, 'back')])).toMatchObject({ code: 0 });
    }
    expect(await sums('/whole')).toBe(digest(whole));
    expect(digest(fs.readFileSync(path.join(local, 'back/whole')))).toBe(digest(whole));
    for (const name of fs.readdirSync(path.join(local, 'tree'))) {
      expect(digest(fs.readFileSync(path.join(local, 'back/tree', name)))).toBe(
        digest(fs.readFileSync(path.join(local, 'tree', name))),
      );
    }
    await d.must(['exec', 'target', 'rm', '-r', '/whole', '/tree']);
    fs.rmSync(path.join(local, 'back'), { recursive: true });
  }
}, 60_000);

/** Speaks HTTP by hand. */
class Peer implements Disposable {
  readonly socket: net.Socket;
  text = '';

  constructor() {
    this.socket = net.connect({ path: d.socket, allowHalfOpen: true });
    this.socket.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('latin1');
    });
    this.socket.on('error', () => {});
  }

  async send(bytes: Buffer | string): Promise<void> {
    await new Promise<void>((resolve) => this.socket.write(bytes, () => resolve()));
  }

  chunk(bytes: Buffer): Promise<void> {
    return this.send(Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]));
  }

  answers(count: number): Promise<string[]> {
    return eventually('the answers', () => {
      const found = [...this.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1] ?? '');
      return found.length >= count ? found : undefined;
    });
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

const PUT = 'PUT /v1.51/containers/target/archive?path=/ HTTP/1.1\r\nHost: x\r\n';
const PING = 'GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n';

test('chunks of any size, and requests behind the body, over one connection', async () => {
  const content = numbered(5 * MB);
  const archive = tar([file('odd', content)]);
  using peer = new Peer();
  await peer.send(`${PUT}Transfer-Encoding: chunked\r\n\r\n`);
  let at = 0;
  for (const size of [1, 7, 300_000, 4096, 70_000, 2 * MB]) {
    await peer.chunk(archive.subarray(at, at + size));
    at += size;
  }
  // In pieces that end within the size line, within the bytes, and within what follows them.
  const rest = archive.subarray(at);
  const framed = Buffer.concat([
    Buffer.from(`${rest.length.toString(16)};x=y\r\n`),
    rest,
    Buffer.from('\r\n0\r\nT: 1\r\n\r\n'),
  ]);
  for (const [from, to] of [
    [0, 2],
    [2, 40],
    [40, framed.length - 9],
  ]) {
    await peer.send(framed.subarray(from, to));
    await Bun.sleep(20);
  }
  await peer.send(Buffer.concat([framed.subarray(framed.length - 9), Buffer.from(PING + PING)]));
  expect(await peer.answers(3)).toEqual(['200', '200', '200']);
  expect(await sums('/odd')).toBe(digest(content));
  // By length, and again something behind it.
  const again = Buffer.concat([archive, Buffer.from(PING)]);
  await peer.send(Buffer.concat([Buffer.from(`${PUT}Content-Length: ${archive.length}\r\n\r\n`), again]));
  expect(await peer.answers(5)).toEqual(['200', '200', '200', '200', '200']);
  // One that has said all that it will, and listens.
  using halfOpen = new Peer();
  await halfOpen.send(Buffer.concat([Buffer.from(`${PUT}Content-Length: ${archive.length}\r\n\r\n`), archive]));
  halfOpen.socket.end();
  expect(await halfOpen.answers(1)).toEqual(['200']);
}, 60_000);

test('refused in the middle: the reason is told, and nothing holds the connection', async () => {
  fs.writeFileSync(path.join(local, 'large'), numbered(30 * MB));
  for (const client of [d.docker.bind(d), d.berth.bind(d)]) {
    const full = await client(['cp', path.join(local, 'large'), 'target:/small/']);
    expect(full.code).toBe(1);
    expect(full.stderr).toContain('no space left on device');
    await d.must(['exec', 'target', 'sh', '-c', 'rm -f /small/*']);
  }
  using peer = new Peer();
  await peer.send(`${PUT}Transfer-Encoding: chunked\r\n\r\n`);
  await peer.chunk(tar([file('cut', numbered(3 * MB))]).subarray(0, 2 * MB));
  await peer.send('this is no chunk\r\n');
  expect(await peer.answers(1)).toEqual(['400']);
  expect(peer.text).toContain('invalid chunk size');
}, 60_000);

test('a client that goes, in either direction, ends its copy; others go on', async () => {
  await d.must(['exec', 'target', 'sh', '-c', 'head -c 60000000 /dev/zero > /zeros']);
  for (let i = 0; i < 5; i++) {
    using writer = new Peer();
    await writer.send(`${PUT}Transfer-Encoding: chunked\r\n\r\n`);
    await writer.chunk(tar([file('gone', numbered(8 * MB))]).subarray(0, 3 * MB));
    using reader = new Peer();
    await reader.send('GET /containers/target/archive?path=/zeros HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually('it comes', () => reader.text.length > 2 * MB);
  }
  const whole = numbered(4 * MB);
  fs.writeFileSync(path.join(local, 'after'), whole);
  await d.must(['cp', path.join(local, 'after'), 'target:/after']);
  expect(await sums('/after')).toBe(digest(whole));
  // Every socket that was lent is closed, and its Worker free.
  await eventually('nothing is held', () => socketsOf(d.pid) <= 2);
}, 60_000);

/** Connections of clients, and the listener. */
function socketsOf(pid: number): number {
  const names = new Set(
    fs
      .readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .filter((line) => line.endsWith(d.socket))
      .map((line) => `socket:[${line.split(' ')[6]}]`),
  );
  return fs.readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return names.has(fs.readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;
}

test('more at once than there are Workers, some of which nobody reads; a removal breaks them off', async () => {
  await d.must([
    'run',
    '-d',
    '--name',
    'source',
    '--network',
    'none',
    IMG,
    'sh',
    '-c',
    'head -c 60000000 /dev/zero > /zeros; sleep 9999',
  ]);
  await eventually(
    'the file is there',
    async () => (await d.docker(['exec', 'source', 'test', '-s', '/zeros'])).code === 0,
  );
  const stalled = Array.from({ length: 6 }, () => {
    const peer = new Peer();
    peer.socket.pause();
    peer.socket.write('GET /containers/source/archive?path=/zeros HTTP/1.1\r\nHost: x\r\n\r\n');
    return peer;
  });
  const whole = numbered(6 * MB);
  fs.writeFileSync(path.join(local, 'beside'), whole);
  const copies = Array.from({ length: 6 }, (_, i) =>
    d.docker(['cp', path.join(local, 'beside'), `target:/beside${i}`]),
  );
  expect((await Promise.all(copies)).map(({ code }) => code)).toEqual([0, 0, 0, 0, 0, 0]);
  for (let i = 0; i < 6; i++) expect(await sums(`/beside${i}`)).toBe(digest(whole));
  await d.must(['rm', '-f', 'source'], { limitMs: 30_000 });
  for (const peer of stalled) peer[Symbol.dispose]();
  await eventually('nothing is held', () => socketsOf(d.pid) <= 2);
}, 90_000);
