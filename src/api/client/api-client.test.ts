import { describe, expect, test } from 'bun:test';
import { parseHost } from './address.ts';
import { compareVersions, encodeFilters, encodeQuery } from './api-client.ts';
import { ApiError, messageOfBody } from './api-error.ts';
import { demultiplex } from './demultiplex.ts';
import { jsonLines } from './json-stream.ts';

describe('hosts', () => {
  for (const [text, expected] of [
    ['', { kind: 'unix', path: '/run/berth.sock' }],
    ['unix:///x/y.sock', { kind: 'unix', path: '/x/y.sock' }],
    ['tcp://10.0.0.1:99', { kind: 'tcp', hostname: '10.0.0.1', port: 99 }],
    ['tcp://:99', { kind: 'tcp', hostname: '127.0.0.1', port: 99 }],
    ['tcp://[::1]:99', { kind: 'tcp', hostname: '[::1]', port: 99 }],
    ['host', { kind: 'tcp', hostname: 'host', port: 2375 }],
  ] as const) {
    test(text, () => expect(parseHost(text)).toMatchObject(expected));
  }
  test('TLS has its own port', () => expect(parseHost('tcp://h', { verify: true })).toMatchObject({ port: 2376 }));
  for (const text of [
    'unix://',
    'gopher://x',
    'tcp://a b',
    'tcp://h:99999',
    'ssh://',
    'ssh://-oProxyCommand=x/',
    'ssh://-l@h',
  ]) {
    test(`refuses ${text}`, () => expect(() => parseHost(text)).toThrow());
  }
});

test('versions', () => {
  expect(compareVersions('1.9', '1.24')).toBeLessThan(0);
  expect(compareVersions('1.51', '1.51')).toBe(0);
});

test('queries leave out what is not asked for', () => {
  expect(encodeQuery({ a: true, b: false, c: '', d: undefined, e: 0, f: ['x', 'y'], g: 'a/b' })).toBe(
    '?a=1&e=0&f=x&f=y&g=a%2Fb',
  );
  expect(encodeFilters(new Map([['label', ['a=b', 'c']]]))).toBe('{"label":{"a=b":true,"c":true}}');
});

test('refusals have kinds', () => {
  expect([400, 404, 409, 418, 500, 501, 599].map((status) => new ApiError(status, 'x').kind)).toEqual([
    'invalid-parameter',
    'not-found',
    'conflict',
    'invalid-parameter',
    'system',
    'not-implemented',
    'system',
  ]);
  expect(messageOfBody(404, '/x', '{"message":"No such container: y"}\n')).toBe('No such container: y');
  expect(messageOfBody(502, '/x', 'bad gateway')).toBe('bad gateway');
});

async function* inPieces(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function frame(stream: number, text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const header = new Uint8Array(8);
  header[0] = stream;
  new DataView(header.buffer).setUint32(4, bytes.length);
  return Buffer.concat([header, bytes]);
}

test('frames come apart however the bytes arrive', async () => {
  const input = Buffer.concat([frame(1, 'one'), frame(2, ''), frame(2, 'two'), frame(1, 'three')]);
  for (let size = 1; size <= input.length; size++) {
    const got = { stdout: '', stderr: '' };
    const decoder = new TextDecoder();
    await demultiplex(inPieces(input, size), {
      stdout: (bytes) => void (got.stdout += decoder.decode(bytes)),
      stderr: (bytes) => void (got.stderr += decoder.decode(bytes)),
    });
    expect(got).toEqual({ stdout: 'onethree', stderr: 'two' });
  }
});

test("the daemon's own stream is a failure", () => {
  const sink = { stdout: () => undefined, stderr: () => undefined };
  return expect(demultiplex(inPieces(frame(3, 'gone'), 4), sink)).rejects.toThrow('error from daemon in stream: gone');
});

test('JSON lines, also without a last newline', async () => {
  const body = new Blob(['{"a":1}\r\n\n{"a":', '2}\n{"a":3}']).stream();
  const got: unknown[] = [];
  for await (const value of jsonLines(body)) got.push(value);
  expect(got).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }]);
});
