import { expect, test } from 'bun:test';
import { chainIdOf, chainIds, isDiffId } from './chain-id.ts';

const a = `sha256:${'a'.repeat(64)}`;
const b = `sha256:${'b'.repeat(64)}`;

test('a stack is named by all its layers in their order', () => {
  if (!isDiffId(a) || !isDiffId(b)) throw new Error('not digests');
  expect(chainIdOf([])).toBeUndefined();
  expect(String(chainIdOf([a]))).toBe(a);
  const hasher = new Bun.CryptoHasher('sha256').update(`${a} ${b}`);
  expect(chainIds([a, b]).map(String)).toEqual([a, `sha256:${hasher.digest('hex')}`]);
  expect(chainIdOf([a, b])).not.toBe(chainIdOf([b, a]));
});

test('only sha256 digests are DiffIds', () => {
  for (const text of ['', 'a', `sha256:${'A'.repeat(64)}`, `sha512:${'a'.repeat(64)}`, `${a}\n`]) {
    expect(isDiffId(text)).toBe(false);
  }
});
