/** Codec, addresses and rtnetlink messages against bytes that the kernel's tools make, and against noise. */
import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import {
  attribute,
  decodeAttributes,
  decodeMessages,
  encodeRequest,
  nested,
  textAttribute,
  textOf,
  u32Of,
} from './codec.ts';
import {
  addressBytes,
  addressText,
  contains,
  ipv4Number,
  ipv4Text,
  macBytes,
  macText,
  overlaps,
  subnetOf,
} from './ip.ts';
import { addAddress, addNeighbour, addRoute, createVeth, setLinkUp } from './rtnetlink.ts';
import { decodeAddress, decodeLink, decodeRoute } from './rtnetlink-decode.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

describe('addresses', () => {
  test.each([
    ['0.0.0.0', '00000000'],
    ['172.17.0.2', 'ac110002'],
    ['255.255.255.255', 'ffffffff'],
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['fd00:77::2', 'fd000077000000000000000000000002'],
    ['2001:db8:0:1:1:1:1:1', '20010db8000000010001000100010001'],
  ] as const)('%s', (text, expected) => {
    expect(hex(addressBytes(text))).toBe(expected);
    expect(addressText(addressBytes(text))).toBe(text);
  });
  test('an IPv4 tail', () => expect(addressText(addressBytes('::ffff:1.2.3.4'))).toBe('::ffff:102:304'));
  test.each(['', '1.2.3', '1.2.3.256', 'x', '1::2::3', '12345::'])('%p is none', (text) => {
    expect(() => addressBytes(text)).toThrow('Cannot read');
  });
  test('every address survives', () => {
    fc.assert(fc.property(fc.ipV4(), (ip) => ipv4Text(ipv4Number(ip)) === ip));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (b) => hex(addressBytes(addressText(b))) === hex(b)),
    );
    fc.assert(fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (b) => hex(macBytes(macText(b))) === hex(b)));
  });
});

describe('subnets', () => {
  test.each([
    ['172.17.0.1/16', 0xac110000, 16],
    ['10.0.0.0/8', 0x0a000000, 8],
    ['192.168.1.77/32', 0xc0a8014d, 32],
    ['1.2.3.4/0', 0, 0],
  ] as const)('%s', (text, first, prefixLength) => {
    expect(subnetOf(text)).toMatchObject({ first, prefixLength });
  });
  test.each(['', '1.2.3.4', '1.2.3.4/33', '1.2.3.4/x', '1.2.3.4/8/9', 'a/8'])('%p is none', (text) => {
    expect(() => subnetOf(text)).toThrow('Cannot read');
  });
  test('overlap', () => {
    const check = (a: string, b: string, expected: boolean) => {
      expect([a, b, overlaps(subnetOf(a), subnetOf(b)), overlaps(subnetOf(b), subnetOf(a))]).toEqual([
        a,
        b,
        expected,
        expected,
      ]);
    };
    check('172.17.0.0/16', '172.17.5.0/24', true);
    check('172.17.0.0/16', '172.18.0.0/16', false);
    check('172.16.0.0/12', '172.31.255.255/32', true);
    check('0.0.0.0/0', '9.9.9.9/32', true);
    expect(contains(subnetOf('172.17.0.0/16'), ipv4Number('172.17.255.255'))).toBe(true);
  });
});

