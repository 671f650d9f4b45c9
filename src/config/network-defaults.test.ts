import { expect, test } from 'bun:test';
import { networkDefaultsOf } from './network-defaults.ts';
import type { ConfigValue } from './values.ts';

const read = (values: Record<string, ConfigValue>) => networkDefaultsOf(new Map(Object.entries(values)));

test('nothing given is what Docker does', () => {
  expect(read({})).toEqual({
    pools: [],
    interContainer: true,
    masquerade: true,
    hostBinding: '',
    mtu: undefined,
    fixedCidr: '',
    options: {},
    ipForward: true,
    publishPolicy: 'docker',
    ipv6: false,
    bip6: '',
    fixedCidr6: '',
    gateway4: '',
    gateway6: '',
    iptables: true,
    ip6tables: true,
    directRouting: false,
    acceptMark: '',
    hostGateways: [],
  });
});

test('pools of the file and of flags', () => {
  const pools = [{ base: '10.0.0.0/8', size: 24 }];
  expect(read({ 'default-address-pools': pools }).pools).toEqual(pools);
  expect(read({ 'default-address-pools': ['base=10.0.0.0/8,size=24'] }).pools).toEqual(pools);
  const sixes = [{ base: 'fd00:1::/48', size: 64 }];
  expect(read({ 'default-address-pools': sixes }).pools).toEqual(sixes);
});

test('options by driver', () => {
  const key = 'com.docker.network.driver.mtu';
  const wanted = { bridge: { [key]: '1400' } };
  expect(read({ 'default-network-opts': { bridge: { [key]: '1400' } } }).options).toEqual(wanted);
  expect(read({ 'default-network-opts': { bridge: `${key}=1400` } }).options).toEqual(wanted);
});

test.each([
  [{ mtu: 10 }, 'invalid value for "mtu": 10'],
  [{ 'default-gateway': 'x' }, 'invalid value for "default-gateway": "x"'],
  [{ bip6: '10.0.0.1/8' }, 'invalid value for "bip6"'],
  [{ 'host-gateway-ips': ['10.0.0.1', '10.0.0.2'] }, 'want one address of each family'],
  [{ 'bridge-accept-fwmark': '0x1;' }, 'want MARK or MARK/MASK'],
  [{ ip: 'x' }, 'invalid value for "ip": "x"'],
  [{ 'fixed-cidr': '10.0.0.0' }, 'invalid value for "fixed-cidr"'],
  [{ 'default-address-pools': [{ base: '10.0.0.0', size: 24 }] }, 'base must be a network'],
  [{ 'default-address-pools': [{ base: '10.0.0.0/24', size: 16 }] }, 'size must lie between'],
  [{ 'default-address-pools': [{ base: 'fd00:1::/48', size: 40 }] }, "size must lie between the base's and 126"],
  [{ 'default-address-pools': ['nonsense'] }, 'base must be a network'],
] as const)('%j', (values, words) => {
  expect(() => read(values)).toThrow(words);
});
