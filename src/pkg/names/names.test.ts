import { describe, expect, test } from 'bun:test';
import { generateName } from './names.ts';
import { adjectives, nouns } from './words.ts';

describe('generated names', () => {
  test('are an adjective and a noun', () => {
    expect(
      generateName(
        () => 0,
        () => true,
      ),
    ).toBe(`${adjectives[0]}_${nouns[0]}`);
  });

  test('get digits when the words are taken', () => {
    const name = generateName(
      () => 1,
      (candidate) => /\d$/.test(candidate),
    );
    expect(name).toMatch(/^[a-z]+_[a-z]+\d+$/);
  });

  test('are valid container names, and no word is there twice', () => {
    for (const word of [...adjectives, ...nouns]) expect(word).toMatch(/^[a-z]{2,}$/);
    expect(new Set(adjectives).size).toBe(adjectives.length);
    expect(new Set(nouns).size).toBe(nouns.length);
  });
});
