import { expect, test } from 'bun:test';
import { TOML } from 'bun';
import { canonicalString, parseReference } from './reference.ts';
import { candidatesOf, decodeRegistriesConf, locate, ruleFor } from './registries-conf.ts';

const conf = decodeRegistriesConf(
  TOML.parse(`
unqualified-search-registries = ["registry.corp.example", "docker.io"]
short-name-mode = "permissive"

[[registry]]
prefix = "docker.io/library"
location = "mirror.corp.example:5000/hub"

[[registry]]
prefix = "docker.io/library/bad"
blocked = true

[[registry]]
prefix = "*.evil.example"
blocked = true

[[registry]]
location = "plain.example:5000"
insecure = true
[[registry.mirror]]
location = "near.example"

[aliases]
"fedora" = "registry.fedoraproject.org/fedora"
"team/app" = "registry.corp.example/team/app"
`),
);

const candidates = (text: string): string[] => candidatesOf(conf, text).map(canonicalString);

test('short names: an alias, else the registries to search; others mean themselves', () => {
  expect(candidates('fedora:42')).toEqual(['registry.fedoraproject.org/fedora:42']);
  expect(candidates('team/app')).toEqual(['registry.corp.example/team/app']);
  expect(candidates('busybox')).toEqual(['registry.corp.example/busybox', 'docker.io/library/busybox']);
  expect(candidates('docker.io/busybox')).toEqual(['docker.io/library/busybox']);
  expect(candidates('localhost/x')).toEqual(['localhost/x']);
  expect(candidates('localhost:5000/x')).toEqual(['localhost:5000/x']);
});

test('rules by the longest prefix: blocked, elsewhere, insecure', () => {
  const rule = (text: string) => ruleFor(conf, parseReference(text));
  expect(rule('bad:1')?.blocked).toBe(true);
  expect(rule('badder')?.blocked).toBe(false);
  expect(rule('x.evil.example:443/y')?.blocked).toBe(true);
  expect(rule('evil.example/y')).toBeUndefined();
  expect(rule('plain.example:5000/a')).toMatchObject({ insecure: true, mirrors: [{ location: 'near.example' }] });
  expect(rule('plain.example/a')).toBeUndefined();
  const reference = parseReference('busybox:1.36');
  const found = ruleFor(conf, reference);
  expect(found === undefined ? '' : canonicalString(locate(found, reference))).toBe(
    'mirror.corp.example:5000/hub/busybox:1.36',
  );
});

test.each([
  ['registries = { search = {} }', 'version 1'],
  ['unqualified-search-registries = "x"', 'no list'],
  ['[[registry]]\nblocked = true', 'neither prefix nor location'],
  ['[aliases]\nx = 3', 'aliases: x'],
])('%p is refused', (text, message) => {
  expect(() => decodeRegistriesConf(TOML.parse(text))).toThrow(message);
});
