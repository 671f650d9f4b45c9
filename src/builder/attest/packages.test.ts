import { expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { apkPackages, dpkgPackages, npmPackage } from './packages.ts';

test('dpkg: what is installed, with its source', () => {
  const found = dpkgPackages(
    'Package: libc6\nStatus: install ok installed\nSource: glibc (2.36)\nVersion: 2.36-9\nArchitecture: amd64\nDescription: x\n more: y\n\n' +
      'Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: distroless\nVersion: 3\n',
    '/p',
  );
  expect(found.map(({ name, version, source }) => [name, version, source])).toEqual([
    ['libc6', '2.36-9', 'glibc'],
    ['distroless', '3', undefined],
  ]);
});

test('apk: letters, and nothing of its files', () => {
  const found = apkPackages('C:Q1\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:P:evil\n\nP:half\n\n', '/p');
  expect(found.map(({ name, version, license }) => [name, version, license])).toEqual([['musl', '1.2.4-r2', 'MIT']]);
});

test('npm: a name and a version make a package', () => {
  expect(npmPackage('{"name":"a","version":"1","license":"ISC"}', '/p')).toMatchObject({ name: 'a', license: 'ISC' });
  for (const text of ['{', '[]', 'null', '{"name":"a"}', '{"name":1,"version":"1"}'])
    expect(npmPackage(text, '/p')).toBeUndefined();
});

test('anything is read', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('\n', ' ', 'P:', 'Package: ', 'V:1', '{', 'a', '\0'), { maxLength: 40 }),
      (pieces) => {
        const text = pieces.join('');
        for (const read of [dpkgPackages, apkPackages]) expect(Array.isArray(read(text, '/p'))).toBe(true);
        npmPackage(text, '/p');
      },
    ),
  );
});
