import { expect, test } from 'bun:test';
import { checkEndpointOptions, interfaceNameOf, sysctlsOf } from './endpoint-options.ts';

const IFNAME = 'com.docker.network.endpoint.ifname';
const SYSCTLS = 'com.docker.network.endpoint.sysctls';

test('a name of a link', () => {
  expect(interfaceNameOf({ [IFNAME]: 'lan0' })).toBe('lan0');
  expect(interfaceNameOf(null)).toBeUndefined();
  for (const name of ['', 'a b', 'a/b', '..', 'x'.repeat(16)]) {
    expect(() => checkEndpointOptions({ [IFNAME]: name })).toThrow(`invalid value for "${IFNAME}": "${name}"`);
  }
});

test('sysctls of the link', () => {
  const options = { [SYSCTLS]: 'net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.mtu=1300' };
  checkEndpointOptions(options);
  expect(sysctlsOf(options, 'eth3')).toEqual([
    { path: 'net/ipv4/conf/eth3/log_martians', value: '1' },
    { path: 'net/ipv6/conf/eth3/mtu', value: '1300' },
  ]);
  const bad = [
    'kernel.x.y.IFNAME.z=1',
    'net.ipv4.conf.eth0.x=1',
    'net.ipv4.conf.IFNAME.a/b=1',
    'net.ipv4.ip_forward=1',
  ];
  for (const value of [...bad, 'net.ipv4.conf.IFNAME.x', 'net.ipv4.conf.IFNAME.a=1,']) {
    expect(() => checkEndpointOptions({ [SYSCTLS]: value })).toThrow('invalid endpoint sysctl');
  }
});

test('options of plugins are passed on, unknown ones of Docker are refused by name', () => {
  checkEndpointOptions({ 'vendor.option': 'x' });
  expect(() => checkEndpointOptions({ 'com.docker.network.nosuch': 'x' })).toThrow('"com.docker.network.nosuch"');
});
