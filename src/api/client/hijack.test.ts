import { afterEach, describe, expect, test } from 'bun:test';
import { parseHost } from './address.ts';
import { ApiClient } from './api-client.ts';

const listeners: { stop(closeActive?: boolean): void }[] = [];
let counter = 0;
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.stop(true);
});

/** A daemon that answers with these pieces, one a turn of the loop, and echoes what comes after the head. */
function daemon(pieces: readonly string[], echo = false) {
  const path = `/tmp/berth-hijack-test-${process.pid}-${counter++}.sock`;
  const got = { text: '', ended: false };
  listeners.push(
    Bun.listen({
      unix: path,
      allowHalfOpen: true,
      socket: {
        async data(socket, bytes) {
          const first = got.text === '';
          got.text += bytes.toString();
          if (!first) {
            if (echo) socket.write(bytes);
            return;
          }
          for (const piece of pieces) {
            socket.write(piece);
            socket.flush();
            await new Promise((resolve) => setImmediate(resolve));
          }
        },
        end(socket) {
          got.ended = true;
          socket.write('after the end of input');
          socket.end();
        },
      },
    }),
  );
  const client = new ApiClient({ address: parseHost(`unix://${path}`), userAgent: 'test', version: '1.44' });
  return { client, got };
}

async function textOf(input: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of input) text += decoder.decode(chunk, { stream: true });
  return text;
}

describe('hijack', () => {
  test('the head may come in pieces, with output behind it; both directions end on their own', async () => {
    const head =
      'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\r\nfirst ';
    const { client, got } = daemon([head.slice(0, 20), head.slice(20, 97), head.slice(97)], true);
    using connection = await client.hijack('/containers/x/attach', { query: { stream: true } });
    expect(connection.mediaType).toBe('application/vnd.docker.raw-stream');
    expect(got.text).toStartWith('POST /v1.44/containers/x/attach?stream=1 HTTP/1.1\r\nHost: docker\r\n');
    await connection.write(new TextEncoder().encode('echoed '));
    connection.closeWrite();
    expect(await textOf(connection.read())).toBe('first echoed after the end of input');
    expect(got.ended).toBe(true);
  });
  test('200 without an upgrade is a stream too', async () => {
    const { client } = daemon(['HTTP/1.1 200 OK\r\n\r\n']);
    using connection = await client.hijack('/exec/x/start', { json: { Tty: true } });
    connection.closeWrite();
    expect(await textOf(connection.read())).toBe('after the end of input');
  });
  test('a refusal is an error of its kind', () => {
    const body = '{"message":"No such container: x"}';
    const { client } = daemon([`HTTP/1.1 404 Not Found\r\nContent-Length: ${body.length}\r\n\r\n`, body]);
    return expect(client.hijack('/containers/x/attach', {})).rejects.toMatchObject({
      kind: 'not-found',
      message: 'No such container: x',
    });
  });
  test('a refusal in chunks', () => {
    const { client } = daemon([
      'HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n',
      '11\r\n{"message":"bad"}\r\n',
      '0\r\n\r\n',
    ]);
    return expect(client.hijack('/x', {})).rejects.toMatchObject({ kind: 'conflict', message: 'bad' });
  });
  test('a daemon that hangs up', () => {
    const { client } = daemon([]);
    listeners.at(-1)?.stop(true);
    return expect(client.hijack('/x', {})).rejects.toThrow();
  });
  test('nobody there', () => {
    const client = new ApiClient({ address: parseHost('unix:///nowhere/x.sock'), userAgent: 'test', version: '1.44' });
    return expect(client.hijack('/x', {})).rejects.toThrow(
      'Cannot connect to the Berth daemon at unix:///nowhere/x.sock',
    );
  });
});

test('much output is read no faster than it is taken', async () => {
  const path = `/tmp/berth-hijack-test-${process.pid}-${counter++}.sock`;
  const block = Buffer.alloc(1 << 20, 'x');
  const total = 64;
  let sent = 0;
  const more = (socket: Bun.Socket<{ left: Buffer }>) => {
    while (sent < total * block.length) {
      const part = block.subarray(sent % block.length);
      const written = socket.write(part);
      sent += Math.max(0, written);
      if (written < part.length) return;
    }
    socket.end();
  };
  listeners.push(
    Bun.listen<{ left: Buffer }>({
      unix: path,
      socket: {
        data(socket) {
          socket.write('HTTP/1.1 101 UPGRADED\r\n\r\n');
          more(socket);
        },
        drain: more,
      },
    }),
  );
  const client = new ApiClient({ address: parseHost(`unix://${path}`), userAgent: 'test', version: '1.44' });
  using connection = await client.hijack('/x', {});
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(sent).toBeLessThan(16 << 20);
  let got = 0;
  for await (const chunk of connection.read()) got += chunk.length;
  expect(got).toBe(total * block.length);
});
