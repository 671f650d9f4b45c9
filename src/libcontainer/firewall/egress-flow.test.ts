/** Which existing connections a policy lets go on. */
import { expect, test } from 'bun:test';
import { allowsFlow } from './egress-flow.ts';
import { parseEgress } from './egress-policy.ts';

const learned = [
  { name: 'www.example.com', address: '192.0.2.7' },
  { name: 'other.example', address: '192.0.2.8' },
];
const flow = (answers: string, port: number, more: object = {}) => ({
  ...{ protocol: 6, answers, answersPort: port, toPort: port, withHost: false },
  ...more,
});

test.each([
  ['deny', '', '', flow('192.0.2.1', 80), false],
  ['allow', '', '10.0.0.0/9', flow('10.127.255.255', 80), false],
  ['allow', '', '10.0.0.0/9', flow('10.128.0.0', 80), true],
  ['', '10.1.2.3', '', flow('10.1.2.3', 80), true],
  ['', '10.1.2.3', '', flow('10.1.2.2', 80), false],
  ['', '0.0.0.0/0:443', '', flow('10.1.2.2', 443), true],
  ['', '0.0.0.0/0:443', '', flow('10.1.2.2', 444), false],
  ['', '0.0.0.0/0:443/udp', '', flow('10.1.2.2', 443), false],
  ['', '0.0.0.0/0:443/udp', '', flow('10.1.2.2', 443, { protocol: 17 }), true],
  // What has no ports is let through by entries without ports only.
  ['', '0.0.0.0/0:1-65535', '', flow('10.1.2.2', 0, { protocol: 1 }), false],
  ['', '0.0.0.0/0', '', flow('10.1.2.2', 0, { protocol: 1 }), true],
  ['', '0.0.0.0/0', '10.1.2.2:22', flow('10.1.2.2', 22), false],
  ['', '[fd00::/8]:80', '', flow('fd12::1', 80), true],
  ['', '[fd00::/8]:80', '', flow('fe12::1', 80), false],
  ['', 'fd00::/8', '', flow('10.1.2.3', 80), false],
  // A port of the host is meant as it was asked for, a network as who answers.
  ['', 'host:8080', '', flow('172.17.0.5', 80, { toPort: 8080, withHost: true }), true],
  ['', 'host:80', '', flow('172.17.0.5', 80, { toPort: 8080, withHost: true }), false],
  ['', 'host', '', flow('10.1.2.3', 80), false],
  ['', '172.17.0.5:80', '', flow('172.17.0.5', 80, { toPort: 8080, withHost: true }), true],
  ['', '*.example.com', '', flow('192.0.2.7', 80), true],
  ['', 'www.example.com:443', '', flow('192.0.2.7', 80), false],
  ['', '*.example.com', '', flow('192.0.2.8', 80), false],
  ['', '*', 'other.example', flow('192.0.2.8', 80), false],
] as const)('%s allow=%s deny=%s: %j %p', (rest, allow, deny, one, expected) => {
  const policy = parseEgress({ rest, allow, deny });
  expect(policy === undefined || allowsFlow(policy, one, learned)).toBe(expected);
});
