import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { interpose } from '#sys/call.ts';
import { open, ownedFd } from '#sys/files.ts';
import { NR, O } from '#sys/numbers.ts';
import type { TarEntry } from './entry.ts';
import { TarParser } from './parser.ts';
import { Unpacker } from './unpack.ts';
import { endOfArchive, formatEntry, plainEntry } from './writer.ts';

const OTHER = 4711;

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'unpack-owners-'));
});
afterEach(() => fs.rmSync(root, { recursive: true }));

const file = (name: string, fields: Partial<TarEntry> = {}) => plainEntry(name, { type: 'file', ...fields });
const directory = (name: string, fields: Partial<TarEntry> = {}) => plainEntry(name, { type: 'directory', ...fields });

function unpack(...entries: readonly TarEntry[]): void {
  using fd = ownedFd(open(root, O.PATH | O.DIRECTORY));
  using unpacker = new Unpacker({ root: fd.fd, whiteouts: 'none', into: 'replace' });
  const parser = new TarParser(unpacker);
  parser.push(Buffer.concat([...entries.map((entry) => formatEntry(entry)), endOfArchive]));
  parser.finish();
  unpacker.finish();
}

const owners = (name: string): string => {
  const { uid, gid, mode } = fs.statSync(path.join(root, name));
  return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
};

test('a directory that hands its group on does not do so to what is unpacked into it', () => {
  fs.mkdirSync(path.join(root, 'theirs'));
  fs.chownSync(path.join(root, 'theirs'), 0, OTHER);
  fs.chmodSync(path.join(root, 'theirs'), 0o2777);
  unpack(file('a'), file('theirs/a'), file('theirs/b'), file('b'), file('theirs/c', { gid: OTHER + 1 }));
  for (const name of ['a', 'theirs/a', 'theirs/b', 'b']) expect(owners(name)).toBe('0:0 644');
  expect(owners('theirs/c')).toBe(`0:${OTHER + 1} 644`);
});

test('nor when it begins to between two files of the archive', () => {
  unpack(
    ...[directory('d'), file('d/a'), directory('d', { gid: OTHER, mode: 0o2755 }), file('d/b'), file('d/c')],
    ...[directory('e'), file('e/a'), directory('f', { gid: OTHER, mode: 0o2755 }), file('f/a')],
    ...[file('e/b'), plainEntry('e', { type: 'symlink', linkPath: 'f' }), file('e/c')],
  );
  for (const name of ['d/b', 'd/c', 'f/a', 'f/c']) expect(owners(name)).toBe('0:0 644');
});

test('owners and the bits that depend on them are those of the archive', () => {
  unpack(
    ...[file('a'), file('setuid', { mode: 0o4755 }), file('b', { uid: OTHER, gid: OTHER }), file('c')],
    ...[file('setgid', { uid: OTHER, mode: 0o6711 }), file('d', { gid: OTHER })],
  );
  expect(['a', 'setuid', 'b', 'c', 'setgid', 'd'].map((name) => owners(name))).toEqual([
    ...['0:0 644', '0:0 4755', `${OTHER}:${OTHER} 644`, '0:0 644', `${OTHER}:0 6711`, `0:${OTHER} 644`],
  ]);
});

test('files of one directory that are right already are not given to anybody', () => {
  let chowns = 0;
  using _counted = interpose((nr, _args, proceed) => {
    if (nr === NR.fchown) chowns += 1;
    return proceed();
  });
  unpack(directory('d'), ...Array.from({ length: 50 }, (_, i) => file(`d/${i}`)));
  expect(chowns).toBe(0);
});
