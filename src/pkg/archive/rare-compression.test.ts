/** xz and bzip2, whose decoders are ours: files of the reference programs, in pieces of any size, and damaged ones. */
import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as fc from 'fast-check';
import { BerthError } from '#errdefs/errors.ts';
import { createInflater, detectCompression } from './compression.ts';

const WORDS = '6aa1de4306fef33d34ae4df95de90bebd133be0f7a83cd0b1719481424d9f58b';
const fixture = (name: string): Buffer => fs.readFileSync(path.join(import.meta.dirname, 'testdata', name));

function inflate(bytes: Buffer, piece: number): Buffer {
  const out: Buffer[] = [];
  const inflater = createInflater(detectCompression(bytes), Buffer.alloc(4096), (b) => out.push(Buffer.from(b)));
  for (let at = 0; at < bytes.length; at += piece) inflater.push(bytes.subarray(at, at + piece));
  inflater.finish();
  return Buffer.concat(out);
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** words.xz: `xz -9e` but for a small dictionary; the second has other checks, blocks, contexts, and zeros in between. */
const files = ['words.xz', 'words-two-streams.xz', 'words.bz2'];

for (const name of files) {
  describe(name, () => {
    const packed = fixture(name);

    test.each([1, 13, 4096, 1 << 22])('in pieces of %i', (piece) => {
      expect(digest(inflate(packed, piece))).toBe(WORDS);
    });

    test('any truncation and any wrong bit is told', () => {
      for (let length = 7; length < packed.length; length += 151) {
        expect(() => inflate(packed.subarray(0, length), 4096)).toThrow(BerthError);
      }
      for (let at = 0; at < packed.length; at += 37) {
        const broken = Buffer.from(packed);
        broken[at] = (broken[at] ?? 0) ^ (1 << (at & 7));
        // A bit that nothing depends on (unused codes of bzip2's tables) may stay unseen; wrong content may not.
        let content: Buffer | undefined;
        try {
          content = inflate(broken, 4096);
        } catch (error) {
          expect(error).toBeInstanceOf(BerthError);
        }
        // A damaged magic is no compression at all.
        if (content !== undefined && detectCompression(broken) !== 'plain') expect(digest(content)).toBe(WORDS);
      }
    }, 60_000);

    test('what comes after it', () => {
      expect(digest(inflate(Buffer.concat([packed, Buffer.alloc(512)]), 4096))).toBe(WORDS);
      expect(() => inflate(Buffer.concat([packed, Buffer.from('junk and more junk')]), 4096)).toThrow(
        'data after the end of the stream',
      );
    });
  });
}

test('random bytes after each magic end in an error of ours', () => {
  const magics = [fixture('words.xz').subarray(0, 30), fixture('words.bz2').subarray(0, 14)];
  fc.assert(
    fc.property(fc.constantFrom(...magics), fc.uint8Array({ minLength: 40, maxLength: 4000 }), (magic, rest) => {
      expect(() => inflate(Buffer.concat([magic, rest]), 1000)).toThrow(BerthError);
    }),
    { numRuns: 100 },
  );
}, 60_000);

test('a dictionary that is too large, and filters for machine code, are refused by name', () => {
  const blockHeader = (filters: readonly number[]): Buffer => {
    const header = Buffer.alloc(12);
    header[0] = 2;
    header.set(filters, 1);
    header.writeUInt32LE(Bun.hash.crc32(header.subarray(0, 8)), 8);
    return Buffer.concat([fixture('words.xz').subarray(0, 12), header]);
  };
  expect(() => inflate(blockHeader([0, 0x21, 1, 40]), 4096)).toThrow('a dictionary of more than 256 MiB');
  expect(() => inflate(blockHeader([1, 4, 0, 0x21, 1, 10]), 4096)).toThrow('filters other than LZMA2');
});
