/** What is read of the rules of others; that packets fare so is test/integration/network/publish-policy. */
import { expect, test } from 'bun:test';
import { decodeRuleset, judge } from './judge.ts';

const table = { family: 'inet', table: 'fw' };
const chain = (name: string, base: object = {}) => ({ chain: { ...table, name, ...base } });
const input = (policy: string) => chain('input', { type: 'filter', hook: 'input', prio: 0, policy });
const rule = (...expr: object[]) => ({ rule: { ...table, chain: 'input', expr } });
const ruleOf = (name: string, ...expr: object[]) => ({ rule: { ...table, chain: name, expr } });
const match = (left: object, right: unknown, op = '==') => ({ match: { op, left, right } });
const port = (right: unknown, protocol = 'tcp') => match({ payload: { protocol, field: 'dport' } }, right);
const state = (right: unknown) => match({ ct: { key: 'state' } }, right, 'in');
const lo = match({ meta: { key: 'iifname' } }, 'lo');
const sender = match({ payload: { protocol: 'ip', field: 'saddr' } }, '10.0.0.1');
const accept = { accept: null };
const drop = { drop: null };

const verdict = (rules: readonly object[], probe: { port?: number; protocol?: 'tcp' | 'udp'; version?: 4 | 6 } = {}) =>
  judge(decodeRuleset({ nftables: rules }), { version: 4, protocol: 'tcp', port: 80, ...probe }, 'berth').verdict;

test.each([
  ['no chain', [], 'accept'],
  ['an open policy', [input('accept')], 'accept'],
  ['a closed policy', [input('drop')], 'drop'],
  ['what is not for us', [input('drop'), rule(lo, accept), rule(state(['established', 'related']), accept)], 'drop'],
  ['the port', [input('drop'), rule(port(80), { counter: null }, accept)], 'accept'],
  ['another port', [input('drop'), rule(port(81), accept)], 'drop'],
  ['another protocol', [input('drop'), rule(port(80, 'udp'), accept)], 'drop'],
  ['any protocol', [input('drop'), rule(port(80, 'th'), accept)], 'accept'],
  ['a set with a range', [input('drop'), rule(port({ set: [22, { range: [79, 81] }] }), accept)], 'accept'],
  ['a named set', [input('drop'), { set: { ...table, name: 's', elem: [80] } }, rule(port('@s'), accept)], 'accept'],
  ['a set that is not there', [input('drop'), rule(port('@s'), accept)], 'unknown'],
  ['the sender', [input('drop'), rule(sender, accept)], 'unknown'],
  ['the sender, and the port for all', [input('drop'), rule(sender, accept), rule(port(80), accept)], 'accept'],
  ['a match of iptables', [input('accept'), rule({ xt: { type: 'match', name: 'x' } }, drop)], 'unknown'],
  ['a refusal', [input('accept'), rule(port(80), { reject: null })], 'drop'],
  ['new connections', [input('drop'), rule(state(['new', 'established']), accept)], 'accept'],
  [
    'a map of states',
    [
      input('drop'),
      rule({
        vmap: {
          key: { ct: { key: 'state' } },
          data: {
            set: [
              ['established', accept],
              ['invalid', drop],
            ],
          },
        },
      }),
      rule(port(80), accept),
    ],
    'accept',
  ],
  [
    'a chain that returns',
    [
      input('drop'),
      chain('sub'),
      ruleOf('sub', port(81), accept),
      rule({ jump: { target: 'sub' } }),
      rule(port(80), accept),
    ],
    'accept',
  ],
  [
    'a chain that decides',
    [input('accept'), chain('sub'), ruleOf('sub', drop), rule({ jump: { target: 'sub' } })],
    'drop',
  ],
  [
    'chains without end',
    [input('accept'), chain('sub'), ruleOf('sub', { jump: { target: 'sub' } }), rule({ jump: { target: 'sub' } })],
    'unknown',
  ],
  ['a return that may be', [input('drop'), rule(sender, { return: null }), rule(port(80), accept)], 'unknown'],
  ['a second chain', [input('accept'), chain('late', { hook: 'input', prio: 10, policy: 'drop' })], 'drop'],
  [
    'our own',
    [{ chain: { family: 'inet', table: 'berth', name: 'in', hook: 'input', prio: 0, policy: 'drop' } }],
    'accept',
  ],
] as const)('%s', (_, rules, expected) => {
  expect(verdict(rules)).toBe(expected);
});

test('families and what is no rule set', () => {
  const four = { chain: { family: 'ip', table: 'f', name: 'INPUT', hook: 'input', prio: 0, policy: 'drop' } };
  expect(verdict([four])).toBe('drop');
  expect(verdict([four], { version: 6 })).toBe('accept');
  for (const json of [undefined, null, 1, {}, { nftables: [1, null, { chain: 1 }, { rule: { expr: 1 } }] }]) {
    expect(judge(decodeRuleset(json), { version: 4, protocol: 'tcp', port: 1 }, 'berth').verdict).toBe('accept');
  }
});
