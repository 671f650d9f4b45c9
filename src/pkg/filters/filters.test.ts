import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import {
  booleanFilter,
  checkFilterKeys,
  decodeFilters,
  encodeFilters,
  matchesExactly,
  matchesLabels,
  matchesPattern,
  matchesPrefix,
} from './filters.ts';

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(kindOf(error)).toBe('invalid-parameter');
    return messageOf(error);
  }
  throw new Error('was not refused');
}

describe('decoding', () => {
  test('both forms mean the same', () => {
    const expected = new Map([['label', ['a=b', 'c']]]);
    expect(decodeFilters('{"label":{"a=b":true,"c":true}}')).toEqual(expected);
    expect(decodeFilters('{"label":["a=b","c"]}')).toEqual(expected);
    expect(decodeFilters('').size).toBe(0);
    expect(decodeFilters('null').size).toBe(0);
  });

  test('anything else is refused', () => {
    for (const text of ['{', '[]', '1', '"x"']) expect(refusal(() => decodeFilters(text))).toBe('invalid filter');
    for (const text of ['{"a":1}', '{"a":null}', '{"a":[1]}', '{"a":{"b":"c"}}']) {
      expect(refusal(() => decodeFilters(text))).toBe("invalid filter 'a'");
    }
  });

  test('what was encoded decodes to itself', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ minLength: 1 }), fc.uniqueArray(fc.string(), { minLength: 1 })),
        (dictionary) => {
          const filters = new Map(Object.entries(dictionary));
          const decoded = decodeFilters(encodeFilters(filters));
          expect([...decoded.keys()].sort()).toEqual([...filters.keys()].sort());
          for (const [key, values] of filters) expect([...(decoded.get(key) ?? [])].sort()).toEqual([...values].sort());
        },
      ),
    );
  });
});

describe('matching', () => {
  const filters = decodeFilters('{"id":["ab","cd"],"name":["^we.$"],"status":["running"],"label":["a=1","b"]}');

  test('keys', () => {
    expect(refusal(() => checkFilterKeys(filters, ['id', 'name', 'label']))).toBe("invalid filter 'status'");
    checkFilterKeys(filters, ['id', 'name', 'label', 'status']);
  });

  test('one of the values is enough, no value matches everything', () => {
    expect(matchesPrefix(filters, 'id', 'cdef')).toBe(true);
    expect(matchesPrefix(filters, 'id', 'xcd')).toBe(false);
    expect(matchesPattern(filters, 'name', 'web')).toBe(true);
    expect(matchesPattern(filters, 'name', 'webs')).toBe(false);
    expect(matchesExactly(filters, 'status', 'running')).toBe(true);
    expect(matchesExactly(filters, 'status', 'exited')).toBe(false);
    expect(matchesExactly(filters, 'ancestor', 'x')).toBe(true);
  });

  test('a pattern that is no regular expression matches as text only', () => {
    expect(matchesPattern(decodeFilters('{"name":["a("]}'), 'name', 'xa(y')).toBe(true);
    expect(matchesPattern(decodeFilters('{"name":["a("]}'), 'name', 'xa')).toBe(false);
  });

  test('labels must all match', () => {
    expect(matchesLabels(filters, { a: '1', b: '' })).toBe(true);
    expect(matchesLabels(filters, { a: '1' })).toBe(false);
    expect(matchesLabels(filters, { a: '2', b: '' })).toBe(false);
    expect(matchesLabels(filters, null)).toBe(false);
    expect(matchesLabels(decodeFilters('{"label":["constructor"]}'), {})).toBe(false);
  });

  test('yes or no', () => {
    expect(booleanFilter(decodeFilters('{"dangling":["true"]}'), 'dangling')).toBe(true);
    expect(booleanFilter(decodeFilters('{"dangling":["0"]}'), 'dangling')).toBe(false);
    expect(booleanFilter(filters, 'dangling')).toBeUndefined();
    const maybe = decodeFilters('{"dangling":["maybe"]}');
    expect(refusal(() => booleanFilter(maybe, 'dangling'))).toBe("invalid filter 'dangling=[maybe]'");
  });
});
