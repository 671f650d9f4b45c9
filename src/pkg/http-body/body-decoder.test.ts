import { describe, expect, test } from 'bun:test';
import { BodyDecoder } from './body-decoder.ts';

const chunked = (text: string, step: number): { body: string; used: number; done: boolean } => {
  let body = '';
  const decoder = new BodyDecoder({ kind: 'chunked' }, (bytes) => {
    body += Buffer.from(bytes).toString('latin1');
  });
  const all = Buffer.from(text, 'latin1');
  let used = 0;
  while (used < all.length && !decoder.done) used += decoder.feed(all.subarray(used, used + step));
  return { body, used, done: decoder.done };
};

describe('chunked bodies', () => {
  const text =
    '4\r\nWiki\r\n5\r\npedia\r\nC\r\n in\r\n\r\nchunk\r\n0000002\r\n\r\n\r\n1;name="value"\r\nx\r\n0a \r\n0123456789\r\n' +
    '00000000000a\r\n9876543210\r\n0\r\nTrailer: some\r\n\r\n';
  const body = 'Wikipedia in\r\n\r\nchunk\r\nx01234567899876543210';

  test('are the same in pieces of any size, and what follows is left', () => {
    for (let step = 1; step <= text.length + 4; step++) {
      expect(chunked(`${text}GET `, step)).toEqual({ body, used: text.length, done: true });
    }
  });

  test('a decoder elsewhere goes on from any place', () => {
    const all = Buffer.from(text, 'latin1');
    for (let at = 0; at <= all.length; at++) {
      let taken = '';
      const emit = (bytes: Uint8Array): void => {
        taken += Buffer.from(bytes).toString('latin1');
      };
      const first = new BodyDecoder({ kind: 'chunked' }, emit);
      first.feed(all.subarray(0, at));
      const second = BodyDecoder.from(first.position, emit);
      second.feed(all.subarray(at));
      expect([taken, second.done]).toEqual([body, true]);
    }
  });

  test.each([
    ['g\r\n', 'invalid chunk size'],
    ['\r\n', 'invalid chunk size'],
    ['-1\r\n', 'invalid chunk size'],
    ['0x1\r\n', 'invalid chunk size'],
    ['1\nx', 'malformed chunked encoding'],
    ['1\rx', 'malformed chunked encoding'],
    ['1\r\nx\n', 'malformed chunked encoding'],
    ['1\r\nxy\r\n0\r\n\r\n', 'malformed chunked encoding'],
    ['ffffffffffffff\r\n', 'invalid chunk size'],
  ])('%j is refused, in one piece and byte by byte', (bad, message) => {
    expect(() => chunked(bad, bad.length)).toThrow(message);
    expect(() => chunked(bad, 1)).toThrow(message);
  });
});
