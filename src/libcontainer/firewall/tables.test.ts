/** The text of the tables. That the kernel takes it and what packets meet is test/integration/network. */
import { describe, expect, test } from 'bun:test';
import { changeBatch } from './batch.ts';
import { changesBetween, elementText, goneElements, portElements, publishedElements } from './elements.ts';
import { deleteText, wholeText } from './tables.ts';

const bridge = {
  name: 'berth0',
  subnets: ['172.17.0.0/16', 'fd00:1::/64'],
  interContainer: true,
  internal: false,
  masquerade: true,
};
const port = { link: 'berth0a1b2c3d4', mac: '02:42:ac:11:00:02', ips: ['172.17.0.2', 'fd00:1::2'] };
const published = { protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, ip: '172.17.0.2', port: 80 } as const;

describe('the whole text', () => {
  const text = wholeText('berth-00ff00', { bridges: [bridge], ports: [port], published: [published] });
  test('names our two tables only', () => {
    const named = text.matchAll(/^(?:add |flush )?(?:table|set|map|element) (\w+) (\S+)/gm);
    for (const [, family = '', table] of named) {
      expect(['inet', 'bridge']).toContain(family);
      expect(table).toBe('berth-00ff00');
    }
  });
  test('never deletes: packets meet the old rules or the new ones', () => expect(text).not.toContain('delete'));
  test('flushes every set that it declares', () => {
    const sets = [...text.matchAll(/^add (set|map) (\w+) \S+ (\w+)/gm)].map(([, kind, family, name]) => [
      kind,
      family,
      name,
    ]);
    expect(sets.length).toBe(27);
    for (const [kind, family, name] of sets) {
      expect(text).toContain(`flush ${kind} ${family} berth-00ff00 ${name}\n`);
    }
  });
  test('fills them', () => {
    for (const line of [
      'add element inet berth-00ff00 bridges { "berth0" }',
      'add element inet berth-00ff00 icc { "berth0" . "berth0" }',
      'add element inet berth-00ff00 masq4 { "berth0" }',
      'add element inet berth-00ff00 hairpin4 { "berth0" . 172.17.0.0/16 }',
      'add element inet berth-00ff00 hairpin6 { "berth0" . fd00:1::/64 }',
      'add element inet berth-00ff00 pub4any { tcp . 8080 : 172.17.0.2 . 80 }',
      'add element bridge berth-00ff00 ok6 { "berth0a1b2c3d4" . 02:42:ac:11:00:02 . fd00:1::2 }',
      'add element bridge berth-00ff00 nd6 { "berth0a1b2c3d4" . 02:42:ac:11:00:02 . 0xfd000001000000000000000000000002 }',
      'add element bridge berth-00ff00 ok4 { "berth0a1b2c3d4" . 02:42:ac:11:00:02 . 172.17.0.2 }',
    ]) {
      expect(text).toContain(`${line}\n`);
    }
  });
  test('no bridges, no elements', () => {
    expect(wholeText('berth', { bridges: [], ports: [], published: [] })).not.toContain('add element');
  });
});

test('a port is one batch of elements, and is taken out by the same', () => {
  const batchOf = (verb: 'add' | 'delete') =>
    changeBatch(
      'berth',
      portElements(port).map((element) => ({ verb, element })),
    );
  const [added, removed] = [batchOf('add'), batchOf('delete')];
  expect(added.requests.map((r) => r.type)).toEqual([0xa0c, 0xa0c, 0xa0c, 0xa0c, 0xa0c]);
  expect(removed.requests.map((r) => r.type)).toEqual([0xa0e, 0xa0e, 0xa0e, 0xa0e, 0xa0e]);
  expect(removed.requests.map((r) => r.attributes)).toEqual(added.requests.map((r) => r.attributes));
  expect([added.begin.type, added.end.type, ...added.begin.header]).toEqual([0x10, 0x11, 0, 0, 0, 10]);
});