describe('codec', () => {
  test('attributes are padded, and read back', () => {
    const all = [
      textAttribute(3, 'eth0'),
      attribute(9, Uint8Array.of(1, 2, 3)),
      nested(18, [attribute(1, bytes('05'))]),
    ];
    expect(all.map((a) => a.length)).toEqual([12, 8, 12]);
    const read = decodeAttributes(Buffer.concat(all));
    expect(textOf(read.get(3) ?? bytes(''))).toBe('eth0');
    expect(hex(read.get(9) ?? bytes(''))).toBe('010203');
    expect(hex(decodeAttributes(read.get(18) ?? bytes('')).get(1) ?? bytes(''))).toBe('05');
    expect(u32Of(read.get(9))).toBe(0);
  });
  test('an ack with the words of the kernel', () => {
    // errno -17, capped echo of the header, NLMSGERR_ATTR_MSG "no"
    const ack = bytes(
      '2c000000 0200 0003 07000000 00000000 efffffff 20000000 1000 0506 07000000 00000000 0700 0100 6e6f00 00',
    );
    expect(decodeMessages(ack)).toEqual([{ kind: 'ack', sequence: 7, errno: 17, reason: 'no' }]);
  });
  test('data, an interrupted end, and what is cut off', () => {
    const link = bytes('14000000 1000 1200 01000000 00000000 aabbccdd');
    const done = bytes('14000000 0300 1200 01000000 00000000 00000000');
    const cut = bytes('ff000000 1000 0200 01000000 00000000');
    const messages = decodeMessages(Buffer.concat([link, done, cut]));
    expect(messages.map((m) => m.kind)).toEqual(['data', 'done']);
    expect(messages.map((m) => m.kind !== 'ack' && m.interrupted)).toEqual([true, true]);
  });
  test('noise never throws nor hangs', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        for (const message of decodeMessages(noise)) {
          if (message.kind === 'data') decodeAttributes(message.payload);
        }
        decodeAttributes(noise);
      }),
    );
  });
});

describe('rtnetlink', () => {
  test('a link is brought up', () => {
    expect(encodeRequest(setLinkUp(2), 5)).toEqual(
      bytes('20000000 1000 0100 05000000 00000000 00000000 02000000 01000000 01000000'),
    );
  });
  test('an address', () => {
    const request = addAddress({ index: 3, ip: '10.0.0.2', prefixLength: 24, broadcast: '10.0.0.255' });
    const header = '30000000 1400 0106 01000000 00000000 02180000 03000000';
    const attributes = '08000200 0a000002 08000100 0a000002 08000400 0a0000ff';
    expect(encodeRequest(request, 1)).toEqual(bytes(header + attributes));
    expect(decodeAddress(encodeRequest(request, 1).subarray(16))).toEqual({
      index: 3,
      ip: '10.0.0.2',
      prefixLength: 24,
    });
  });
  test('a neighbour that needs no asking', () => {
    const request = addNeighbour(3, '10.0.0.2', '02:42:0a:00:00:02');
    const header = '30000000 1c00 0104 01000000 00000000 02000000 03000000 8000 0000';
    expect(encodeRequest(request, 1)).toEqual(bytes(`${header} 08000100 0a000002 0a000200 02420a000002 0000`));
  });
  test('the default route', () => {
    const request = addRoute({ index: 2, gateway: '10.0.0.1' });
    expect(decodeRoute(encodeRequest(request, 1).subarray(16))).toEqual({
      table: 254,
      index: 2,
      destination: '0.0.0.0',
      prefixLength: 0,
      gateway: '10.0.0.1',
    });
  });
  test('a pair names its bridge, and the peer its namespace and index', () => {
    const peer = { name: 'eth0', mac: '02:42:ac:11:00:02', namespace: 77, index: 2 };
    const message = encodeRequest(createVeth({ name: 'v', master: 9, peer }), 1);
    const link = decodeLink(message.subarray(16));
    expect(link).toMatchObject({ index: 0, name: 'v', up: true, kind: 'veth', master: 9 });
    const info = decodeAttributes(decodeAttributes(message.subarray(32)).get(18) ?? bytes(''));
    const inner = decodeAttributes(info.get(2) ?? bytes('')).get(1) ?? bytes('');
    expect(decodeLink(inner)).toMatchObject({ index: 2, name: 'eth0', up: false, mac: peer.mac });
    expect(u32Of(decodeAttributes(inner.subarray(16)).get(28))).toBe(77);
  });
});
