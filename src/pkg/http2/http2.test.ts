/** HTTP/2: header compression by the examples of RFC 7541, both roles over memory, and Node's client over a socket. */
import { expect, test } from 'bun:test';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import * as fc from 'fast-check';
import { type ByteStream, Http2Connection } from './connection.ts';
import { errorCodes, FRAME_BYTES_MAX, frame, frameTypes, PREFACE } from './frames.ts';
import { encodeHeaders, type HeaderField, HpackDecoder } from './hpack.ts';
import { type Http2Stream, valuesOf } from './stream.ts';
import { pair } from './testing/pair.ts';

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex');

test('requests of RFC 7541, C.4 (Huffman, with a table that grows)', () => {
  const decoder = new HpackDecoder(10_000);
  const common: HeaderField[] = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'www.example.com'],
  ];
  expect(decoder.decode(hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'))).toEqual(common);
  expect(decoder.decode(hex('8286 84be 5886 a8eb 1064 9cbf'))).toEqual([...common, ['cache-control', 'no-cache']]);
  expect(decoder.decode(hex('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'))).toEqual([
    [':method', 'GET'],
    [':scheme', 'https'],
    [':path', '/index.html'],
    [':authority', 'www.example.com'],
    ['custom-key', 'custom-value'],
  ]);
});

test.each(['ff', '80', 'be', '3fe21f', '00', '0085', '41 82 ffff', '40 01 61 84 ffff ffff', '82 20'])(
  'a header block that cannot be: %s',
  (block) => expect(() => new HpackDecoder(1000).decode(hex(block))).toThrow(),
);

test('headers that are too long are refused, also when they come from the table', () => {
  const decoder = new HpackDecoder(1000);
  const long = Buffer.concat([hex('40 01 61 7f 81 02'), Buffer.alloc(384, 'x')]);
  decoder.decode(long);
  expect(() => decoder.decode(hex('be be be'))).toThrow('headers of more than 1000 bytes');
});

test('what is encoded is decoded', () => {
  const field = fc.tuple(fc.stringMatching(/^[a-z:-]{1,20}$/), fc.stringMatching(/^[\x20-\x7e]{0,300}$/));
  fc.assert(
    fc.property(fc.array(field, { maxLength: 10 }), (fields) => {
      expect(new HpackDecoder(1_000_000).decode(encodeHeaders(fields))).toEqual(fields);
    }),
  );
});

const request: readonly HeaderField[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/x'],
  [':authority', 'localhost'],
];

async function echo(stream: Http2Stream): Promise<void> {
  await stream.headers;
  await stream.sendHeaders([[':status', '200']]);
  for await (const chunk of stream.body()) await stream.write(chunk);
  await stream.end([['x-end', 'yes']]);
}

function connected(onStream: (stream: Http2Stream) => void) {
  const [a, b] = pair();
  const client = new Http2Connection(a);
  const server = new Http2Connection(b, onStream);
  const running = Promise.all([client.run(), server.run()]);
  return {
    client,
    server,
    [Symbol.asyncDispose]: async () => {
      client.close();
      server.close();
      await running;
    },
  };
}

async function collect(stream: Http2Stream): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of stream.body()) parts.push(chunk);
  return Buffer.concat(parts);
}

const failureOf = (promise: Promise<unknown>) => promise.then(() => 'nothing', String);

test('bodies larger than every window, several at once, both ways', async () => {
  await using both = connected((stream) => void echo(stream).catch(() => {}));
  const bodies = [0, 1, 70_000, 3_000_000].map((size) => Buffer.alloc(size, `${size}`));
  const answers = bodies.map(async (body) => {
    const stream = both.client.open();
    await stream.sendHeaders(request);
    const sent = stream.write(body).then(() => stream.end());
    const back = await collect(stream);
    await sent;
    expect((await stream.headers).get(':status')).toBe('200');
    expect((await stream.trailers).get('x-end')).toBe('yes');
    return back.equals(body);
  });
  expect(await Promise.all(answers)).toEqual([true, true, true, true]);
});

test('who does not read holds back only its own stream', async () => {
  const got = Promise.withResolvers<Http2Stream>();
  await using both = connected((stream) => {
    void stream.headers.then(async (headers) => {
      if (headers.get(':path') === '/slow') got.resolve(stream);
      else await echo(stream);
    });
  });
  const slow = both.client.open();
  await slow.sendHeaders([...request.slice(0, 2), [':path', '/slow']]);
  let done = false;
  const sent = slow.write(Buffer.alloc(2_000_000)).then(() => (done = true));
  const quick = both.client.open();
  await quick.sendHeaders(request);
  const sentToo = quick.write(Buffer.alloc(500_000)).then(() => quick.end());
  expect((await collect(quick)).length).toBe(500_000);
  await sentToo;
  expect(done).toBe(false);
  const reader = collect(await got.promise);
  await sent;
  await slow.end();
  expect((await reader).length).toBe(2_000_000);
});

