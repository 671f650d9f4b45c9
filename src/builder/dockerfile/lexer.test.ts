/** Quotes, escapes and variables: what goes in, what comes out. */
import { expect, test } from 'bun:test';
import { Lexer, type LexerOptions } from './lexer.ts';

const env = new Map([
  ['A', 'a'],
  ['EMPTY', ''],
  ['PATHS', '/usr/local/bin:/usr/bin'],
  ['FILE', 'archive.tar.gz'],
  ['WORDS', 'one two'],
  ['U', 'ünïcödé'],
]);

const word = (text: string, options: LexerOptions = {}) => new Lexer(options).word(text, env);

test.each([
  ['$A', 'a'],
  ['${A}b', 'ab'],
  ['\\$A', '$A'],
  ["'$A'", '$A'],
  ['"$A"', 'a'],
  ['"\\$A"', '$A'],
  ['"\\x"', '\\x'],
  ['\\x', 'x'],
  ['x\\', 'x'],
  ['$', '$'],
  ['$NONE', ''],
  ['$1', ''],
  ['a$', 'a$'],
  ['${NONE:-d}', 'd'],
  ['${EMPTY:-d}', 'd'],
  ['${EMPTY-d}', ''],
  ['${NONE-d}', 'd'],
  ['${A:-d}', 'a'],
  ['${A:+d}', 'd'],
  ['${A+d}', 'd'],
  ['${EMPTY:+d}', ''],
  ['${EMPTY+d}', 'd'],
  ['${NONE+d}', ''],
  ['${NONE:-${A}${EMPTY:-x}}', 'ax'],
  ['${A:?gone}', 'a'],
  ['${EMPTY?gone}', ''],
  ['${PATHS#*/}', 'usr/local/bin:/usr/bin'],
  ['${PATHS##*/}', 'bin'],
  ['${PATHS%/*}', '/usr/local/bin:/usr'],
  ['${PATHS%%/*}', ''],
  ['${FILE%.*}', 'archive.tar'],
  ['${FILE%%.*}', 'archive'],
  ['${FILE#archive?}', 'tar.gz'],
  ['${FILE#\\*}', 'archive.tar.gz'],
  ['${PATHS/usr/opt}', '/opt/local/bin:/usr/bin'],
  ['${PATHS//usr/opt}', '/opt/local/bin:/opt/bin'],
  ['${PATHS//\\//-}', '-usr-local-bin:-usr-bin'],
  ['${PATHS//:/ }', '/usr/local/bin /usr/bin'],
  ['${FILE/.*/}', 'archive'],
  ['${NONE/a/b}', ''],
  ['${U#?}', 'nïcödé'],
  ['${U%?}', 'ünïcöd'],
  ['"${A:-"x"}"', 'a'],
])('%s → %s', (text, expected) => expect(word(text)).toBe(expected));

test.each([
  ["'", 'unexpected end of statement while looking for matching single-quote'],
  ['"', 'unexpected end of statement while looking for matching double-quote'],
  ['${', "syntax error: missing '}'"],
  ['${A', "syntax error: missing '}'"],
  ['${A:-x', "syntax error: missing '}'"],
  ['${}', 'syntax error: bad substitution'],
  ['${:x}', 'syntax error: bad substitution'],
  ['${{A}}', 'syntax error: bad substitution'],
  ['${A:#x}', 'unsupported modifier (:#) in substitution'],
  ['${A^^}', 'unsupported modifier (^) in substitution'],
  ['${NONE?}', 'NONE: is not allowed to be unset'],
  ['${NONE:?say so}', 'NONE: say so'],
  ['${EMPTY:?}', 'EMPTY: is not allowed to be empty'],
])('%s is refused', (text, why) => {
  expect(() => word(text)).toThrow(`failed to process ${JSON.stringify(text)}: ${why}`);
});

test('words are split where no quote keeps them together, also those of a variable', () => {
  const words = (text: string) => new Lexer().words(text, env);
  expect(words('a b  "c d" $WORDS')).toEqual(['a', 'b', 'c d', 'one', 'two']);
  expect(words('"$WORDS"x')).toEqual(['one twox']);
  expect(words('a\\ b')).toEqual(['a b']);
  expect(words("'' ''")).toEqual([]);
});

test('the escape can be a backtick, and is kept where it is asked for', () => {
  expect(word('`$A\\b', { escape: '`' })).toBe('$A\\b');
  expect(word('a\\ "b"', { rawEscapes: true, rawQuotes: true })).toBe('a\\ "b"');
  expect(word('$NONE${NONE:-x} $A', { keepUnset: true })).toBe('$NONE${NONE:-x} a');
  expect(word("'$A' \"", { literalQuotes: true })).toBe("'a' \"");
});

test('what is not set is reported, but not where the text says what then', () => {
  const { unset, used } = new Lexer().expand('$X ${Y} ${Z:-z} ${W+w} $A', env);
  expect([...unset].sort()).toEqual(['X', 'Y']);
  expect([...used]).toEqual(['A']);
});

test('neither doubling values nor nesting gets out of hand', () => {
  const big = new Map([['B', 'x'.repeat(100_000)]]);
  expect(() => new Lexer().word('$B'.repeat(20), big)).toThrow('longer than');
  expect(() => word(`${'${A:+'.repeat(5000)}${'}'.repeat(5000)}`)).toThrow('nested too deep');
});

test('a hostile pattern costs no more than its length times the text', () => {
  const value = new Map([['V', 'a'.repeat(20_000)]]);
  const pattern = `${'*a'.repeat(200)}b`;
  expect(new Lexer().word(`\${V##${pattern}}`, value)).toBe('a'.repeat(20_000));
  expect(new Lexer().word(`\${V//${pattern}/x}`, value)).toBe('a'.repeat(20_000));
});