test('many elements of one set are few requests, in their order', () => {
  const ports = Array.from({ length: 450 }, (_, i) => ({ ...published, hostPort: 1000 + i }));
  const elements = publishedElements([...ports, { ...published, hostIp: '192.0.2.1' }]);
  const { requests } = changeBatch(
    'berth',
    elements.map((element) => ({ verb: 'add', element })),
  );
  expect(requests.map(({ name }) => name)).toEqual([
    ...Array.from({ length: 3 }, () => 'add elements of "pub4any"'),
    'add elements of "pub4"',
  ]);
});

test('what changes between two states goes before it comes', () => {
  const [a, b] = [
    { ...published, port: 80 },
    { ...published, port: 81 },
  ];
  const other = { ...published, hostPort: 9090 };
  const changes = changesBetween(publishedElements([a, other]), publishedElements([other, b]));
  expect(changes.map(({ verb, element }) => `${verb} ${elementText(element)}`)).toEqual([
    'delete tcp . 8080 : 172.17.0.2 . 80',
    'add tcp . 8080 : 172.17.0.2 . 81',
  ]);
  expect(changesBetween(publishedElements([a]), publishedElements([a]))).toEqual([]);
});

test('what another port needs as well is not taken out', () => {
  const [a, b] = [
    { ...published, hostPort: 0, routed: true },
    { ...published, hostPort: 0, port: 81, routed: true },
  ];
  expect(goneElements([a, b], [a]).map(elementText)).toEqual(['172.17.0.2 . tcp . 81']);
});

test('deleting is declared first', () => {
  expect(deleteText('berth').split('\n')).toEqual([
    'add table inet berth',
    'delete table inet berth',
    'add table bridge berth',
    'delete table bridge berth',
    'add table ip berth',
    'delete table ip berth',
    'add table ip6 berth',
    'delete table ip6 berth',
    '',
  ]);
});

test('a port that the firewall of the host judges is in the sets of those, of its family alone', () => {
  const judged = { ...published, hostIp: '192.0.2.1', judged: true };
  const gone = goneElements([judged], []);
  expect(gone.map((element) => `${element.family} ${element.set} ${elementText(element)}`)).toEqual([
    'inet pub4 192.0.2.1 . tcp . 8080 : 172.17.0.2 . 80',
    'inet judged4 192.0.2.1 . tcp . 8080',
    'ip judged4 192.0.2.1 . tcp . 8080',
  ]);
  const state = { bridges: [bridge], ports: [], published: [judged], bounce: { out: 'b0', back: 'b1' } };
  const whole = wholeText('berth', state);
  for (const family of ['inet', 'ip', 'ip6']) expect(whole).toContain(`flush set ${family} berth judged`);
  expect(wholeText('berth', { ...state, published: [] })).not.toContain('add element ip');
});

test('without policies of egress there are no rules of them', () => {
  expect(wholeText('berth', { bridges: [bridge], ports: [], published: [] })).not.toContain('egress');
  const policy = { refusesRest: true, allow: [], deny: [] };
  const egress = [{ id: '0123456789ab', policy, ips: ['172.17.0.2', 'fd00:1::2'], bridges: [] }];
  const text = wholeText('berth', { bridges: [bridge], ports: [], published: [], egress, logGroup: 7 });
  expect(text).toContain('add element inet berth egress4 { 172.17.0.2 : jump egress-0123456789ab }');
  expect(text).toContain('add element inet berth egress6 { fd00:1::2 : jump egress-0123456789ab }');
  expect(text).not.toContain('flush set inet berth known');
});

test('nothing but names and addresses reaches the grammar', () => {
  const withPort = (p: typeof port) => wholeText('berth', { bridges: [], ports: [p], published: [] });
  for (const link of ['a"b', 'a b', '', 'x'.repeat(16), 'a;b', 'a\nb']) {
    expect(() => withPort({ ...port, link })).toThrow(RangeError);
  }
  expect(() => withPort({ ...port, ips: ['1.2.3.4 }'] })).toThrow(RangeError);
  expect(() => withPort({ ...port, mac: '$x' })).toThrow(RangeError);
  expect(() => wholeText('x y', { bridges: [], ports: [port], published: [] })).toThrow(RangeError);
});