test('a reset ends both sides of a stream and nothing else', async () => {
  const came = Promise.withResolvers<Http2Stream>();
  await using both = connected((stream) => came.resolve(stream));
  const stream = both.client.open();
  await stream.sendHeaders(request);
  const other = await came.promise;
  const reading = collect(other);
  stream.reset(errorCodes.cancel);
  expect(await failureOf(reading)).toContain('gave the stream up');
  expect(await failureOf(collect(stream))).toContain('given up');
  expect(other.signal.aborted).toBe(true);
  expect(both.client.closed.aborted).toBe(false);
});

test('the end of a connection ends its streams', async () => {
  await using both = connected(() => {});
  const stream = both.client.open();
  await stream.sendHeaders(request);
  const reading = collect(stream);
  both.server.close();
  expect(await failureOf(reading)).toContain('closed');
  expect(() => both.client.open()).toThrow();
});

async function hostile(bytes: Uint8Array): Promise<Buffer> {
  const [a, b] = pair();
  const server = new Http2Connection(b, (stream) => void echo(stream).catch(() => {}));
  await a.write(bytes);
  a.end();
  await server.run();
  const parts: Uint8Array[] = [];
  for await (const chunk of a.input) parts.push(chunk);
  return Buffer.concat(parts);
}

const goAway = (out: Buffer) => {
  for (let at = 0; at < out.length; at += 9 + out.readUIntBE(at, 3)) {
    if (out[at + 3] === frameTypes.goAway) return out.readUInt32BE(at + 13);
  }
  return undefined;
};

test('peers that break the rules are told so and left', async () => {
  const settings = frame(frameTypes.settings, 0, 0, new Uint8Array(0));
  const start = Buffer.concat([PREFACE, settings]);
  const head = frame(frameTypes.headers, 0, 1, encodeHeaders(request));
  const cases: readonly (readonly [Uint8Array, number])[] = [
    [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), errorCodes.protocol],
    [Buffer.concat([start, head, settings]), errorCodes.protocol],
    [Buffer.concat([start, frame(frameTypes.continuation, 4, 1, head)]), errorCodes.protocol],
    [Buffer.concat([start, frame(frameTypes.push, 0, 1, head)]), errorCodes.protocol],
    [Buffer.concat([start, frame(frameTypes.headers, 4, 1, hex('ff'))]), errorCodes.compression],
    [Buffer.concat([start, frame(frameTypes.data, 8, 1, Buffer.from([200, 0]))]), errorCodes.none],
    [Buffer.concat([start, hex('ffffff 00 00 00000001')]), errorCodes.frameSize],
    [
      Buffer.concat([start, ...Array.from({ length: 10_001 }, () => frame(frameTypes.ping, 1, 0, Buffer.alloc(8)))]),
      errorCodes.enhanceYourCalm,
    ],
    [
      Buffer.concat([
        start,
        ...Array.from({ length: 300 }, () => frame(frameTypes.data, 0, 1, Buffer.alloc(FRAME_BYTES_MAX))),
      ]),
      errorCodes.none,
    ],
  ];
  for (const [bytes, code] of cases)
    expect(goAway(await hostile(bytes))).toBe(code === errorCodes.none ? undefined : code);
});

test('anything at all leaves the connection closed, not the program', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(12), fc.nat(255), fc.nat(5), fc.uint8Array({ maxLength: 60 }))),
      async (frames) => {
        await hostile(
          Buffer.concat([PREFACE, ...frames.map(([type, set, id, payload]) => frame(type, set, id, payload))]),
        );
      },
    ),
    { numRuns: 100 },
  );
});

test("Node's client is understood, and several values of a header stay apart", async () => {
  const seen = Promise.withResolvers<readonly string[]>();
  const listener = net.createServer((socket) => {
    const bytes: ByteStream = {
      input: socket,
      write: (chunk) => new Promise((resolve) => socket.write(chunk, () => resolve())),
      end: () => socket.end(),
    };
    socket.on('error', () => {});
    const connection = new Http2Connection(bytes, (stream) => {
      void stream.headers.then((headers) => seen.resolve(valuesOf(headers, 'x-many')));
      void echo(stream).catch(() => {});
    });
    void connection.run();
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const stream = session.request({ ':method': 'POST', ':path': '/x', 'x-many': ['a', 'b c'] });
  const parts: Buffer[] = [];
  const ended = new Promise((resolve) => stream.on('data', (part: Buffer) => parts.push(part)).on('end', resolve));
  stream.end(Buffer.alloc(40_000, 'y'));
  await ended;
  expect(Buffer.concat(parts).length).toBe(40_000);
  expect((await seen.promise).join('|')).toBe('a|b c');
  session.close();
  listener.close();
});
