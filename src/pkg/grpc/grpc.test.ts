/** Calls over memory, from both ends; messages by tables. */
import { expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { kindOf, notFound } from '#errdefs/errors.ts';
import { Http2Connection } from '#pkg/http2/connection.ts';
import { pair } from '#pkg/http2/testing/pair.ts';
import {
  bool,
  bytes,
  decode,
  encode,
  int,
  int64,
  many,
  map,
  nested,
  ProtobufError,
  type Table,
  text,
  texts,
} from '#pkg/protobuf/protobuf.ts';
import { ask, call, type Method } from './client.ts';
import { type Handler, serve, streaming, unary } from './server.ts';
import { decodeMessage, encodeMessage } from './status.ts';

const inner = { name: text(1), size: int64(2) };
const table = {
  text: text(1),
  number: int(2),
  flag: bool(3),
  data: bytes(4),
  list: texts(5),
  one: nested(6, inner),
  all: many(7, inner),
  names: map(8, text),
  blobs: map(16, bytes),
};

test('messages survive', () => {
  const message = {
    text: 'ü',
    number: -5,
    flag: true,
    data: Uint8Array.of(0, 255),
    list: ['a', '', 'b'],
    one: { name: 'x', size: -(2n ** 60n) },
    all: [
      { name: '', size: 0n },
      { name: 'y', size: 7n },
    ],
    names: new Map([
      ['k', 'v'],
      ['', ''],
    ]),
    blobs: new Map([['k', Uint8Array.of(1)]]),
  };
  const back = decode(table, encode(table, message));
  const { data, blobs, ...rest } = message;
  expect(back).toMatchObject(rest);
  expect(Buffer.from(back.data).toString('hex')).toBe(Buffer.from(data).toString('hex'));
  expect([...back.blobs].map(([key, value]) => [key, ...value])).toEqual(
    [...blobs].map(([key, value]) => [key, ...value]),
  );
});

test('what is not there is zero, what is unknown is skipped', () => {
  expect(decode(table, new Uint8Array(0))).toMatchObject({
    text: '',
    number: 0,
    flag: false,
    list: [],
    one: undefined,
  });
  const more = { ...table, unknown: text(99), also: int(98) };
  expect(decode(table, encode(more, { text: 'a', unknown: 'x', also: 5 })).text).toBe('a');
  expect(encode({ s: text(1) }, { s: 'testing' }).toString('hex')).toBe('0a0774657374696e67');
  expect(encode({ n: int(1) }, { n: 150 }).toString('hex')).toBe('089601');
});

test('bytes that are no message are refused, not believed', () => {
  for (const wrong of ['0a05', '0affffffffff01', '08', '0b', '8a', '09 00', '10ffffffffffffffffffff01']) {
    expect(() => decode(table, Buffer.from(wrong.replace(/ /g, ''), 'hex'))).toThrow(ProtobufError);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (random) => {
      try {
        decode(table, random);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtobufError);
      }
    }),
  );
});

test('texts of a status survive their way through a header', () => {
  for (const message of ['plain', '100% ü\n"x"', '']) expect(decodeMessage(encodeMessage(message))).toBe(message);
  expect(encodeMessage('ü\n')).toBe('%C3%BC%0A');
});

const method = <Q extends Table, A extends Table>(path: string, request: Q, answer: A): Method<Q, A> => ({
  path,
  request,
  answer,
});
const greet = method('/t.T/Greet', { name: text(1) }, { text: text(1) });
const sum = method('/t.T/Sum', { number: int(1) }, { sum: int(1) });
const fail = method('/t.T/Fail', { name: text(1) }, { text: text(1) });
const forever = method('/t.T/Forever', { name: text(1) }, { text: text(1) });
const missing = method('/t.T/Missing', { name: text(1) }, { text: text(1) });

function connected(handlers: readonly Handler[]) {
  const [a, b] = pair();
  const client = new Http2Connection(a);
  const server = new Http2Connection(b, serve(handlers));
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

const never = new AbortController().signal;

test('questions and answers, one or many, large ones too', async () => {
  await using both = connected([
    unary(greet, async ({ name }) => ({ text: `hello ${name}` })),
    streaming(sum, async ({ requests, send }) => {
      let total = 0;
      for await (const { number } of requests()) await send({ sum: (total += number) });
    }),
  ]);
  expect((await ask(both.client, greet, { name: 'you' }, never)).text).toBe('hello you');
  const long = 'x'.repeat(3_000_000);
  expect((await ask(both.client, greet, { name: long }, never)).text).toBe(`hello ${long}`);
  using summing = await call(both.client, sum, { signal: never });
  const seen: number[] = [];
  for (const number of [1, 2, 3]) await summing.send({ number });
  await summing.end();
  for await (const answer of summing.answers()) seen.push(answer.sum);
  expect(seen).toEqual([1, 3, 6]);
});

test('a failure is the same on the other side', async () => {
  await using both = connected([
    unary(fail, async ({ name }) => {
      throw notFound(`no ${name} – 100%`);
    }),
  ]);
  const failure = await ask(both.client, fail, { name: 'ü' }, never).catch((error: unknown) => error);
  expect(kindOf(failure)).toBe('not-found');
  expect(String(failure)).toContain('no ü – 100%');
  const unknown = await ask(both.client, missing, {}, never).catch((error: unknown) => error);
  expect(kindOf(unknown)).toBe('not-implemented');
});

test('who asks may give up, and who is asked learns of it', async () => {
  const ended = Promise.withResolvers<boolean>();
  await using both = connected([
    streaming(forever, async ({ signal }) => {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      ended.resolve(true);
    }),
  ]);
  const control = new AbortController();
  const asking = ask(both.client, forever, {}, control.signal).catch((error: unknown) => kindOf(error));
  await call(both.client, forever, { signal: control.signal });
  control.abort();
  expect(await asking).toBe('cancelled');
  expect(await ended.promise).toBe(true);
});

test('a peer that goes is unavailable', async () => {
  await using both = connected([streaming(forever, async () => new Promise(() => {}))]);
  const asking = ask(both.client, forever, {}, never).catch((error: unknown) => kindOf(error));
  await Bun.sleep(0);
  both.server.close();
  expect(await asking).toBe('unavailable');
});
