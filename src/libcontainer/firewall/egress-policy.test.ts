import { expect, test } from 'bun:test';
import { readPacket } from './denials.ts';
import { matchesName, parseEgress, parseEgressEntry, reachOfName } from './egress-policy.ts';

const name = (pattern: string) => ({ kind: 'name', pattern }) as const;
const network = (text: string) => ({ kind: 'network', network: text }) as const;

test.each([
  ['example.com', { target: name('example.com') }],
  ['Example.COM.', { target: name('example.com') }],
  ['*.example.com:443', { target: name('*.example.com'), ports: { first: 443, last: 443 } }],
  ['example.com:80-82/udp', { target: name('example.com'), ports: { first: 80, last: 82, protocol: 'udp' } }],
  ['*', { target: name('*') }],
  ['10.0.0.0/8', { target: network('10.0.0.0/8') }],
  ['192.0.2.7', { target: network('192.0.2.7/32') }],
  ['192.0.2.7:53/udp', { target: network('192.0.2.7/32'), ports: { first: 53, last: 53, protocol: 'udp' } }],
  ['10.0.0.0/8:1-65535', { target: network('10.0.0.0/8'), ports: { first: 1, last: 65_535 } }],
  ['10.0.0.0/8/sctp', { target: network('10.0.0.0/8'), ports: { first: 0, last: 65_535, protocol: 'sctp' } }],
  ['fd00::/8', { target: network('fd00::/8') }],
  ['[fd00::1]:443/tcp', { target: network('fd00::1/128'), ports: { first: 443, last: 443, protocol: 'tcp' } }],
  ['host:5432', { target: { kind: 'host' }, ports: { first: 5432, last: 5432 } }],
  ['host', { target: { kind: 'host' } }],
])('%s', (text, entry) => {
  expect(parseEgressEntry(text)).toEqual(entry as ReturnType<typeof parseEgressEntry>); // as: the union is wider than each row
});

test.each([
  ...[
    '',
    '1.2.3',
    '1.2.3.4.5',
    '10.0.0.0/33',
    'fd00::/129',
    'a..b',
    '-a.example',
    'a b',
    'a;b',
    'x}',
    '*.',
    'a*.b',
    '[fd00::1',
  ],
  ...['example.com:0', 'example.com:70000', 'example.com:9-8', 'example.com:x', 'example.com:1-17', 'example.com/udp'],
  ...['10.0.0.0/8:80/icmp', 'fe80::1%eth0', '10.0.0.0/8/24', '\u0000', `${'a'.repeat(64)}.example`],
])('%j is refused by name', (text) => {
  expect(() => parseEgressEntry(text)).toThrow('invalid egress entry');
});

test('what is not said follows from what is', () => {
  expect(parseEgress({ rest: '', allow: '', deny: '' })).toBeUndefined();
  expect(parseEgress({ rest: 'allow', allow: '', deny: '' })).toBeUndefined();
  expect(parseEgress({ rest: '', allow: 'a.example', deny: '' })?.refusesRest).toBe(true);
  expect(parseEgress({ rest: '', allow: '', deny: 'a.example' })?.refusesRest).toBe(false);
  expect(parseEgress({ rest: 'deny', allow: '', deny: '' })?.refusesRest).toBe(true);
  expect(parseEgress({ rest: 'allow', allow: 'a.example b.example,c.example', deny: 'd.example' })).toMatchObject({
    refusesRest: false,
    allow: { length: 3 },
  });
});

test('names below a name, not beside it', () => {
  for (const [pattern, one, expected] of [
    ['a.example', 'a.example', true],
    ['a.example', 'b.a.example', false],
    ['*.a.example', 'b.a.example', true],
    ['*.a.example', 'c.b.a.example', true],
    ['*.a.example', 'a.example', false],
    ['*.a.example', 'xa.example', false],
    ['*.a.example', '.a.example', false],
    ['*', 'whatever', true],
  ] as const) {
    expect([pattern, one, matchesName(pattern, one)]).toEqual([pattern, one, expected]);
  }
});

test('several policies must all allow a name, on the ports that all allow', () => {
  const policy = (allow: string, deny = '', rest = '') => {
    const parsed = parseEgress({ rest, allow, deny });
    if (parsed === undefined) throw new Error('no policy');
    return parsed;
  };
  const open = policy('', '10.0.0.0/8');
  expect(reachOfName([], 'a.example')).toEqual({ allowed: true });
  expect(reachOfName([open], 'a.example')).toEqual({ allowed: true });
  expect(reachOfName([open, policy('b.example')], 'a.example')).toEqual({ allowed: false });
  expect(reachOfName([policy('*.example'), policy('a.example:443')], 'a.example')).toEqual({
    allowed: true,
    ports: [{ first: 443, last: 443 }],
  });
  expect(reachOfName([policy('a.example:80-90/tcp'), policy('a.example:85-95')], 'a.example')).toEqual({
    allowed: true,
    ports: [{ first: 85, last: 90, protocol: 'tcp' }],
  });
  expect(reachOfName([policy('*', 'a.example')], 'a.example')).toEqual({ allowed: false });
  expect(reachOfName([policy('a.example:1/tcp'), policy('a.example:1/udp')], 'a.example')).toEqual({
    allowed: true,
    ports: [],
  });
});

test('refused packets are read, whatever they are', () => {
  const four = Uint8Array.of(0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 192, 0, 2, 1, 0x80, 0, 1, 0xbb);
  expect(readPacket(four)).toEqual({ from: '10.0.0.2', to: '192.0.2.1', protocol: 'tcp', port: 443 });
  expect(readPacket(four.subarray(0, 20))?.port).toBe(0);
  for (let length = 0; length < 20; length++) expect(readPacket(four.subarray(0, length))).toBeUndefined();
  const six = new Uint8Array(40);
  six.set([0x60, 0, 0, 0, 0, 0, 17]);
  expect(readPacket(six)).toEqual({ from: '::', to: '::', protocol: 'udp', port: 0 });
  expect(readPacket(Uint8Array.of(0xff, ...new Uint8Array(60)))).toBeUndefined();
});
