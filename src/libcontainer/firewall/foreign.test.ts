import { describe, expect, test } from 'bun:test';
import { attribute, concat, nested, textAttribute } from '#libcontainer/netlink/codec.ts';
import { type Chain, decodeChain } from './chains.ts';
import { droppingChains } from './foreign.ts';

const chain = (family: Chain['family'], table: string, name: string, more: Partial<Chain> = {}): Chain => ({
  ...{ family, table, name },
  ...{ hook: undefined, policy: undefined },
  ...more,
});
const drops = { hook: 'forward', policy: 'drop' };

test('only dropping forward chains without a place are told', () => {
  const chains = [
    chain('ip', 'filter', 'FORWARD', drops),
    chain('ip', 'filter', 'DOCKER-USER'),
    chain('inet', 'fw', 'forward', drops),
    chain('inet', 'fw', 'input', { ...drops, hook: 'input' }),
    chain('inet', 'open', 'forward', { ...drops, policy: 'accept' }),
    chain('ip6', 'filter', 'FORWARD', drops),
    chain('inet', 'berth', 'forward', drops),
  ];
  expect(droppingChains(chains, 'berth')).toEqual(['inet fw forward']);
  expect(droppingChains(chains, 'berth', true)).toEqual(['inet fw forward', 'ip6 filter FORWARD']);
  const withoutPlace = chains.filter((c) => c.name !== 'DOCKER-USER');
  expect(droppingChains(withoutPlace, 'berth')).toEqual(['ip filter FORWARD', 'inet fw forward']);
});

describe('chains as the kernel tells them', () => {
  const big = (type: number, value: number) => attribute(type, Uint8Array.of(0, 0, 0, value));
  const told = (family: number, ...attributes: readonly Uint8Array[]) =>
    decodeChain(concat([Uint8Array.of(family, 0, 0, 0), ...attributes]));
  const names = [textAttribute(1, 'filter'), textAttribute(3, 'FORWARD')];
  test('with a hook and a policy', () => {
    const found = told(2, ...names, nested(4, [big(1, 2), big(2, 0)]), big(5, 0));
    expect(found).toEqual({ family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', policy: 'drop' });
    expect(told(10, ...names, nested(4, [big(1, 1)]), big(5, 1))).toMatchObject({ hook: 'input', policy: 'accept' });
  });
  test('hooks of other families have other numbers', () => {
    expect(told(5, ...names, nested(4, [big(1, 2)]), big(5, 0)).hook).toBeUndefined();
  });
  test('without them, and what is none', () => {
    expect(told(1, ...names)).toEqual(chain('inet', 'filter', 'FORWARD'));
    expect(told(99)).toEqual(chain('', '', ''));
    expect(decodeChain(new Uint8Array())).toEqual(chain('', '', ''));
  });
});
