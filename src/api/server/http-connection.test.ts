import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import type { Exchange } from './exchange.ts';
import type { HijackedConnection } from './hijacked-connection.ts';
import { HttpConnection } from './http-connection.ts';
import { MemoryTransport } from './memory-transport.ts';

const HOST = 'Host: docker\r\n';

interface Options {
  handle?: (exchange: Exchange) => void | Promise<void>;
  stopping?: boolean;
}

/** Answers with method, path, query and body unless told otherwise. */
async function echo(exchange: Exchange): Promise<void> {
  try {
    const body = await exchange.readBody(1 << 20);
    const { method, path, query } = exchange.head;
    exchange.respond(200, 'text/plain', `${method} ${path} ${query} ${body.toString()}`);
  } catch (error) {
    const status: unknown = error instanceof Error ? Reflect.get(error, 'status') : 500;
    exchange.respond(typeof status === 'number' ? status : 500, 'text/plain', String(error));
  }
}

function open(options: Options = {}): MemoryTransport {
  return new MemoryTransport(
    (transport) =>
      new HttpConnection(transport, {
        handle: (exchange) => void (options.handle ?? echo)(exchange),
        errorBody: (error) => JSON.stringify({ message: error.message }),
        commonHeaders: () => 'Server: Test\r\n',
        stopping: () => options.stopping ?? false,
        closed: () => undefined,
        limits: { headMs: 50, closeMs: 50 },
      }),
  );
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

async function roundTrip(text: string, options: Options = {}): Promise<string> {
  const peer = open(options);
  peer.send(text);
  await settle();
  return peer.received;
}

function bodies(received: string): string[] {
  return received
    .split(/(?=HTTP\/1\.1 )/)
    .filter((part) => part !== '')
    .map((part) => part.slice(part.indexOf('\r\n\r\n') + 4));
}

describe('requests that are understood', () => {
  test('a GET is answered with its length and the connection stays', async () => {
    const received = await roundTrip(`GET /a?b=c HTTP/1.1\r\n${HOST}\r\n`);
    expect(received).toStartWith('HTTP/1.1 200 OK\r\nServer: Test\r\n');
    expect(received).toContain('Content-Length: 11\r\n');
    expect(received).not.toContain('Connection: close');
    expect(bodies(received)).toEqual(['GET /a b=c ']);
  });

  test('pipelined requests are answered in order', async () => {
    const handle = async (exchange: Exchange) => {
      if (exchange.head.path === '/slow') await settle();
      exchange.respond(200, 'text/plain', exchange.head.path);
    };
    const peer = open({ handle });
    peer.send(`GET /slow HTTP/1.1\r\n${HOST}\r\nGET /2 HTTP/1.1\r\n${HOST}\r\nGET /3 HTTP/1.1\r\n${HOST}\r\n`);
    await settle();
    await settle();
    expect(bodies(peer.received)).toEqual(['/slow', '/2', '/3']);
  });

  test('a body by length, and what follows is the next request', async () => {
    const received = await roundTrip(
      `POST /x HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhelloGET /y HTTP/1.1\r\n${HOST}\r\n`,
    );
    expect(bodies(received)).toEqual(['POST /x  hello', 'GET /y  ']);
  });

  test('a chunked body with extensions and trailers', async () => {
    const received = await roundTrip(
      `POST /x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n` +
        `5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\nGET /y HTTP/1.1\r\n${HOST}\r\n`,
    );
    expect(bodies(received)).toEqual(['POST /x  hello world', 'GET /y  ']);
  });

  test('the pieces in which bytes arrive make no difference', async () => {
    const text =
      `POST /x?q=1 HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n` +
      `POST /y HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nxyz\r\nGET /z HTTP/1.1\r\n${HOST}\r\n`;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 60 }), async (sizes) => {
        const peer = open();
        let at = 0;
        for (let i = 0; at < text.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          peer.send(text.slice(at, at + size));
          at += size;
        }
        for (let i = 0; i < 4; i++) await settle();
        expect(bodies(peer.received)).toEqual(['POST /x q=1 abc0123456789', 'POST /y  xyz', 'GET /z  ']);
      }),
      { numRuns: 100 },
    );
  });

  test('absolute-form and a Host that is an escaped socket path', async () => {
    expect(bodies(await roundTrip(`GET http://docker/_ping?x HTTP/1.1\r\n${HOST}\r\n`))).toEqual(['GET /_ping x ']);
    const escaped = await roundTrip('GET /_ping HTTP/1.1\r\nHost: %2Fvar%2Frun%2Fdocker.sock\r\n\r\n');
    expect(bodies(escaped)).toEqual(['GET /_ping  ']);
  });

  test('a path is decoded after it was split from the query', async () => {
    expect(bodies(await roundTrip(`GET /a%2Fb%3Fc?d HTTP/1.1\r\n${HOST}\r\n`))).toEqual(['GET /a/b?c d ']);
  });

  test('Expect: 100-continue is answered when the body is read', async () => {
    const peer = open();
    peer.send(`POST /x HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n`);
    await settle();
    expect(peer.takeReceived()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    peer.send('hi');
    await settle();
    expect(bodies(peer.received)).toEqual(['POST /x  hi']);
  });

  test('a client that waits for 100 and is refused sees the connection end', async () => {
    const peer = open({ handle: (exchange) => exchange.respond(404, 'text/plain', 'no') });
    peer.send(`POST /x HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n`);
    await settle();
    expect(peer.received).toStartWith('HTTP/1.1 404');
    expect(peer.received).toContain('Connection: close\r\n');
    expect(peer.ended).toBe(true);
  });

  test('HEAD has the length and no body', async () => {
    const received = await roundTrip(`HEAD /a HTTP/1.1\r\n${HOST}\r\nGET /b HTTP/1.1\r\n${HOST}\r\n`);
    expect(received).toContain('Content-Length: 9\r\n');
    expect(bodies(received)).toEqual(['', 'GET /b  ']);
  });

  test('Connection: close, HTTP/1.0 and a stopping server end the connection after the answer', async () => {
    for (const [text, options] of [
      [`GET / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`, {}],
      ['GET / HTTP/1.0\r\n\r\n', {}],
      [`GET / HTTP/1.1\r\n${HOST}\r\n`, { stopping: true }],
    ] as const) {
      const peer = open(options);
      peer.send(text);
      await settle();
      expect(peer.received).toContain('Connection: close\r\n');
      expect(peer.ended).toBe(true);
    }
  });

  test('a half-closed client gets all its answers, then the end', async () => {
    const peer = open();
    peer.send(`GET /1 HTTP/1.1\r\n${HOST}\r\nGET /2 HTTP/1.1\r\n${HOST}\r\n`);
    peer.sendEnd();
    await settle();
    await settle();
    expect(bodies(peer.received)).toEqual(['GET /1  ', 'GET /2  ']);
    expect(peer.gone).toBe(true);
  });

  test('a head of 1 MiB is taken, one byte at the end of patience is not', async () => {
    const big = `GET /a HTTP/1.1\r\n${HOST}X-Big: ${'x'.repeat(1024 * 1024 - 100)}\r\n\r\n`;
    expect(bodies(await roundTrip(big))).toEqual(['GET /a  ']);
    const tooBig = await roundTrip(`GET /a HTTP/1.1\r\n${HOST}X-Big: ${'x'.repeat(1024 * 1024 + 100)}\r\n\r\n`);
    expect(tooBig).toStartWith('HTTP/1.1 431');
  });

  test('an unread body is swallowed when small and ends the connection when large', async () => {
    const handle = (exchange: Exchange) => exchange.respond(400, 'text/plain', exchange.head.path);
    const small = `POST /s HTTP/1.1\r\n${HOST}Content-Length: 1000\r\n\r\n${'x'.repeat(1000)}GET /n HTTP/1.1\r\n${HOST}\r\n`;
    expect(bodies(await roundTrip(small, { handle }))).toEqual(['/s', '/n']);
    const peer = open({ handle });
    peer.send(`POST /l HTTP/1.1\r\n${HOST}Content-Length: 900000\r\n\r\n`);
    for (let i = 0; i < 9; i++) peer.send('x'.repeat(100_000));
    await settle();
    expect(bodies(peer.received)).toEqual(['/l']);
    expect(peer.ended).toBe(true);
  });
});

