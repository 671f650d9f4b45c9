/** Trees that are kept: what comes is compared, what is new is appended, what is hostile is refused. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { ownedFd } from '#sys/files.ts';
import type { TarEntry } from '../entry.ts';
import { TarParser } from '../parser.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '../writer.ts';
import { KeptIndex } from './kept-index.ts';
import { KeptReceiver, type KeptSummary } from './receive.ts';

let directory = '';
let contents = -1;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-kept-'));
  contents = fs.openSync(path.join(directory, 'contents'), 'w+');
});
afterEach(() => {
  fs.closeSync(contents);
  fs.rmSync(directory, { recursive: true });
});

type Member = Partial<TarEntry> & Pick<TarEntry, 'type'> & { readonly name: string; readonly text?: string };

function tarOf(members: readonly Member[]): Buffer {
  const pieces = members.flatMap(({ name, text = '', ...fields }) => {
    const bytes = Buffer.from(text);
    const header = formatEntry(plainEntry(name, { ...fields, size: bytes.length }));
    return fields.type === 'file' ? [header, bytes, Buffer.alloc(padding(bytes.length))] : [header];
  });
  return Buffer.concat([...pieces, endOfArchive]);
}

let turn = 0;

interface Kept {
  readonly summary: KeptSummary;
  readonly index: string;
}

/** In pieces that are no multiple of anything. */
function receive(members: readonly Member[], base: Kept | undefined, changes: boolean): Kept {
  const index = path.join(directory, `index-${turn++}`);
  using receiver = new KeptReceiver({
    base: () => (base === undefined ? undefined : KeptIndex.read(base.index)),
    changes,
    contents,
    at: base?.summary.end ?? 0,
    nowSeconds: 5,
  });
  const parser = new TarParser(receiver);
  const tar = tarOf(members);
  for (let at = 0; at < tar.length; at += 777) parser.push(tar.subarray(at, at + 777));
  parser.finish();
  const summary = receiver.finish(index, () => ownedFd(fs.openSync(path.join(directory, 'spare'), 'wx+')));
  return { summary, index: summary.changed ? index : (base?.index ?? index) };
}

function textOf(kept: Kept, name: string): string | undefined {
  const entry = KeptIndex.read(kept.index).entries.get(name);
  if (entry === undefined) return undefined;
  const bytes = Buffer.alloc(entry.size);
  fs.readSync(contents, bytes, 0, entry.size, entry.offset);
  expect(new Bun.CryptoHasher('sha256').update(bytes).digest('hex')).toBe(entry.hash);
  return bytes.toString();
}

const big = 'b'.repeat(3000);
const first: readonly Member[] = [
  { type: 'directory', name: 'd', mode: 0o700 },
  { type: 'file', name: 'd/big', text: big },
  { type: 'file', name: 'd/small', text: 'small' },
  { type: 'symlink', name: 'link', linkPath: 'd/small' },
  { type: 'file', name: 'implied/file', text: 'x' },
];

test('the same again writes nothing; what differs late keeps its beginning; what is left out is gone', () => {
  const kept = receive(first, undefined, false);
  expect(kept.summary).toMatchObject({ entries: 6, files: 3, written: 3006, changed: true, plain: true });
  expect(
    KeptIndex.read(kept.index)
      .children('d')
      .map(({ path }) => path),
  ).toEqual(['d/big', 'd/small']);
  expect(KeptIndex.read(kept.index).entries.get('implied')).toMatchObject({ type: 'directory', mtimeSeconds: 5 });
  const again = receive(first, kept, false);
  expect(again.summary).toMatchObject({ written: 0, changed: false, end: 3006 });
  const changed = `${'b'.repeat(2990)}different!`;
  const next = receive([{ type: 'file', name: 'd/big', text: changed }], kept, false);
  expect(next.summary).toMatchObject({ entries: 2, written: 3000, changed: true });
  expect(textOf(next, 'd/big')).toBe(changed);
  // Whoever has the old index sees what it says.
  expect(textOf(kept, 'd/big')).toBe(big);
});

