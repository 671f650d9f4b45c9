import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import {
  canonicalString,
  compileGlob,
  familiarName,
  familiarString,
  matchesReference,
  parseDigest,
  parseReference,
  withDefaultTag,
  withTag,
} from './reference.ts';

const hex = 'a'.repeat(64);

describe('a name is completed and shown in its familiar form', () => {
  for (const [text, canonical, familiar] of [
    ['busybox', 'docker.io/library/busybox', 'busybox'],
    ['busybox:1', 'docker.io/library/busybox:1', 'busybox:1'],
    ['me/app', 'docker.io/me/app', 'me/app'],
    ['docker.io/busybox', 'docker.io/library/busybox', 'busybox'],
    ['docker.io/library/busybox', 'docker.io/library/busybox', 'busybox'],
    ['library/busybox', 'docker.io/library/busybox', 'busybox'],
    ['index.docker.io/library/busybox:x', 'docker.io/library/busybox:x', 'busybox:x'],
    ['localhost/a', 'localhost/a', 'localhost/a'],
    ['localhost:5000/a:b', 'localhost:5000/a:b', 'localhost:5000/a:b'],
    ['bench.local/big:1', 'bench.local/big:1', 'bench.local/big:1'],
    ['[::1]:5000/a', '[::1]:5000/a', '[::1]:5000/a'],
    ['Host/a', 'Host/a', 'Host/a'],
    ['a__b/c--d', 'docker.io/a__b/c--d', 'a__b/c--d'],
    [`a:t@sha256:${hex}`, `docker.io/library/a:t@sha256:${hex}`, `a:t@sha256:${hex}`],
  ] as const) {
    test(text, () => {
      const reference = parseReference(text);
      expect(canonicalString(reference)).toBe(canonical);
      expect(familiarString(reference)).toBe(familiar);
    });
  }
});

describe('a bad name is refused with the words of docker', () => {
  for (const [text, message] of [
    ['', 'invalid reference format'],
    ['a:', 'invalid reference format'],
    ['-a', 'invalid reference format'],
    ['a//b', 'invalid reference format'],
    ['a b', 'invalid reference format'],
    ['/a', 'invalid reference format'],
    ['a@sha256:abc', 'invalid reference format'],
    [`a:${'t'.repeat(129)}`, 'invalid reference format'],
    ['Busybox', 'invalid reference format: repository name (library/Busybox) must be lowercase'],
    ['x/Busybox:Tag', 'invalid reference format: repository name (x/Busybox) must be lowercase'],
    [hex, `invalid repository name (${hex}), cannot specify 64-byte hexadecimal strings`],
    [`x/${'a'.repeat(255)}`, 'repository name must not be more than 255 characters'],
    [`a@md5:${'a'.repeat(32)}`, 'unsupported digest algorithm'],
    [`a@sha256:${'a'.repeat(40)}`, 'invalid checksum digest length'],
    ['a'.repeat(5000), 'invalid reference format'],
  ] as const) {
    test(text.slice(0, 40), () => {
      let caught: unknown;
      try {
        parseReference(text);
      } catch (error) {
        caught = error;
      }
      expect(messageOf(caught)).toBe(message);
      expect(kindOf(caught)).toBe('invalid-parameter');
    });
  }
});

test('tags', () => {
  expect(familiarString(withDefaultTag(parseReference('a')))).toBe('a:latest');
  expect(familiarString(withDefaultTag(parseReference(`a@sha256:${hex}`)))).toBe(`a@sha256:${hex}`);
  expect(familiarString(withTag(parseReference('a:1'), 'V2'))).toBe('a:V2');
  expect(() => withTag(parseReference('a'), '.x')).toThrow('invalid tag format');
});

describe('the reference filter is a glob over name or name and tag', () => {
  for (const [pattern, name, expected] of [
    ['busybox', 'busybox:1', true],
    ['busybox:1', 'busybox:1', true],
    ['busy*', 'busybox:1', true],
    ['*:1', 'busybox:1', true],
    ['*', 'me/app:1', false],
    ['me/*', 'me/app:1', true],
    ['*/app', 'me/app:1', true],
    ['a?p', 'app:1', true],
    ['[a-c]pp', 'app:1', true],
    ['[^a]pp', 'app:1', false],
    ['a\\*', 'a:1', false],
    ['*a*b*c', 'xaybzc:1', true],
    ['*a*b*c', 'xbyazc:1', false],
    ['**p*', 'app:1', true],
    ['a*', 'a/b:1', false],
    [`${'*a'.repeat(100)}b`, 'a'.repeat(200), false],
  ] as const) {
    test(`${pattern} on ${name}`, () => expect(matchesReference(pattern, parseReference(name))).toBe(expected));
  }
  for (const pattern of ['[', '[]', '[a', '[a-', 'a\\', '[-]']) {
    test(`bad: ${pattern}`, () => expect(() => compileGlob(pattern)).toThrow('syntax error in pattern'));
  }
});

test('digests', () => {
  expect(String(parseDigest(`sha256:${hex}`))).toBe(`sha256:${hex}`);
  for (const text of ['', 'sha256', 'sha256:', `sha256:${'A'.repeat(64)}`, `SHA256:${hex}`]) {
    expect(() => parseDigest(text)).toThrow('invalid checksum digest');
  }
});

test('fuzz: what parses prints to something that parses to the same; nothing else is thrown', () => {
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
  const piece = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.constantFrom('/', ':', '@', 'sha256:', hex, 'docker.io', 'library', '[::1]', '..', '__', 'A', '\u0000', '\n'),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const text = pieces.join('');
      let parsed: ReturnType<typeof parseReference>;
      try {
        parsed = parseReference(text);
      } catch (error) {
        expect(kindOf(error)).toBe('invalid-parameter');
        return;
      }
      expect(parseReference(canonicalString(parsed))).toEqual(parsed);
      if (!/^[a-f0-9]{64}$/.test(familiarString(parsed))) {
        expect(parseReference(familiarString(parsed))).toEqual(parsed);
      }
      expect(familiarName(parsed).length).toBeGreaterThan(0);
    }),
    { seed, numRuns: 3000 },
  );
});