describe('requests that are refused', () => {
  const refused: [string, string, number][] = [
    [
      'both framings',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ['two lengths', `POST / HTTP/1.1\r\n${HOST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`, 400],
    ['a length list', `POST / HTTP/1.1\r\n${HOST}Content-Length: 3, 3\r\n\r\nabc`, 400],
    ['a signed length', `POST / HTTP/1.1\r\n${HOST}Content-Length: +3\r\n\r\nabc`, 400],
    ['a hexadecimal length', `POST / HTTP/1.1\r\n${HOST}Content-Length: 0x3\r\n\r\nabc`, 400],
    ['an unknown encoding', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501],
    ['two encodings', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n`, 400],
    ['chunked in 1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['two Hosts', `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`, 400],
    ['a Host with a space', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['a bare LF between lines', `GET / HTTP/1.1\nHost: docker\n\r\n\r\n`, 400],
    ['a bare LF in a header', `GET / HTTP/1.1\r\n${HOST}X: a\nContent-Length: 5\r\n\r\n`, 400],
    ['a bare CR in a header', `GET / HTTP/1.1\r\n${HOST}X: a\rb\r\n\r\n`, 400],
    ['a NUL in a header', `GET / HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`, 400],
    ['a space before the colon', `GET / HTTP/1.1\r\n${HOST}Content-Length : 5\r\n\r\n`, 400],
    ['a folded header', `GET / HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`, 400],
    ['a header without a colon', `GET / HTTP/1.1\r\n${HOST}nonsense\r\n\r\n`, 400],
    ['an empty header name', `GET / HTTP/1.1\r\n${HOST}: x\r\n\r\n`, 400],
    ['a second space in the request line', `GET /  HTTP/1.1\r\n${HOST}\r\n`, 400],
    ['a relative target', `GET etc HTTP/1.1\r\n${HOST}\r\n`, 400],
    ['a bad escape', `GET /%zz HTTP/1.1\r\n${HOST}\r\n`, 400],
    ['HTTP/2', `GET / HTTP/2.0\r\n${HOST}\r\n`, 505],
    ['garbage', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n', 400],
    ['a lone LF at the start', '\nGET / HTTP/1.1\r\n\r\n', 400],
    ['a bad chunk size', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`, 400],
    ['a negative chunk size', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n-1\r\n`, 400],
    ['a chunk longer than said', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n`, 400],
    ['a bare LF in chunk framing', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\na\r\n`, 400],
    ['a huge chunk size', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n`, 400],
  ];
  for (const [name, text, status] of refused) {
    test(`${name}: ${status}, nothing after it is taken`, async () => {
      const peer = open();
      peer.send(text);
      peer.send(`GET /smuggled HTTP/1.1\r\n${HOST}\r\n`);
      await settle();
      await settle();
      expect(peer.received).toStartWith(`HTTP/1.1 ${status} `);
      expect(peer.received).not.toContain('smuggled');
      expect(peer.received.match(/HTTP\/1\.1 /g)?.length).toBe(1);
      expect(peer.ended).toBe(true);
    });
  }

  test('random bytes never get through and never throw', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        const peer = open();
        peer.send(bytes);
        peer.sendEnd();
        await settle();
        expect(peer.received === '' || /^HTTP\/1\.1 [45]/.test(peer.received)).toBe(true);
        peer.sendClose();
      }),
      { numRuns: 300 },
    );
  });

  test('a head that does not come to its end is dropped', async () => {
    const peer = open();
    peer.send('GET / HT');
    const deadline = Date.now() + 2000;
    while (!peer.gone && Date.now() < deadline) await Bun.sleep(5);
    expect(peer.gone).toBe(true);
  });
});

