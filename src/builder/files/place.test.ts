/** What is counted for the cache and what arrives, file by file; whole builds are in test/integration/builder. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { lgetxattr, lsetxattr } from '#sys/xattrs.ts';
import { digest } from './digest.ts';
import type { PlaceJob, Selection } from './jobs.ts';
import { place } from './place.ts';

const step = (): void => undefined;
let directory = '';
let from = -1;
let to = -1;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-place-'));
  for (const name of ['from', 'to']) fs.mkdirSync(path.join(directory, name));
  from = open(path.join(directory, 'from'), O.PATH | O.DIRECTORY);
  to = open(path.join(directory, 'to'), O.PATH | O.DIRECTORY);
});

afterEach(() => {
  close(from);
  close(to);
  fs.rmSync(directory, { recursive: true, force: true });
});

const source = (name: string): string => path.join(directory, 'from', name);
const target = (name: string): string => path.join(directory, 'to', name);

function selection(name: string): Selection {
  return { root: from, sources: [name], wildcards: false, ignore: [], exclude: [], parents: false };
}

function copy(name: string, destination: string, change: Partial<PlaceJob> = {}): void {
  const owner = { uid: 0, gid: 0 };
  const job = {
    kind: 'place',
    selection: selection(name),
    target: to,
    destination,
    owner,
    parentOwner: owner,
  } as const;
  place({ ...job, intoDirectory: false, mode: undefined, timeNs: undefined, ...change }, step);
}

function digestOf(name: string): string {
  return digest({ kind: 'digest', selection: selection(name), owners: false, archives: false }, step).digest;
}

test('a file that is named itself keeps its attributes, mode and time, and they count', () => {
  fs.writeFileSync(source('app'), 'program');
  fs.chmodSync(source('app'), 0o4755);
  fs.utimesSync(source('app'), 1000, 1000);
  const plain = digestOf('app');
  lsetxattr(source('app'), 'user.berth', Buffer.from('one'));
  const attributed = digestOf('app');
  expect(attributed).not.toBe(plain);
  lsetxattr(source('app'), 'user.berth', Buffer.from('two'));
  expect(digestOf('app')).not.toBe(attributed);
  fs.utimesSync(source('app'), 1000, 1000);
  copy('app', '/bin/app');
  const status = fs.statSync(target('bin/app'));
  expect([status.mode & 0o7777, status.mtimeMs]).toEqual([0o4755, 1_000_000]);
  expect(Buffer.from(lgetxattr(target('bin/app'), 'user.berth') ?? []).toString()).toBe('two');
});

test('files of a directory arrive as they are: empty, small, larger than a piece, with attributes and several names', () => {
  const large = Buffer.alloc((300 << 10) + 7, 'berth');
  fs.writeFileSync(source('empty'), '');
  fs.writeFileSync(source('small'), 'small');
  fs.writeFileSync(source('large'), large);
  fs.linkSync(source('small'), source('smaller'));
  lsetxattr(source('large'), 'user.berth', Buffer.from('kept'));
  copy('.', '/app');
  expect(fs.readFileSync(target('app/empty'), 'utf8')).toBe('');
  expect(fs.readFileSync(target('app/small'), 'utf8')).toBe('small');
  expect(fs.readFileSync(target('app/large')).equals(large)).toBe(true);
  expect(fs.statSync(target('app/small')).ino).toBe(fs.statSync(target('app/smaller')).ino);
  expect(Buffer.from(lgetxattr(target('app/large'), 'user.berth') ?? []).toString()).toBe('kept');
});

test('what is in the way of a file is replaced, a link not followed; a directory is refused', () => {
  fs.writeFileSync(source('a'), 'new');
  fs.writeFileSync(target('a'), 'longer than new');
  copy('a', '/a');
  expect(fs.readFileSync(target('a'), 'utf8')).toBe('new');
  fs.writeFileSync(path.join(directory, 'outside'), 'kept');
  fs.mkdirSync(target('d'));
  fs.symlinkSync(path.join(directory, 'outside'), target('d/a'));
  copy('.', '/d');
  expect(fs.lstatSync(target('d/a')).isFile()).toBe(true);
  expect(fs.readFileSync(path.join(directory, 'outside'), 'utf8')).toBe('kept');
  fs.mkdirSync(target('e/a'), { recursive: true });
  expect(() => copy('.', '/e')).toThrow('cannot copy a file over the directory');
});

test('the content of each kind of size counts', () => {
  const digests = new Set<string>();
  for (const text of ['', 'a', 'b', 'x'.repeat(3 << 20), `${'x'.repeat((3 << 20) - 1)}y`]) {
    fs.writeFileSync(source('f'), text);
    digests.add(digestOf('.'));
  }
  expect(digests.size).toBe(5);
});
