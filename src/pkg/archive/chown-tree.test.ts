import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { interpose } from '#sys/call.ts';
import { close, open } from '#sys/files.ts';
import { AT, NR, O } from '#sys/numbers.ts';
import { chownTree, refuseHostDirectories } from './chown-tree.ts';
import { removeTree } from './remove-tree.ts';

let directory: string;
let tree: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-chown-'));
  tree = path.join(directory, 'tree');
  fs.mkdirSync(path.join(tree, 'sub/deep'), { recursive: true });
  fs.writeFileSync(path.join(tree, 'sub/file'), '');
  fs.writeFileSync(path.join(directory, 'outside'), '');
});
// Not rmSync: for a deep tree it takes seconds.
afterEach(() => removeTree(AT.FDCWD, Buffer.from(`${directory}\0`)));

/** Paths whose owner is changed. Needs no root: the calls are only recorded. */
function changed(top = tree): string[] {
  const given: string[] = [];
  using _ = interpose((nr, args, proceed) => {
    if (nr !== NR.fchownat) return proceed();
    expect(args.slice(2, 4)).toEqual([4711, 4712]);
    given.push(fs.readlinkSync(`/proc/self/fd/${Number(args[0])}`).slice(directory.length + 1));
    return 0;
  });
  const fd = open(top, O.PATH);
  try {
    chownTree(fd, { uid: 4711, gid: 4712 }, () => undefined);
  } finally {
    close(fd);
  }
  return given.sort();
}

test('everything gets the owner, links themselves and not what they lead to', () => {
  fs.symlinkSync('/etc/passwd', path.join(tree, 'link'));
  fs.symlinkSync('..', path.join(tree, 'sub/up'));
  expect(changed()).toEqual(['tree', 'tree/link', 'tree/sub', 'tree/sub/deep', 'tree/sub/file', 'tree/sub/up']);
  expect(changed(path.join(directory, 'outside'))).toEqual(['outside']);
});

test('a file with a name outside is left, one whose names are all inside is not', () => {
  fs.linkSync(path.join(directory, 'outside'), path.join(tree, 'planted'));
  fs.linkSync(path.join(tree, 'sub/file'), path.join(tree, 'sub/deep/again'));
  const names = changed();
  expect(names).not.toContain('tree/planted');
  expect(names.filter((name) => /file|again/.test(name))).toHaveLength(1);
});

test('a tree that is too deep is refused', () => {
  let at = tree;
  for (let i = 0; i < 1002; i++) {
    at += '/d';
    fs.mkdirSync(at);
  }
  expect(() => changed()).toThrow('deeper than 1000');
});

test('what the host lives on is refused', () => {
  for (const name of ['/', '/etc', '/usr/lib', '/var/lib'])
    expect(() => refuseHostDirectories(name)).toThrow(`changing the owners of host path "${name}" is not allowed`);
  refuseHostDirectories('/srv/data');
});