describe('streams', () => {
  test('chunks, then the last chunk, and the connection stays', async () => {
    const handle = async (exchange: Exchange) => {
      const stream = exchange.stream(200, 'application/json');
      await stream.write(Buffer.from('one'));
      await stream.write(Buffer.from('twothree'));
      stream.finish();
    };
    const received = await roundTrip(`GET / HTTP/1.1\r\n${HOST}\r\n`, { handle });
    expect(received).toContain('Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n8\r\ntwothree\r\n0\r\n\r\n');
  });

  test('a client that stops reading holds its producer, not our memory', async () => {
    let written = 0;
    const handle = async (exchange: Exchange) => {
      const stream = exchange.stream(200, '');
      while (!stream.closed.aborted && written < 64 * 1024 * 1024) {
        await stream.write(Buffer.alloc(65536));
        written += 65536;
      }
      stream.finish();
    };
    const peer = open({ handle });
    peer.limitRoom(100_000);
    peer.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    for (let i = 0; i < 50; i++) await settle();
    expect(written).toBeLessThan(600_000);
    peer.makeRoom(1_000_000);
    for (let i = 0; i < 50; i++) await settle();
    expect(written).toBeGreaterThan(1_000_000);
    peer.sendClose();
    await settle();
    expect(written).toBeLessThan(2_000_000);
  });

  test('one that broke off has no last chunk', async () => {
    const handle = async (exchange: Exchange) => {
      const stream = exchange.stream(200, '');
      await stream.write(Buffer.from('x'));
      stream.breakOff();
    };
    const peer = open({ handle });
    peer.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    await settle();
    expect(peer.received).toEndWith('1\r\nx\r\n');
    expect(peer.gone).toBe(true);
  });

  test('the producer learns that the client went away', async () => {
    let closed: AbortSignal | undefined;
    const handle = (exchange: Exchange) => {
      const stream = exchange.stream(200, '');
      stream.flush();
      closed = stream.closed;
    };
    const peer = open({ handle });
    peer.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    expect(closed?.aborted).toBe(false);
    peer.sendEnd();
    expect(closed?.aborted).toBe(true);
  });

  test('an upload faster than its reader pauses the socket', async () => {
    const { promise: go, resolve } = Promise.withResolvers<undefined>();
    let read = 0;
    const handle = async (exchange: Exchange) => {
      await go;
      for await (const bytes of exchange.body) read += bytes.length;
      exchange.respond(200, '', String(read));
    };
    const peer = open({ handle });
    peer.send(`POST / HTTP/1.1\r\n${HOST}Content-Length: 600000\r\n\r\n`);
    for (let i = 0; i < 3; i++) peer.send(Buffer.alloc(100_000));
    expect(peer.paused).toBe(true);
    resolve(undefined);
    for (let i = 0; i < 5; i++) await settle();
    expect(peer.paused).toBe(false);
    for (let i = 0; i < 3; i++) peer.send(Buffer.alloc(100_000));
    for (let i = 0; i < 5; i++) await settle();
    expect(peer.received).toEndWith('600000');
  });
});