test('changes: new, gone with all that is in it, only attributes; none at all', () => {
  const kept = receive(first, undefined, false);
  const none = receive([], kept, true);
  expect(none.summary).toMatchObject({ untouched: true, changed: false, end: kept.summary.end });
  const next = receive(
    [
      { type: 'character', name: 'implied' },
      { type: 'hardlink', name: 'd/small', linkPath: 'd/small', mode: 0o755, mtimeSeconds: 9 },
      { type: 'file', name: 'link', text: 'no link now' },
    ],
    kept,
    true,
  );
  expect([...KeptIndex.read(next.index).entries.keys()].sort()).toEqual(['d', 'd/big', 'd/small', 'link']);
  expect(KeptIndex.read(next.index).entries.get('d/small')).toMatchObject({ mode: 0o755, mtimeSeconds: 9 });
  expect([textOf(next, 'd/small'), textOf(next, 'link'), next.summary.written]).toEqual(['small', 'no link now', 11]);
  // What changed makes the same of the tree before as the index that was written says.
  const before = KeptIndex.read(kept.index);
  before.children('');
  const { delta } = next.summary;
  const made = before.changed(delta ?? { put: [], gone: [] });
  const written = KeptIndex.read(next.index);
  expect(made.entries.size).toBe(written.entries.size);
  for (const [path, entry] of written.entries) expect(made.entries.get(path)).toEqual(entry);
  for (const directory of ['', 'd', 'implied']) expect(made.children(directory)).toEqual(written.children(directory));
  expect(made.entries.get('d/big')).toBe(before.entries.get('d/big'));
  expect([kept.summary.delta, none.summary.delta]).toEqual([undefined, undefined]);
});

test('what nothing names any more is left behind when it is much', () => {
  const blob = 'x'.repeat(40 << 20);
  const kept = receive([{ type: 'file', name: 'a', text: blob }], undefined, false);
  const second = receive([{ type: 'file', name: 'a', text: blob.replace('x', 'y') }], kept, false);
  const third = receive([{ type: 'file', name: 'a', text: 'little' }], second, false);
  expect([second.summary.compacted, third.summary.compacted, third.summary.end]).toEqual([false, true, 6]);
  expect(fs.readFileSync(path.join(directory, 'spare'), 'utf8')).toBe('little');
});

test('what is more than files, directories and links is kept, and said', () => {
  const kept = receive([...first, { type: 'hardlink', name: 'second', linkPath: 'd/big' }], undefined, false);
  expect(kept.summary.plain).toBe(false);
  expect(textOf(kept, 'second')).toBe(big);
  const xattrs = new Map([['user.a', Buffer.from('b')]]);
  expect(receive([{ type: 'file', name: 'f', text: 'f', xattrs }], undefined, false).summary.plain).toBe(false);
  expect(receive([{ type: 'fifo', name: 'f' }], undefined, false).summary.plain).toBe(false);
});

test('names that lead out or below a file are refused; an archive that ends early leaves nothing', () => {
  const bad: readonly (readonly Member[])[] = [
    [{ type: 'file', name: '../out', text: 'x' }],
    [
      { type: 'symlink', name: 'd', linkPath: '/' },
      { type: 'file', name: 'd/passwd', text: 'x' },
    ],
    [{ type: 'hardlink', name: 'h', linkPath: '../../etc/passwd' }],
  ];
  for (const members of bad) expect(() => receive(members, undefined, false)).toThrow();
  expect(() => receive([{ type: 'hardlink', name: 'f', linkPath: 'f' }], undefined, true)).toThrow('there is no file');
  const kept = receive(first, undefined, false);
  {
    using receiver = new KeptReceiver({
      base: () => undefined,
      changes: false,
      contents,
      at: kept.summary.end,
      nowSeconds: 0,
    });
    const parser = new TarParser(receiver);
    const tar = tarOf([{ type: 'file', name: 'f', text: 'y'.repeat(3 << 20) }]);
    parser.push(tar.subarray(0, 2 << 20));
  }
  expect(fs.fstatSync(contents).size).toBe(kept.summary.end);
});
