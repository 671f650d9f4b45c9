/** .dockerignore as docker's clients and BuildKit read it. */
import { expect, test } from 'bun:test';
import { IgnoreMatcher, ignoreFileNames, ignorePatterns } from './ignore.ts';
import { Pattern } from './pattern.ts';

test.each([
  ['**', 'any/thing', true],
  ['**/', 'any', true],
  ['**/**', 'a/b', true],
  ['dir/**', 'dir/file', true],
  ['dir/**', 'dir/dir2/file', true],
  ['dir/**', 'dir', false],
  ['**/dir2/*', 'dir/dir2/file', true],
  ['**/dir2/**', 'dir/dir2/dir2/file', true],
  ['**file', 'dir/file', true],
  ['**file', 'notfile', true],
  ['**/file', 'notfile', false],
  ['**/file', 'file', true],
  ['**/*.txt', 'a/b/c.txt', true],
  ['**/*.txt', 'c.txtx', false],
  ['*/file', 'a/file', true],
  ['*/file', 'a/b/file', false],
  ['*.txt', '.txt', true],
  ['a*b', 'a/b', false],
  ['a?c', 'abc', true],
  ['a?c', 'a/c', false],
  ['a[b-d]e', 'ace', true],
  ['a[^b-d]e', 'ace', false],
  ['a[^b-d]e', 'aze', true],
  ['a[]]b', 'a]b', true],
  ['a[\\]]b', 'a]b', true],
  ['a[.+]b', 'a+b', true],
  ['a\\*b', 'a*b', true],
  ['a\\*b', 'axb', false],
  ['a.b', 'axb', false],
  ['a(b)+$', 'a(b)+$', true],
  ['a/**/b', 'a/b', true],
  ['a/**/b', 'a/x/y/b', true],
  ['a/**/b', 'ab', false],
  ['ü*', 'über', true],
  ['*/*/*/x', 'a/b/c/x', true],
  ['*/*/*/x', 'a/b/c/d/x', false],
  ['**/a/**/b/**/c', 'x/a/y/b/c', true],
  ['**/a/**/b/**/c', 'x/a/y/bb/c', false],
])('%s and %s: %p', (pattern, path, expected) => expect(new Pattern(pattern).matches(path)).toBe(expected));

test.each(['[', 'a[b', 'a[^', 'a[]', 'a[z-a]', 'a\\'])('%s is no pattern', (pattern) => {
  expect(() => new Pattern(pattern)).toThrow('syntax error in pattern');
});

test('the last pattern that matches a path or one of its parents decides', () => {
  const matcher = IgnoreMatcher.parse('# comment\n\n /docs/ \n!docs/README.md\n*.log\n!docs/keep\ndocs/keep/not\n');
  expect(['docs', 'docs/a', 'docs/README.md', 'x.log', 'a/x.log'].map((path) => matcher.ignores(path))).toEqual([
    true,
    true,
    false,
    true,
    false,
  ]);
  expect(matcher.ignores('docs/keep/a')).toBe(false);
  expect(matcher.ignores('docs/keep/not/a')).toBe(true);
});

test('an ignored directory is entered only where an exception can match', () => {
  const matcher = IgnoreMatcher.parse('*\n!src\n!docs/*/x\n!**/deep.txt');
  const only = IgnoreMatcher.parse('node_modules\ndist\n!dist/keep/this\n!build/*/x');
  expect(only.enters(only.stateOf('node_modules'))).toBe(false);
  expect(only.enters(only.stateOf('dist'))).toBe(true);
  expect(only.enters(only.stateOf('dist/other'))).toBe(false);
  expect(only.enters(only.stateOf('dist/keep'))).toBe(true);
  expect(matcher.enters(matcher.stateOf('anything'))).toBe(true);
  expect(new Pattern('build/*/x').canMatchBelow('build')).toBe(true);
  expect(new Pattern('build/*/x').canMatchBelow('build/a')).toBe(true);
  expect(new Pattern('build/*/x').canMatchBelow('build/a/x')).toBe(false);
  expect(new Pattern('build/*/x').canMatchBelow('other')).toBe(false);
  expect(new Pattern('a/**/x/*/y').canMatchBelow('b')).toBe(false);
});

test('files are read as docker reads them', () => {
  expect(ignorePatterns('\uFEFFa\r\n#b\n #c\n/d\n! /e/../f \n/\n.\n./g/')).toEqual(['a', '#c', 'd', '!f', 'g']);
  expect(() => IgnoreMatcher.parse('!')).toThrow('illegal exclusion pattern: "!"');
  expect(ignoreFileNames('docker/Dockerfile.prod')).toEqual(['docker/Dockerfile.prod.dockerignore', '.dockerignore']);
});

test('patterns with many stars cost no more than their length times the path', () => {
  const path = `${'a/'.repeat(1500)}b`;
  expect(new Pattern(`${'**/a/'.repeat(40)}*c`).matches(path)).toBe(false);
  expect(new Pattern(`${'*a'.repeat(60)}c`).matches('a'.repeat(4000))).toBe(false);
});