describe('hijack', () => {
  async function upper(exchange: Exchange): Promise<void> {
    if (exchange.head.framing.kind === 'length') await exchange.readBody(1000);
    const connection: HijackedConnection = exchange.hijack({ contentTypeOf: (tty) => (tty ? 'raw' : 'multiplexed') });
    connection.accept(false);
    for await (const bytes of connection.input) {
      await connection.write(Buffer.from(Buffer.from(bytes).toString().toUpperCase()));
    }
    await connection.write(Buffer.from('|end'));
    connection.finish();
  }

  test('with Upgrade: 101, bytes both ways, half-close', async () => {
    const peer = open({ handle: upper });
    peer.send(`POST /attach HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly`);
    await settle();
    expect(peer.takeReceived()).toBe(
      'HTTP/1.1 101 UPGRADED\r\nContent-Type: multiplexed\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nEARLY',
    );
    peer.send('more');
    await settle();
    expect(peer.takeReceived()).toBe('MORE');
    expect(peer.ended).toBe(false);
    peer.sendEnd();
    await settle();
    await settle();
    expect(peer.takeReceived()).toBe('|end');
    expect(peer.gone).toBe(true);
  });

  test('without Upgrade: 200 and the same stream', async () => {
    const peer = open({ handle: upper });
    peer.send(`POST /attach HTTP/1.1\r\n${HOST}\r\nGET / not http`);
    await settle();
    expect(peer.received).toBe('HTTP/1.1 200 OK\r\nContent-Type: multiplexed\r\n\r\nGET / NOT HTTP');
  });

  test('a JSON body before it is no input', async () => {
    const peer = open({ handle: upper });
    peer.send(`POST /attach HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{`);
    peer.send('}abc');
    await settle();
    expect(peer.received).toEndWith('\r\n\r\nABC');
    expect(peer.received).not.toContain('}');
  });

  test('a chunked body is the input', async () => {
    const peer = open({ handle: upper });
    peer.send(`POST /attach HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`);
    await settle();
    expect(peer.received).toEndWith('\r\n\r\nABC');
    peer.send('0\r\n\r\n');
    await settle();
    await settle();
    expect(peer.received).toEndWith('ABC|end');
  });

  test('a client that never ends its side is let go', async () => {
    const handle = (exchange: Exchange) => {
      const connection = exchange.hijack({ contentTypeOf: () => 'raw' });
      connection.accept(true);
      connection.finish();
    };
    const peer = open({ handle });
    peer.send(`POST /attach HTTP/1.1\r\n${HOST}\r\n`);
    const deadline = Date.now() + 2000;
    while (!peer.gone && Date.now() < deadline) await Bun.sleep(5);
    expect(peer.ended).toBe(true);
    expect(peer.gone).toBe(true);
  });
});
