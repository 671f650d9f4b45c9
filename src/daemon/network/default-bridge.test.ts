import { expect, test } from 'bun:test';
import { networkDefaultsOf } from '#config/network-defaults.ts';
import { subnet6Text } from '#libcontainer/netlink/ip.ts';
import { defaultBridgeOptions } from './default-bridge.ts';

const options = (values: Record<string, string | boolean>) =>
  defaultBridgeOptions(networkDefaultsOf(new Map(Object.entries(values))), 'berth0');

test('no IPv6 unasked, whatever else is said of it', () => {
  expect(options({ 'fixed-cidr-v6': 'fd00:1::/64' }).ipv6).toBeUndefined();
});

test('a network of this host’s own, the same at every start', () => {
  const [one, two] = [options({ ipv6: true }).ipv6, options({ ipv6: true }).ipv6];
  expect(one).toEqual(two);
  expect(subnet6Text(one?.subnet ?? { first: 0n, prefixLength: 0 })).toMatch(/^fd[0-9a-f:]+\/64$/);
});

test('the network of fixed-cidr-v6, or of bip6 with it as a part', () => {
  expect(options({ ipv6: true, 'fixed-cidr-v6': 'fd00:1::/80' }).ipv6?.gateway).toBe('fd00:1::1');
  const both = options({ ipv6: true, bip6: 'fd00:1::9/64', 'fixed-cidr-v6': 'fd00:1::1:0/112' }).ipv6;
  expect([both?.gateway, subnet6Text(both?.range ?? { first: 0n, prefixLength: 0 })]).toEqual([
    'fd00:1::9',
    'fd00:1::1:0/112',
  ]);
  expect(() => options({ ipv6: true, bip6: 'fd00:1::1/64', 'fixed-cidr-v6': 'fd00:2::/80' })).toThrow('fixed-cidr-v6');
});
