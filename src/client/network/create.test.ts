import { expect, test } from 'bun:test';
import { poolsOf } from './create.ts';

const none = { subnets: [], ranges: [], gateways: [], auxiliary: {} };

test('ranges, gateways and addresses go to their subnets', () => {
  const pools = poolsOf({
    subnets: ['10.1.0.0/16', 'fd00:1::/64'],
    ranges: ['10.1.2.0/24'],
    gateways: ['fd00:1::9', '10.1.0.9'],
    auxiliary: { host: '10.1.0.7' },
  });
  expect(pools).toEqual([
    { Subnet: '10.1.0.0/16', IPRange: '10.1.2.0/24', Gateway: '10.1.0.9', AuxiliaryAddresses: { host: '10.1.0.7' } },
    { Subnet: 'fd00:1::/64', Gateway: 'fd00:1::9' },
  ]);
});

test.each([
  [{ ...none, gateways: ['10.0.0.1'] }, 'every ip-range or gateway must have a corresponding subnet'],
  [{ ...none, subnets: ['10.1.0.0/16'], gateways: ['10.2.0.1'] }, 'no matching subnet for gateway 10.2.0.1'],
  [{ ...none, subnets: ['10.1.0.0/16'], ranges: ['10.2.0.0/24'] }, 'no matching subnet for range 10.2.0.0/24'],
  [{ ...none, subnets: ['10.1.0.0/16'], auxiliary: { a: 'x' } }, 'no matching subnet for aux-address x'],
  [{ ...none, subnets: ['10.1.0.0/16'], gateways: ['10.1.0.1', '10.1.0.2'] }, 'cannot configure multiple gateways'],
])('%j', (named, words) => {
  expect(() => poolsOf(named)).toThrow(words);
});
