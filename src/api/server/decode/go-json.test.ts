import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { parseJson } from './go-json.ts';

const errors: [string, string][] = [
  ['{invalid', "invalid character 'i' looking for beginning of object key string"],
  ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b":2}', "invalid character '\"' after object key:value pair"],
  ['[1 2]', "invalid character '2' after array element"],
  ['[1,]', "invalid character ']' looking for beginning of value"],
  ["'a'", "invalid character '\\'' looking for beginning of value"],
  ['tru!', "invalid character '!' in literal true (expecting 'e')"],
  ['nul\n', "invalid character '\\n' in literal null (expecting 'l')"],
  ['-x', "invalid character 'x' in numeric literal"],
  ['1.x', "invalid character 'x' after decimal point in numeric literal"],
  ['1ex', "invalid character 'x' in exponent of numeric literal"],
  ['"a\nb"', "invalid character '\\n' in string literal"],
  ['"\\x"', "invalid character 'x' in string escape code"],
  ['"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"],
  ['{"a":', 'unexpected EOF'],
  ['{"a', 'unexpected EOF'],
  ['[1,', 'unexpected EOF'],
  ['{', 'unexpected EOF'],
  ['+1', "invalid character '+' looking for beginning of value"],
  ['[{"a":[}', "invalid character '}' looking for beginning of value"],
];

describe('JSON in the words of Go', () => {
  for (const [text, message] of errors) {
    test(JSON.stringify(text), () => expect(parseJson(text)).toEqual({ kind: 'error', message }));
  }

  test('what follows the first value is told', () => {
    expect(parseJson('{"a":[1,{}]} x')).toEqual({ kind: 'value', value: { a: [1, {}] }, trailing: true });
    expect(parseJson('{} {}')).toEqual({ kind: 'value', value: {}, trailing: true });
    expect(parseJson('0 1')).toEqual({ kind: 'value', value: 0, trailing: true });
  });

  test('empty', () => {
    for (const text of ['', ' \n']) expect(parseJson(text)).toEqual({ kind: 'empty' });
  });

  test('deep nesting is an error, not a crash', () => {
    expect(parseJson('['.repeat(200_000)).kind).toBe('error');
  });

  test('any JSON is itself, any cut of it is not taken for whole', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseJson(text)).toEqual({ kind: 'value', value: JSON.parse(text), trailing: false });
        if (!/^[[{"]/.test(text)) return;
        expect(parseJson(text.slice(0, -1))).toEqual({ kind: 'error', message: 'unexpected EOF' });
      }),
    );
  });
});
