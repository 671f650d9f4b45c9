/**
 * Generated container names: `adjective_noun`, from words.ts. Randomness is handed in; whether a name is free is the
 * caller's knowledge. When the words run out of luck a digit is appended, as Docker does.
 */
import { adjectives, nouns } from './words.ts';

/** Uniform integer in [0, bound). */
export type RandomInt = (bound: number) => number;

const WORDS_ONLY_ATTEMPTS = 6;
const ATTEMPTS_MAX = 10_000;

export function generateName(randomInt: RandomInt, isFree: (name: string) => boolean): string {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const words = `${pick(adjectives, randomInt)}_${pick(nouns, randomInt)}`;
    const name = attempt < WORDS_ONLY_ATTEMPTS ? words : `${words}${randomInt(10 ** Math.min(attempt, 9))}`;
    if (isFree(name)) return name;
  }
  throw new Error('Cannot generate a name: every attempt was taken');
}

function pick(words: readonly string[], randomInt: RandomInt): string {
  const word = words[randomInt(words.length)];
  if (word === undefined) throw new RangeError('random number out of range');
  return word;
}
