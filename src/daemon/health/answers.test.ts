/** What the engine's own probes make of answers, well-meant and hostile, in pieces of every size. */
import { expect, test } from 'bun:test';
import { GrpcAnswer, grpcRequest, grpcStatusIn } from './grpc-health.ts';
import { HttpAnswer, httpRequest } from './http-answer.ts';
import type { Answer } from './network-probe.ts';

/** Fed byte by byte, in one piece, and in between: the same each time. */
function outcomeOf(make: () => Answer, bytes: Uint8Array): { exitCode: number; output: string; replies: number } {
  const outcomes = [1, 7, bytes.length || 1].map((size) => {
    const answer = make();
    let replies = 0;
    for (let at = 0; at < bytes.length; at += size) {
      const outcome = answer.take(bytes.subarray(at, at + size), () => (replies += 1));
      if (outcome !== undefined) return { ...outcome, replies };
    }
    return { ...answer.end(), replies };
  });
  for (const outcome of outcomes) expect(outcome.exitCode).toBe(outcomes[0]?.exitCode ?? -2);
  const [, , whole] = outcomes;
  if (whole === undefined) throw new Error('no outcome');
  return whole;
}

const http = (text: string) => outcomeOf(() => new HttpAnswer(), Buffer.from(text));

test.each([
  ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi', 0, 'HTTP/1.1 200 OK\nhi'],
  ['HTTP/1.0 204 No Content\r\n\r\n', 0, 'HTTP/1.0 204 No Content\n'],
  ['HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n', 0, 'HTTP/1.1 302 Found\n'],
  ['HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy', 1, 'HTTP/1.1 503 Service Unavailable\nbusy'],
  ['HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort', 0, 'HTTP/1.1 200 OK\nshort'],
  ['SSH-2.0-OpenSSH\r\n\r\n', 1, 'the answer is not HTTP/1.1\n'],
  ['HTTP/1.1 2000 OK\r\n\r\n', 1, 'the answer is not HTTP/1.1\n'],
  ['', 1, 'the connection was closed without an answer'],
])('http %p', (text, exitCode, output) => expect(http(text)).toMatchObject({ exitCode, output }));

test('http: a head or a body without end is not kept', () => {
  expect(http(`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(70_000)}`)).toMatchObject({
    exitCode: 1,
    output: 'the head of the answer is too long',
  });
  expect(http(`HTTP/1.1 200 OK\r\n\r\n${'b'.repeat(100_000)}`).output.length).toBeLessThan(4200);
}, 60_000);

test('http: the request names the host and asks for the path', () => {
  expect(Buffer.from(httpRequest('http://127.0.0.1:8080/a?b=c')).toString()).toStartWith(
    'GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n',
  );
});

function frame(type: number, flags: number, payload: Uint8Array, stream = 1): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const SETTINGS = frame(4, 0, Buffer.alloc(0), 0);
const HEADERS = frame(1, 4, Buffer.from('88', 'hex'));
const data = (bytes: number[], flags = 0): Buffer => frame(0, flags, Buffer.from(bytes));
const grpc = (...frames: Buffer[]) => outcomeOf(() => new GrpcAnswer(), Buffer.concat(frames));

test.each([
  ['serving', [SETTINGS, HEADERS, data([0, 0, 0, 0, 2, 8, 1])], 0, 'status: SERVING'],
  ['serving, padded', [HEADERS, frame(0, 8, Buffer.from([3, 0, 0, 0, 0, 2, 8, 1, 0, 0, 0]))], 0, 'status: SERVING'],
  ['not serving', [HEADERS, data([0, 0, 0, 0, 2, 8, 2])], 1, 'status: NOT_SERVING'],
  ['an empty message', [HEADERS, data([0, 0, 0, 0, 0])], 1, 'status: UNKNOWN'],
  [
    'no such service',
    [frame(1, 5, Buffer.from('\x88\x00\x0bgrpc-status\x015', 'latin1'))],
    1,
    'no status in the answer (grpc-status 5)',
  ],
  ['refused', [SETTINGS, frame(7, 0, Buffer.alloc(8), 0)], 1, 'the server refused the call'],
  ['reset', [frame(3, 0, Buffer.alloc(4))], 1, 'the server refused the call'],
  ['not HTTP/2', [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')], 1, 'the answer is not HTTP/2'],
  ['nothing', [], 1, 'the connection was closed without an answer'],
] as [string, Buffer[], number, string][])('grpc: %s', (_, frames, exitCode, output) =>
  expect(grpc(...frames)).toMatchObject({ exitCode, output }),
);

test('grpc: settings and pings are answered; an answer without end is not kept', () => {
  const ping = frame(6, 0, Buffer.alloc(8), 0);
  expect(grpc(SETTINGS, ping, HEADERS, data([0, 0, 0, 0, 2, 8, 1])).replies).toBe(2);
  const flood = Array.from({ length: 40 }, () =>
    data([0, 255, 255, 255, 255, ...Array.from({ length: 10_000 }, () => 0)]),
  );
  expect(grpc(HEADERS, ...flood)).toMatchObject({ exitCode: 1, output: 'the answer is too long' });
});

test('grpc: a status in the Huffman code', () => {
  // 12 is 00001 00010 and ones up to the byte; 5 is 011011.
  const coded = (digits: number[]) => Buffer.concat([Buffer.from('40889acac8b21234da8f', 'hex'), Buffer.from(digits)]);
  expect(grpcStatusIn(coded([0x82, 0b00001000, 0b10111111]))).toBe(12);
  expect(grpcStatusIn(coded([0x81, 0b01101111]))).toBe(5);
  expect(grpcStatusIn(Buffer.from('nothing'))).toBeUndefined();
});

test('grpc: the request names the service', () => {
  const bytes = Buffer.from(grpcRequest('127.0.0.1:1', 'db'));
  expect(bytes.toString('latin1')).toStartWith('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  expect(bytes.subarray(-9).toString('hex')).toBe('00000000040a026462');
});
