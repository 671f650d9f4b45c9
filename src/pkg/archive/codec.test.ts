import { describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import zlib from 'node:zlib';
import * as fc from 'fast-check';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { type Compression, createInflater, detectCompression } from './compression.ts';
import type { EntryType, TarEntry } from './entry.ts';
import { cleanPath, whiteoutTarget } from './names.ts';
import { TarParser } from './parser.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from './writer.ts';

interface Read {
  entry: TarEntry;
  pieces: { position: number; bytes: Buffer }[];
  ended: boolean;
}

function parse(archive: Buffer, pieceSize = archive.length): Read[] {
  const reads: Read[] = [];
  const last = (): Read => {
    const read = reads.at(-1);
    if (read === undefined) throw new Error('no entry');
    return read;
  };
  const parser = new TarParser({
    entry: (entry) => reads.push({ entry, pieces: [], ended: false }),
    data: (chunk, start, end, position) =>
      last().pieces.push({ position, bytes: Buffer.from(chunk.subarray(start, end)) }),
    end: () => {
      last().ended = true;
    },
  });
  for (let at = 0; at < archive.length; at += pieceSize) parser.push(archive.subarray(at, at + pieceSize));
  parser.finish();
  return reads;
}

const contents = (read: Read): Buffer => {
  const file = Buffer.alloc(read.entry.size);
  for (const piece of read.pieces) piece.bytes.copy(file, piece.position);
  return file;
};

function archiveOf(entries: readonly { entry: TarEntry; bytes?: Buffer }[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const { entry, bytes } of entries) {
    parts.push(formatEntry(entry));
    if (bytes !== undefined) parts.push(bytes, Buffer.alloc(padding(bytes.length)));
  }
  return Buffer.concat([...parts, endOfArchive]);
}

const failure = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return `${kindOf(error)}: ${messageOf(error)}`;
  }
  return 'no failure';
};

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
const byteText = (maxLength: number) =>
  fc
    .uint8Array({ minLength: 1, maxLength })
    .map((bytes) => Buffer.from(bytes).toString('latin1').replaceAll('\0', '_'));

const anyEntry = fc.record({
  path: byteText(300).map((name) => name.replace(/\/+$/, '') || 'x'),
  type: fc.constantFrom<EntryType>('file', 'directory', 'symlink', 'hardlink', 'character', 'block', 'fifo'),
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
  gid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
  mtimeSeconds: fc.integer({ min: -(2 ** 34), max: 2 ** 34 }),
  mtimeNanoseconds: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 })),
  linkPath: byteText(200),
  device: fc.integer({ min: 0, max: 0xfff }),
  xattrs: fc.dictionary(
    fc.constantFrom('user.a', 'security.capability', 'user.long'),
    fc.uint8Array({ maxLength: 400 }),
  ),
  bytes: fc.uint8Array({ maxLength: 2000 }),
  piece: fc.integer({ min: 1, max: 3000 }),
});

