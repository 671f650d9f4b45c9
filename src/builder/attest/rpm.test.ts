/** Packages of rpm: a database that rpm 4.18 has made, with a header that needs further pages; and damaged ones. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { gunzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { BerthError } from '#errdefs/errors.ts';
import { rpmPackages } from './rpm.ts';

const database = gunzipSync(fs.readFileSync(path.join(import.meta.dirname, 'testdata/rpmdb.sqlite.gz')));

test('what rpm says is installed', () => {
  const found = rpmPackages(database, '/p');
  const common = {
    kind: 'rpm',
    architecture: 'noarch',
    license: 'MIT and (GPL-2.0+ or BSD)',
    path: '/p',
  };
  const expected = [1, 2, 3].map((i) => ({
    ...common,
    name: `pkg-${i}`,
    version: `1.${i}-${i}`,
    epoch: i === 2 ? '7' : undefined,
    supplier: `Makers of ${i}`,
    source: `pkg-${i}-1.${i}-${i}.src.rpm`,
  }));
  expect(found.sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual(expected as typeof found);
});

test('no bytes crash it, or keep it busy: it says packages, or what is wrong', () => {
  const pages = Math.floor(database.length / 4096);
  fc.assert(
    fc.property(
      fc.array(fc.record({ page: fc.nat(pages - 1), at: fc.oneof(fc.nat(127), fc.nat(4095)), byte: fc.nat(255) }), {
        minLength: 1,
        maxLength: 12,
      }),
      fc.option(fc.nat(database.length), { freq: 4 }),
      (changes, cut) => {
        const bytes = Buffer.from(database);
        for (const { page, at, byte } of changes) bytes[page * 4096 + at] = byte;
        try {
          rpmPackages(cut === null ? bytes : bytes.subarray(0, cut), '/p');
        } catch (error) {
          expect(error).toBeInstanceOf(BerthError);
        }
      },
    ),
    { numRuns: 300 },
  );
});
