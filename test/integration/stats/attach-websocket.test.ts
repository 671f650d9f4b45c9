/** attach by WebSocket: a client of the test's own over the socket, so that every byte is seen. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import net from 'node:net';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMAGE = 'berth.test/busybox:1';
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

interface Frame {
  readonly opcode: number;
  readonly payload: string;
}

class Client implements Disposable {
  readonly #socket: net.Socket;
  #bytes: Buffer = Buffer.alloc(0);
  head = '';
  ended = false;

  constructor(path: string, headers: readonly string[] = []) {
    this.#socket = net.connect(d.socket);
    this.#socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      const end = this.#bytes.indexOf('\r\n\r\n');
      if (this.head !== '' || end < 0) return;
      this.head = this.#bytes.subarray(0, end).toString();
      this.#bytes = this.#bytes.subarray(end + 4);
    });
    this.#socket.on('end', () => (this.ended = true));
    this.#socket.on('error', () => (this.ended = true));
    const all = ['Host: h', 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'];
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
    this.#socket.write(`GET ${path} HTTP/1.1\r\n${[...all, key, ...headers].join('\r\n')}\r\n\r\n`);
  }

  send(opcode: number, text: string, mask = [1, 2, 3, 4]): void {
    const payload = Buffer.from(text).map((byte, i) => byte ^ (mask[i & 3] ?? 0));
    this.#socket.write(Buffer.from([0x80 | opcode, 0x80 | payload.length, ...mask, ...payload]));
  }

  raw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Frames so far. */
  frames(): Frame[] {
    const frames: Frame[] = [];
    for (let at = 0; at + 2 <= this.#bytes.length; ) {
      const short = (this.#bytes[at + 1] ?? 0) & 0x7f;
      const start = at + (short === 126 ? 4 : 2);
      if (start > this.#bytes.length) break;
      const length = short === 126 ? this.#bytes.readUInt16BE(at + 2) : short;
      const payload = this.#bytes.subarray(start, start + length).toString('latin1');
      frames.push({ opcode: (this.#bytes[at] ?? 0) & 15, payload });
      at = start + length;
    }
    return frames;
  }

  output(): string {
    return this.frames()
      .filter(({ opcode }) => opcode === 1 || opcode === 2)
      .map(({ payload }) => payload)
      .join('');
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

const all = 'stream=1&stdin=1&stdout=1&stderr=1';

test('input and both outputs in one stream, ping, close', async () => {
  await d.must([
    'run',
    '-di',
    '--name',
    'echo',
    '--network',
    'none',
    IMAGE,
    'sh',
    '-c',
    'while read x; do echo "got $x"; echo "err $x" >&2; done',
  ]);
  using client = new Client(`/v1.51/containers/echo/attach/ws?${all}`, ['Sec-WebSocket-Protocol: chat']);
  await eventually('the handshake', () => client.head !== '');
  expect(client.head).toStartWith('HTTP/1.1 101 Switching Protocols\r\n');
  expect(client.head).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  expect(client.head).toContain('Sec-WebSocket-Protocol: chat');
  client.send(2, 'one\n');
  await eventually('the answer', () => client.output().includes('got one\n') && client.output().includes('err one\n'));
  client.send(9, 'there?');
  client.send(1, 'two\n');
  await eventually(
    'the second answer',
    () => client.output().includes('got two\n') && client.output().includes('err two\n'),
  );
  expect(client.frames()).toContainEqual({ opcode: 10, payload: 'there?' });
  expect(client.frames().every(({ opcode }) => opcode === 2 || opcode === 10)).toBe(true);
  expect(client.output()).not.toContain('\0');
  client.send(8, '\x03\xe8');
  await eventually('the server closes', () => client.ended);
  expect(client.frames().at(-1)?.opcode).toBe(8);
  expect(await d.must(['inspect', '-f', '{{.State.Running}}', 'echo'])).toBe('true');
}, 30_000);

test('a terminal: raw bytes, resize, the end of the container closes', async () => {
  await d.must(['create', '-ti', '--name', 'tty', '--network', 'none', IMAGE, 'sh']);
  using client = new Client(`/v1.51/containers/tty/attach/ws?${all}`);
  await eventually('the handshake', () => client.head !== '');
  await d.must(['start', 'tty']);
  expect((await d.request('POST', '/v1.51/containers/tty/resize?h=33&w=77')).status).toBe(200);
  client.send(2, 'busybox stty size\n');
  await eventually('the size', () => client.output().includes('33 77'));
  client.send(2, 'exit\n');
  await eventually('the end', () => client.ended);
  expect(client.frames().at(-1)).toEqual({ opcode: 8, payload: '\x03\xe8' });
}, 30_000);

test('logs first, only what was asked for, text frames for old clients', async () => {
  await d.must(['run', '--name', 'said', '--network', 'none', IMAGE, 'sh', '-c', 'echo out; echo err >&2']);
  using replay = new Client('/v1.51/containers/said/attach/ws?logs=1&stdout=1');
  await eventually('the end', () => replay.ended);
  expect(replay.output()).toBe('out\n');
  using old = new Client('/v1.27/containers/said/attach/ws?logs=1&stdout=1&stderr=1');
  await eventually('the end', () => old.ended);
  expect(old.frames()[0]?.opcode).toBe(1);
}, 30_000);

test('what is refused, and what breaks the protocol', async () => {
  using missing = new Client(`/v1.51/containers/nosuch/attach/ws?${all}`);
  await eventually('the refusal', () => missing.head !== '');
  expect(missing.head).toStartWith('HTTP/1.1 404');
  expect((await d.request('GET', '/v1.51/containers/echo/attach/ws')).status).toBe(400);
  using several = new Client('/v1.51/containers/echo/attach/ws', ['Sec-WebSocket-Protocol: a, b']);
  await eventually('the refusal', () => several.head.startsWith('HTTP/1.1 400'));
  using broken = new Client(`/v1.51/containers/echo/attach/ws?${all}`);
  await eventually('the handshake', () => broken.head !== '');
  broken.raw(Buffer.from([0x82, 0x01, 0x41]));
  await eventually('the end', () => broken.ended);
  expect(broken.frames().at(-1)).toEqual({ opcode: 8, payload: '\x03\xea' });
  expect(await d.must(['inspect', '-f', '{{.State.Running}}', 'echo'])).toBe('true');
}, 30_000);