test(`fuzz: what is written is read back, however it is cut (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.array(anyEntry, { maxLength: 5 }), fc.integer({ min: 1, max: 3000 }), (records, piece) => {
      const entries = records.map((r) => {
        const isDevice = r.type === 'character' || r.type === 'block';
        const attributes = new Map(Object.entries(r.xattrs).map(([k, v]) => [k, Buffer.from(v)]));
        const entry: TarEntry = {
          path: r.path,
          type: r.type,
          mode: r.mode,
          uid: r.uid,
          gid: r.gid,
          size: r.type === 'file' ? r.bytes.length : 0,
          mtimeSeconds: r.mtimeSeconds,
          mtimeNanoseconds: r.mtimeNanoseconds,
          linkPath: r.type === 'symlink' || r.type === 'hardlink' ? r.linkPath : '',
          deviceMajor: isDevice ? r.device : 0,
          deviceMinor: isDevice ? r.device : 0,
          xattrs: attributes.size === 0 ? undefined : attributes,
          sparse: undefined,
        };
        return r.type === 'file' ? { entry, bytes: Buffer.from(r.bytes) } : { entry };
      });
      const reads = parse(archiveOf(entries), piece);
      expect(reads.length).toBe(entries.length);
      for (const [i, { entry, bytes }] of entries.entries()) {
        const read = reads[i];
        if (read === undefined) throw new Error('missing');
        const wanted = entry.type === 'directory' ? { ...entry, path: `${entry.path}/` } : entry;
        expect({ ...read.entry, xattrs: Object.fromEntries(read.entry.xattrs ?? []) }).toEqual({
          ...wanted,
          xattrs: Object.fromEntries(wanted.xattrs ?? []),
        });
        expect(read.ended).toBe(true);
        if (bytes !== undefined) expect(contents(read).equals(bytes)).toBe(true);
      }
    }),
    { seed, numRuns: 300 },
  );
});

test(`fuzz: damaged archives fail cleanly or are read (seed ${seed})`, () => {
  const whole = archiveOf([
    { entry: plainEntry('dir', { type: 'directory' }) },
    { entry: plainEntry('n'.repeat(150), { type: 'file', size: 700 }), bytes: Buffer.alloc(700, 1) },
    { entry: plainEntry('l', { type: 'symlink', linkPath: 'x'.repeat(120) }) },
  ]);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.nat(whole.length),
      fc.integer({ min: 1, max: 2000 }),
      (changes, length, piece) => {
        const damaged = Buffer.from(whole.subarray(0, length));
        for (const [at, byte] of changes) if (at < length) damaged[at] = byte;
        expect(failure(() => parse(damaged, piece))).toMatch(/^(no failure|data-loss: )/);
      },
    ),
    { seed, numRuns: 2000 },
  );
});

test('a truncated archive is told', () => {
  const whole = archiveOf([{ entry: plainEntry('f', { type: 'file', size: 1000 }), bytes: Buffer.alloc(1000) }]);
  for (const length of [100, 512, 513, 1511]) {
    expect(failure(() => parse(whole.subarray(0, length)))).toBe('data-loss: unexpected EOF');
  }
  for (const length of [0, 1512, 1536, 2048, 2560]) {
    expect(failure(() => parse(whole.subarray(0, length)))).toBe('no failure');
  }
  const longName = formatEntry(plainEntry('n'.repeat(300), { type: 'file' }));
  expect(failure(() => parse(longName.subarray(0, longName.length - 512)))).toBe('data-loss: unexpected EOF');
});

test('hostile sizes are refused before memory is taken', () => {
  const header = (change: (block: Buffer) => void): Buffer => {
    const block = formatEntry(plainEntry('x', { type: 'file', size: 1 }));
    change(block);
    block.fill(0x20, 148, 156);
    let sum = 0;
    for (const byte of block) sum += byte;
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
    return block;
  };
  const base256 = (block: Buffer, ...bytes: number[]): void => {
    block.fill(0, 124, 136);
    block.set(bytes, 124);
  };
  expect(
    failure(() => parse(header((b) => base256(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 255, 255, 255, 255)))),
  ).toContain('invalid tar header (size)');
  expect(
    failure(() => parse(header((b) => base256(b, 0x80, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 255, 255, 255, 255)))),
  ).toContain('invalid tar header (size)');
  for (const flag of ['x', 'g', 'L', 'K']) {
    const block = header((b) => {
      b.write(flag, 156, 1, 'latin1');
      b.write('77777777777\0', 124, 12, 'latin1');
    });
    expect(failure(() => parse(block))).toContain('invalid tar header (header of');
  }
  expect(failure(() => parse(header((b) => b.write('V', 156, 1, 'latin1'))))).toBe(
    'data-loss: unhandled tar header type 86',
  );
});

describe('archives of GNU tar', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-tar-'));
  process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
  const tree = path.join(directory, 'tree');
  fs.mkdirSync(tree);
  const sparse = fs.openSync(path.join(tree, 'sparse'), 'w');
  for (const at of [0, 1 << 20, 3 << 20]) fs.writeSync(sparse, Buffer.alloc(4096, 7), 0, 4096, at);
  fs.ftruncateSync(sparse, 5 << 20);
  fs.closeSync(sparse);
  // More pieces than the header and one extension block hold.
  const holes = fs.openSync(path.join(tree, 'holes'), 'w');
  for (let n = 0; n < 40; n++) fs.writeSync(holes, Buffer.alloc(4096, n + 1), 0, 4096, n * 65_536);
  fs.closeSync(holes);
  fs.writeFileSync(path.join(tree, 'plain'), 'text');
  const deep = path.join(tree, 'd'.repeat(90), 'e'.repeat(90));
  fs.mkdirSync(deep, { recursive: true });
  fs.writeFileSync(path.join(deep, 'f'.repeat(120)), 'deep');
  fs.symlinkSync('t'.repeat(150), path.join(tree, 'link'));
  fs.linkSync(path.join(tree, 'plain'), path.join(tree, 'second'));

  for (const format of [
    ['--format=gnu', '--sparse'],
    ['--format=pax', '--sparse', '--sparse-version=0.0'],
    ['--format=pax', '--sparse', '--sparse-version=0.1'],
    ['--format=pax', '--sparse', '--sparse-version=1.0'],
    ['--format=gnu'],
    ['--format=pax', '--pax-option=globexthdr.comment=x'],
  ]) {
    test(format.join(' '), () => {
      const made = Bun.spawnSync(['tar', '-C', tree, '-c', ...format, '.'], { stdout: 'pipe', stderr: 'pipe' });
      expect(made.exitCode).toBe(0);
      for (const piece of [1 << 20, 1000]) {
        const reads = new Map(parse(Buffer.from(made.stdout), piece).map((read) => [read.entry.path, read]));
        for (const name of ['sparse', 'holes', 'plain']) {
          const read = reads.get(`./${name}`) ?? reads.get('./second');
          if (read === undefined) throw new Error(name);
          if (read.entry.type === 'file') {
            expect(contents(read).equals(fs.readFileSync(path.join(tree, name)))).toBe(true);
          }
          if (format.includes('--sparse') && name !== 'plain') expect(read.entry.sparse).toBeDefined();
        }
        expect(reads.get(`./${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(120)}`)?.entry.size).toBe(4);
        expect(reads.get('./link')?.entry.linkPath).toBe('t'.repeat(150));
        const types = ['./plain', './second'].map((name) => reads.get(name)?.entry.type);
        expect(new Set(types)).toEqual(new Set(['file', 'hardlink']));
      }
    });
  }
});

describe('inflating', () => {
  const text = Buffer.from('hello world '.repeat(100_000));
  const inflate = (bytes: Buffer, piece: number, kind: Compression = detectCompression(bytes)): Buffer => {
    const out: Buffer[] = [];
    const inflater = createInflater(kind, Buffer.alloc(65_536), (b) => out.push(Buffer.from(b)));
    for (let at = 0; at < bytes.length; at += piece) inflater.push(bytes.subarray(at, at + piece));
    inflater.finish();
    return Buffer.concat(out);
  };
  const gzip = zlib.gzipSync(text);
  const zstd = zlib.zstdCompressSync(text);
  for (const [name, bytes, expected] of [
    ['plain', text, text],
    ['gzip', gzip, text],
    ['gzip, two members', Buffer.concat([gzip, gzip]), Buffer.concat([text, text])],
    ['gzip, zeros after it', Buffer.concat([gzip, Buffer.alloc(700)]), text],
    ['zstd', zstd, text],
    ['zstd, two frames', Buffer.concat([zstd, zstd]), Buffer.concat([text, text])],
  ] as const) {
    for (const piece of [13, 4096, 1 << 22]) {
      test(`${name}, pieces of ${piece}`, () => expect(inflate(bytes, piece).equals(expected)).toBe(true));
    }
  }
  const broken = Buffer.from(gzip);
  broken[broken.length - 6] = (broken[broken.length - 6] ?? 0) ^ 1;
  for (const [name, bytes, message] of [
    ['truncated', gzip.subarray(0, gzip.length - 3), 'gzip: unexpected end of file'],
    ['wrong checksum', broken, 'gzip: incorrect data check'],
    ['junk after it', Buffer.concat([gzip, Buffer.from('junk')]), 'gzip: '],
    ['zstd, junk after it', Buffer.concat([zstd, Buffer.from('junk')]), 'zstd: '],
  ] as const) {
    test(`${name} is refused`, () => expect(failure(() => inflate(bytes, 4096))).toContain(message));
  }
});

test('paths are cleaned and those that leave the tree are told', () => {
  for (const [given, cleaned] of [
    ['a/b', 'a/b'],
    ['./a//b/', 'a/b'],
    ['/a', 'a'],
    ['.', ''],
    ['a/../b', 'b'],
    ['/../../a', 'a'],
    ['../a', undefined],
    ['a/../../b', undefined],
    ['a\0b', undefined],
    ['n'.repeat(256), undefined],
    ['a/'.repeat(2100), undefined],
  ] as const) {
    expect(cleanPath(given)).toBe(cleaned);
  }
  expect(whiteoutTarget('.wh.a')).toBe('a');
  for (const name of ['.wh.', '.wh..', '.wh...']) expect(whiteoutTarget(name)).toBeUndefined();
});
