import { afterAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { close, open, readAll, writeAll } from './files.ts';
import { O } from './numbers.ts';
import {
  createFileInRoot,
  mkdirAllInRoot,
  openInRoot,
  openParentInRoot,
  realPathOf,
  splitPath,
  tryOpenInRoot,
} from './safe-path.ts';

const directory = mkdtempSync(`${tmpdir()}/berth-safe-path-`);
const root = `${directory}/root`;
mkdirSync(`${root}/etc`, { recursive: true });
writeFileSync(`${root}/etc/name`, 'inside');
writeFileSync(`${directory}/name`, 'outside');
symlinkSync('/etc', `${root}/absolute`);
symlinkSync('../../../../..', `${root}/up`);
symlinkSync('../name', `${root}/escaping`);
symlinkSync('loop', `${root}/loop`);
const rootFd = open(root, O.PATH | O.DIRECTORY);

afterAll(() => {
  close(rootFd);
  rmSync(directory, { recursive: true });
});

function textAt(path: string): string {
  const fd = openInRoot(rootFd, path, O.RDONLY);
  const text = Buffer.from(readAll(fd)).toString();
  close(fd);
  return text;
}

test.each(['etc/name', '/etc/name', '/absolute/name', '/up/etc/name', '/../../etc/name'])(
  '"%s" is found inside',
  (path) => {
    expect(textAt(path)).toBe('inside');
  },
);

test('nothing outside is reached', () => {
  expect(tryOpenInRoot(rootFd, '/escaping', O.RDONLY)).toBeUndefined();
  expect(() => textAt('/loop')).toThrow('ELOOP');
});

test('a file is made only where nothing lies in the way', () => {
  const fd = createFileInRoot(rootFd, '/absolute/made/file');
  writeAll(fd, Buffer.from('x'));
  close(fd);
  expect(readFileSync(`${root}/etc/made/file`, 'utf8')).toBe('x');
  expect(() => createFileInRoot(rootFd, '/escaping')).toThrow('EEXIST');
  expect(() => openInRoot(rootFd, 'x', O.WRONLY | O.CREAT)).toThrow('O_EXCL');
});

test('missing directories are made inside and told', () => {
  const made: string[] = [];
  const fd = mkdirAllInRoot(rootFd, '/up/a/./b', { made: (_, path) => made.push(path) });
  expect(realPathOf(fd)).toBe(`${root}/a/b`);
  close(fd);
  expect(made).toEqual(['/up/a', '/up/a/b']);
  close(mkdirAllInRoot(rootFd, '/'));
});

test('the last name is split off', () => {
  expect(splitPath('/a/b/')).toEqual(['/a/', 'b']);
  expect(splitPath('b')).toEqual(['/', 'b']);
  expect(() => openParentInRoot(rootFd, '/a/..')).toThrow('names no file');
});
