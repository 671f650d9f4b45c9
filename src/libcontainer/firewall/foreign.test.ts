import { expect, test } from 'bun:test';
import { decodeChains, droppingChains } from './foreign.ts';

const chain = (family: string, table: string, name: string, more: object = {}) => ({
  chain: { family, table, name, ...more },
});
const drops = { type: 'filter', hook: 'forward', prio: 0, policy: 'drop' };

test('only dropping forward chains without a place are told', () => {
  const chains = decodeChains({
    nftables: [
      { metainfo: { version: '1.0.6' } },
      chain('ip', 'filter', 'FORWARD', drops),
      chain('ip', 'filter', 'DOCKER-USER'),
      chain('inet', 'fw', 'forward', drops),
      chain('inet', 'fw', 'input', { ...drops, hook: 'input' }),
      chain('inet', 'open', 'forward', { ...drops, policy: 'accept' }),
      chain('ip6', 'filter', 'FORWARD', drops),
      chain('inet', 'berth', 'forward', drops),
    ],
  });
  expect(droppingChains(chains, 'berth')).toEqual(['inet fw forward']);
  expect(droppingChains(chains, 'berth', true)).toEqual(['inet fw forward', 'ip6 filter FORWARD']);
  const withoutPlace = chains.filter((c) => c.name !== 'DOCKER-USER');
  expect(droppingChains(withoutPlace, 'berth')).toEqual(['ip filter FORWARD', 'inet fw forward']);
});

test('what is no list of chains holds none', () => {
  for (const json of [undefined, null, 1, {}, { nftables: 1 }, { nftables: [1, { chain: 2 }, {}] }]) {
    expect(decodeChains(json)).toEqual([]);
  }
});
