import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { DetachMatcher, parseDetachKeys } from './detach-keys.ts';

describe('parseDetachKeys', () => {
  for (const [text, expected] of [
    ['', [16, 17]],
    ['ctrl-p,ctrl-q', [16, 17]],
    ['ctrl-@', [0]],
    ['ctrl-a,a,~', [1, 97, 126]],
    ['ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_', [27, 28, 29, 30, 31]],
  ] as const) {
    test(`"${text}"`, () => expect([...parseDetachKeys(text)]).toEqual([...expected]));
  }
  for (const text of ['ctrl-', 'ctrl-P', 'ctrl-1', 'ab', 'a,', 'é', 'ctrl-ab']) {
    test(`"${text}" is refused`, () => {
      expect(() => parseDetachKeys(text)).toThrow(`Invalid detach keys (${text}) provided`);
      expect(() => parseDetachKeys(text, 'escape')).toThrow(`Invalid escape keys (${text}) provided`);
    });
  }
});

describe('DetachMatcher', () => {
  test('agrees with indexOf on the whole input, however it is cut', () => {
    const keys = fc.uint8Array({ minLength: 1, maxLength: 4, max: 2 });
    fc.assert(
      fc.property(keys, fc.array(fc.uint8Array({ maxLength: 6, max: 2 }), { maxLength: 12 }), (sequence, chunks) => {
        const whole = Buffer.concat(chunks);
        const at = whole.indexOf(sequence);
        const matcher = new DetachMatcher(sequence);
        const forwarded: number[] = [];
        let detached = false;
        for (const chunk of chunks) {
          const step = matcher.push(chunk);
          forwarded.push(...step.forward);
          detached = step.detached;
          if (detached) break;
        }
        if (!detached) forwarded.push(...matcher.flush());
        expect(detached).toBe(at >= 0);
        expect(forwarded).toEqual([...whole.subarray(0, at < 0 ? whole.length : at)]);
      }),
    );
  });

  test('holds a partial match back', () => {
    const matcher = new DetachMatcher(Uint8Array.of(16, 17));
    expect([...matcher.push(Uint8Array.of(97, 16)).forward]).toEqual([97]);
    expect([...matcher.push(Uint8Array.of(98)).forward]).toEqual([16, 98]);
    expect(matcher.push(Uint8Array.of(16)).forward.length).toBe(0);
    expect(matcher.push(Uint8Array.of(17))).toEqual({ forward: new Uint8Array(0), detached: true });
  });
});
