import { afterEach, describe, expect, test } from 'bun:test';
import { parseHost } from './address.ts';
import { ApiClient } from './api-client.ts';

const listeners: { stop(closeActive?: boolean): void }[] = [];
let counter = 0;
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.stop(true);
});

/** A daemon that gives each request of a connection the next answer, a piece each turn of the loop. */
function daemon(answers: readonly string[], pieceBytes = 7) {
  const path = `/tmp/berth-wire-test-${process.pid}-${counter++}.sock`;
  const seen = { connections: 0, requests: [] as string[] };
  let next = 0;
  listeners.push(
    Bun.listen({
      unix: path,
      socket: {
        open() {
          seen.connections += 1;
        },
        async data(socket, bytes) {
          seen.requests.push(bytes.toString());
          const answer = answers[next++] ?? '';
          for (let at = 0; at < answer.length; at += pieceBytes) {
            socket.write(answer.slice(at, at + pieceBytes));
            socket.flush();
            await new Promise((resolve) => setImmediate(resolve));
          }
          if (answer.includes('Connection: close') || answer.startsWith('HTTP/1.0')) socket.end();
        },
      },
    }),
  );
  const client = new ApiClient({ address: parseHost(`unix://${path}`), userAgent: 'test', version: '1.44' });
  return { client, seen };
}

const sized = (body: string, more = '') =>
  `HTTP/1.1 200 OK\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const chunked = (...parts: string[]) =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${[...parts, '']
    .map((part) => `${Buffer.byteLength(part).toString(16)}\r\n${part}\r\n`)
    .join('')}`;

describe('short requests', () => {
  for (const pieceBytes of [1, 3, 7, 1000]) {
    test(`sized and chunked answers share a connection, in pieces of ${pieceBytes} bytes`, async () => {
      const answers = [
        sized('{"a":"ä"}'),
        chunked('{"b":[1', ',2]', '}\n'),
        'HTTP/1.1 204 No Content\r\n\r\n',
        sized('{}'),
      ];
      const { client, seen } = daemon(answers, pieceBytes);
      expect(await client.json<unknown>('GET', '/one', { query: { x: 'y z' } })).toEqual({ a: 'ä' });
      expect(await client.json<unknown>('POST', '/two', { json: { c: 'ö' } })).toEqual({ b: [1, 2] });
      await client.call('POST', '/three');
      expect(await client.json<unknown>('DELETE', '/four')).toEqual({});
      expect(seen.connections).toBe(1);
      expect(seen.requests).toEqual([
        'GET /v1.44/one?x=y+z HTTP/1.1\r\nHost: docker\r\nUser-Agent: test\r\n\r\n',
        'POST /v1.44/two HTTP/1.1\r\nHost: docker\r\nUser-Agent: test\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"c":"ö"}',
        'POST /v1.44/three HTTP/1.1\r\nHost: docker\r\nUser-Agent: test\r\nContent-Length: 0\r\n\r\n',
        'DELETE /v1.44/four HTTP/1.1\r\nHost: docker\r\nUser-Agent: test\r\n\r\n',
      ]);
    });
  }
  test('an answer that ends with its connection is whole; the next request has another', async () => {
    const { client, seen } = daemon([
      'HTTP/1.0 200 OK\r\n\r\n{"a":1}',
      sized('{"b":2}', 'Connection: close\r\n'),
      sized('3'),
    ]);
    expect(await client.json<unknown>('GET', '/')).toEqual({ a: 1 });
    expect(await client.json<unknown>('GET', '/')).toEqual({ b: 2 });
    expect(await client.json<unknown>('GET', '/')).toEqual(3);
    expect(seen.connections).toBe(3);
  });
  test('while one waits for its body, others have connections of their own', async () => {
    const { client, seen } = daemon(['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', sized('1')]);
    const waiting = await client.answer('POST', '/wait');
    expect(waiting.status).toBe(200);
    expect(await client.json<unknown>('GET', '/')).toBe(1);
    expect(seen.connections).toBe(2);
  });
  test('refusals are typed, and the connection is used again', async () => {
    const refusal = '{"message":"No such container: x"}\n';
    const { client, seen } = daemon([sized(refusal).replace('200 OK', '404 Not Found'), sized('1')]);
    const failure: unknown = await client.json('GET', '/x').catch((error: unknown) => error);
    expect(failure).toMatchObject({ kind: 'not-found', message: 'No such container: x' });
    expect(await client.json<unknown>('GET', '/')).toBe(1);
    expect(seen.connections).toBe(1);
  });
  for (const [what, answer] of [
    ['ends in its head', 'HTTP/1.0 200'],
    ['ends in its body', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n{"a"'],
    ['ends in a chunk', 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"a"'],
    ['has a chunk without a size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n'],
    ['is not HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
  ] as const) {
    test(`an answer that ${what} is a failure`, () => {
      const { client } = daemon([answer]);
      return expect(client.json('GET', '/')).rejects.toThrow(/unexpected EOF|malformed/);
    });
  }
});
