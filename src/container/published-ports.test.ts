import { expect, test } from 'bun:test';
import { changedBindings, leavingLast, portChanges } from './published-ports.ts';

const binding = (HostPort: string, HostIp = '') => ({ HostIp, HostPort });
const now = { '80/tcp': [binding('8080'), binding('')], '53/udp': [binding('5353', '127.0.0.1')] };
const inForce = [
  { protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, port: 80 },
  { protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 49_153, port: 80 },
  { protocol: 'udp', hostIp: '127.0.0.1', hostPort: 5353, port: 53 },
];

test.each([
  ['80', { '53/udp': [binding('5353', '127.0.0.1')] }],
  ['80/tcp', { '53/udp': [binding('5353', '127.0.0.1')] }],
  ['8080:80', { ...now, '80/tcp': [binding('')] }],
  ['0.0.0.0:8080:80', { ...now, '80/tcp': [binding('')] }],
  ['49153:80', { ...now, '80/tcp': [binding('8080')] }],
  ['127.0.0.1:5353:53/udp', { '80/tcp': now['80/tcp'] }],
  ['127.0.0.1::53/udp', { '80/tcp': now['80/tcp'] }],
])('taking %s back', (text, left) => {
  expect(changedBindings(now, { add: {}, remove: [text] }, inForce)).toEqual(left);
});

test.each(['81', '80/udp', '8081:80', '10.0.0.1:8080:80', 'x', '', '80/', '80-81', '[::1]:8080:80'])(
  'taking %j back is refused',
  (text) => {
    expect(() => changedBindings(now, { add: {}, remove: [text] }, inForce)).toThrow('published');
  },
);

test('what is published stays, what is new comes after it, the same twice is refused', () => {
  const add = { '80/tcp': [binding('8081')], '81/tcp': [binding('')] };
  expect(changedBindings({ '80-81/tcp': [binding('8080')] }, { add, remove: [] }, [])).toEqual({
    '80/tcp': [binding('8080'), binding('8081')],
    '81/tcp': [binding('8080'), binding('')],
  });
  expect(() => changedBindings(now, { add: { '80/tcp': [binding('8080')] }, remove: [] }, [])).toThrow(
    'port 8080:80/tcp is already published',
  );
});

test('of several that any port would do for, the one that is named goes', () => {
  const two = { '80/tcp': [binding(''), binding('')] };
  const ports = [1001, 1002].map((hostPort) => ({ protocol: 'tcp', hostIp: '0.0.0.0', hostPort, port: 80 }));
  const bindings = changedBindings(two, { add: {}, remove: ['1001:80'] }, ports);
  expect(bindings).toEqual({ '80/tcp': [binding('')] });
  const any = { protocol: 'tcp', hostIp: '', hostPort: 0, hostPortEnd: 0, port: 80 };
  expect(portChanges([any], leavingLast(ports, ['1001:80'])).gone.map(({ hostPort }) => hostPort)).toEqual([1001]);
});

test('ports that are asked for again are not touched', () => {
  const six = { protocol: 'tcp', hostIp: '::', hostPort: 8080, port: 80 };
  const asked = (hostPort: number, judged?: boolean) => ({
    ...{ protocol: 'tcp', hostIp: '', hostPort, hostPortEnd: hostPort, port: 80 },
    ...(judged === undefined ? {} : { judged }),
  });
  const all = [...inForce, six];
  expect(portChanges([asked(8080), asked(0)], all)).toEqual({
    kept: [all[0], six, all[1]].filter((port) => port !== undefined),
    gone: inForce.slice(2),
    added: [],
  });
  expect(portChanges([asked(8081)], all)).toEqual({ kept: [], gone: all, added: [asked(8081)] });
});
