/** Wire format and tables of the embedded DNS server. */
import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { Forwarder, framed, TcpMessages } from './forward.ts';
import { answerTo, nameBytes, parseQuestion, RCODE, readAnswer, reversedAddress, TYPE } from './message.ts';
import { NameTables } from './tables.ts';

function query(name: string, type: number, id = 7): Uint8Array {
  const header = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return new Uint8Array(Buffer.concat([header, nameBytes(name), Buffer.from([0, type, 0, 1])]));
}

function question(name: string, type: number) {
  const parsed = parseQuestion(query(name, type));
  if (parsed === undefined) throw new Error('not parsed');
  return parsed;
}

describe('messages', () => {
  test('a question is read in lower case', () => {
    expect(question('Web.App', TYPE.A)).toMatchObject({ id: 7, name: 'web.app', type: TYPE.A });
  });
  test('answers, several questions, other classes and pointers are no questions', () => {
    const good = query('a', TYPE.A);
    const changed = (at: number, value: number) => {
      const bytes = good.slice();
      bytes[at] = value;
      return parseQuestion(bytes);
    };
    expect(changed(2, 0x81)).toBeUndefined();
    expect(changed(5, 2)).toBeUndefined();
    expect(changed(good.length - 1, 3)).toBeUndefined();
    expect(changed(12, 0xc0)).toBeUndefined();
  });
  test('noise never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        parseQuestion(bytes);
        readAnswer(bytes);
        const marked = bytes.slice();
        if (marked.length > 2) marked[2] = 0x80;
        readAnswer(marked);
      }),
    );
  });
  test('an answer repeats the question and can be read', () => {
    const asked = question('web', TYPE.A);
    const answer = answerTo(query('web', TYPE.A), asked, {
      code: RCODE.ok,
      data: [Uint8Array.of(10, 0, 0, 2)],
      ttlSeconds: 30,
    });
    expect(readAnswer(answer)).toEqual({ id: 7, code: 0, truncated: false, ttlSeconds: 30 });
    expect([...answer.slice(-4)]).toEqual([10, 0, 0, 2]);
  });
  test('reverse names', () => {
    expect(reversedAddress('2.0.17.172.in-addr.arpa')).toBe('ac110002');
    expect(reversedAddress('2.0.17.in-addr.arpa')).toBeUndefined();
    expect(reversedAddress('300.0.17.172.in-addr.arpa')).toBeUndefined();
    expect(reversedAddress(`${'1.'.repeat(32)}ip6.arpa`)).toBe('1'.repeat(32));
    expect(reversedAddress('web')).toBeUndefined();
  });
});

describe('tables', () => {
  const tables = new NameTables();
  tables.setNetworks([
    {
      id: 'n1',
      name: 'app',
      endpoints: [
        { names: ['web', 'www'], ip: '10.0.0.2', ip6: 'fd00::2' },
        { names: ['w2', 'www'], ip: '10.0.0.3' },
      ],
    },
    { id: 'n2', name: 'other', endpoints: [{ names: ['db'], ip: '10.1.0.2' }] },
  ]);
  tables.setView('c', { networks: ['n1'], links: [{ names: ['cache'], ip: '10.9.9.9' }], upstream: ['192.0.2.1'] });
  const ask = (name: string, type: number = TYPE.A) => tables.answer('c', query(name, type), question(name, type));
  const addresses = (name: string): string[] => {
    const answer = ask(name);
    if (answer === undefined) return [];
    const count = new DataView(answer.buffer).getUint16(6);
    return Array.from({ length: count }, (_, i) =>
      answer.slice(answer.length - 16 * i - 4, answer.length - 16 * i || undefined).join('.'),
    );
  };

  test('names of its networks, with and without the network; links', () => {
    expect(addresses('web')).toEqual(['10.0.0.2']);
    expect(addresses('web.app')).toEqual(['10.0.0.2']);
    expect(addresses('cache')).toEqual(['10.9.9.9']);
    expect(addresses('www').sort()).toEqual(['10.0.0.2', '10.0.0.3']);
  });
  test('nothing of other networks', () => {
    expect(ask('db')).toBeUndefined();
    expect(ask('db.other')).toBeUndefined();
    expect(ask('web.other')).toBeUndefined();
  });
  test('turns', () => {
    const firsts = Array.from({ length: 4 }, () => addresses('www')[0]);
    expect(new Set(firsts).size).toBe(2);
  });
  test('a known name without such an address is an empty answer, not an unknown name', () => {
    expect(readAnswer(ask('w2', TYPE.AAAA) ?? new Uint8Array())?.code).toBe(RCODE.ok);
    expect(readAnswer(ask('web', 15) ?? new Uint8Array())?.code).toBe(RCODE.ok);
  });
  test('backwards', () => {
    expect(Buffer.from(ask('2.0.0.10.in-addr.arpa', TYPE.PTR) ?? []).toString('latin1')).toContain('\x03web\x03app\0');
    expect(ask('2.0.1.10.in-addr.arpa', TYPE.PTR)).toBeUndefined();
  });
  test('who is not served sees nothing', () => {
    tables.forget('c');
    expect(ask('web')).toBeUndefined();
    expect(tables.upstreamOf('c')).toEqual([]);
  });
});

test('messages of a stream, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 97 }),
      (messages, cut) => {
        const seen: Uint8Array[] = [];
        const reader = new TcpMessages((message) => seen.push(message));
        const all = Buffer.concat(messages.map(framed));
        for (let at = 0; at < all.length; at += cut) reader.push(all.subarray(at, at + cut));
        expect(seen).toEqual(messages);
      },
    ),
  );
});

test.each(['127.0.0.254', '::1'])(
  'a server that cannot be reached at %s gives no answer, and no harm',
  async (server) => {
    const asked = query('x', TYPE.A);
    for (const tcp of [false, true])
      expect(await new Forwarder().ask(asked, question('x', TYPE.A), [server], tcp)).toBeUndefined();
  },
  20_000,
);
