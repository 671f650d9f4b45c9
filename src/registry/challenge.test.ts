import { expect, test } from 'bun:test';
import { parseChallenges } from './challenge.ts';

const shown = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

test('challenges as registries write them', () => {
  expect(
    shown('Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b:pull,push"'),
  ).toEqual([
    ['bearer', { realm: 'https://auth.docker.io/token', service: 'registry.docker.io', scope: 'a:b:pull,push' }],
  ]);
  expect(shown('Basic realm="a \\"quoted\\" one"')).toEqual([['basic', { realm: 'a "quoted" one' }]]);
  expect(shown('basic realm=x, Bearer realm=y , service = "z"')).toEqual([
    ['basic', { realm: 'x' }],
    ['bearer', { realm: 'y', service: 'z' }],
  ]);
  expect(shown('Negotiate, Basic realm="x"')).toEqual([
    ['negotiate', {}],
    ['basic', { realm: 'x' }],
  ]);
});

test('nonsense is no challenge, and long nonsense takes no time', () => {
  for (const header of ['', '"', '=', ',,,', 'Bearer realm="open']) {
    for (const { parameters } of parseChallenges(header)) expect(parameters.size).toBe(0);
  }
  expect(parseChallenges('a'.repeat(100_000))).toEqual([]);
  expect(parseChallenges('B a=1,'.repeat(1000)).length).toBeLessThanOrEqual(16);
});
