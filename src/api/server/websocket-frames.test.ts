import { describe, expect, test } from 'bun:test';
import { HttpError, parseHead } from './head.ts';
import { acceptWebSocket } from './websocket.ts';
import { closeFrame, FrameReader, serverFrame, WebSocketError } from './websocket-frames.ts';

const MASK = [0x37, 0xfa, 0x21, 0x3d];

/** A frame of a client. */
function client(first: number, payload: Uint8Array, masked = true): Buffer {
  const { length } = payload;
  const head =
    length < 126
      ? [length]
      : length < 65_536
        ? [126, length >> 8, length & 255]
        : [127, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 255, length & 255];
  const [short = 0, ...rest] = head;
  const body = payload.map((byte, i) => (masked ? byte ^ (MASK[i & 3] ?? 0) : byte));
  return Buffer.from([first, short | (masked ? 0x80 : 0), ...rest, ...(masked ? MASK : []), ...body]);
}

function read(bytes: Uint8Array, step = bytes.length) {
  const seen = { data: '', pings: [] as string[], close: -1 };
  const reader = new FrameReader({
    data: (part) => (seen.data += Buffer.from(part).toString('latin1')),
    ping: (payload) => seen.pings.push(Buffer.from(payload).toString()),
    close: (code) => (seen.close = code),
  });
  for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
  return seen;
}

const text = (s: string) => Buffer.from(s);

test('messages of all lengths, in pieces of any size', () => {
  for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]) {
    const payload = Buffer.alloc(length, 'abcdefg');
    const bytes = Buffer.concat([client(0x82, payload), client(0x81, text('end'))]);
    for (const step of length > 1000 ? [bytes.length, 999] : [bytes.length, 1, 2, 7]) {
      expect(read(bytes, step).data).toBe(`${payload.toString('latin1')}end`);
    }
  }
});

test('fragments with a ping between them, and what comes after a close is not read', () => {
  const bytes = Buffer.concat([
    client(0x02, text('one ')),
    client(0x89, text('alive?')),
    client(0x00, text('two ')),
    client(0x8a, text('unasked pong')),
    client(0x80, text('three')),
    client(0x88, Buffer.from([0x03, 0xe8, ...text('bye')])),
    client(0x82, text('ignored')),
  ]);
  for (const step of [bytes.length, 1, 3]) {
    expect(read(bytes, step)).toEqual({ data: 'one two three', pings: ['alive?'], close: 1000 });
  }
});

describe('what breaks the protocol ends it with 1002', () => {
  for (const [what, bytes] of [
    ['not masked', client(0x82, text('x'), false)],
    ['a reserved bit', client(0xc2, text('x'))],
    ['an unknown data opcode', client(0x83, text('x'))],
    ['an unknown control opcode', client(0x8b, text('x'))],
    ['a fragmented ping', client(0x09, text('x'))],
    ['a ping that is too long', client(0x89, Buffer.alloc(126))],
    ['a continuation of nothing', client(0x80, text('x'))],
    ['a message within a message', Buffer.concat([client(0x02, text('x')), client(0x82, text('y'))])],
    ['half a close code', client(0x88, Buffer.from([3]))],
    ['a close code that may not be sent', client(0x88, Buffer.from([0x03, 0xed]))],
  ] as const) {
    test(what, () => {
      let code = 0;
      try {
        read(bytes);
      } catch (error) {
        if (error instanceof WebSocketError) code = error.code;
      }
      expect(code).toBe(1002);
    });
  }

  test('a length beyond all bounds: 1009', () => {
    const head = Buffer.from([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...MASK]);
    expect(() => read(head)).toThrow('a frame is too long');
  });
});

test('frames of a server', () => {
  expect([...serverFrame(2, text('hi'))]).toEqual([0x82, 2, 0x68, 0x69]);
  expect([...serverFrame(2, Buffer.alloc(300)).subarray(0, 4)]).toEqual([0x82, 126, 1, 44]);
  expect([...serverFrame(2, Buffer.alloc(70_000)).subarray(0, 10)]).toEqual([0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
  expect([...closeFrame(1000)]).toEqual([0x88, 2, 3, 0xe8]);
});

describe('the handshake', () => {
  const request = (...lines: string[]) =>
    parseHead(
      [
        'GET /x HTTP/1.1',
        'Host: h',
        'Upgrade: websocket',
        'Connection: keep-alive, Upgrade',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        ...lines,
      ].join('\r\n'),
    );

  test("answers the standard's example, and takes one protocol", () => {
    expect(acceptWebSocket(request())).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n');
    expect(acceptWebSocket(request())).not.toContain('Sec-WebSocket-Protocol');
    expect(acceptWebSocket(request('Sec-WebSocket-Protocol: binary'))).toContain('Sec-WebSocket-Protocol: binary\r\n');
  });

  test('refuses what is none', () => {
    const refused = (text: string) => expect(() => acceptWebSocket(parseHead(text))).toThrow(HttpError);
    refused('GET /x HTTP/1.1\r\nHost: h');
    refused('GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8');
    refused('GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13');
    expect(() => acceptWebSocket(request('Sec-WebSocket-Protocol: a, b'))).toThrow('bad WebSocket Protocol');
  });
});
