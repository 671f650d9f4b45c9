/** Unpacking and packing trees: what goes in comes out, and hostile archives stay inside. Needs root. */
import { afterAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as fc from 'fast-check';
import { BerthError } from '#errdefs/errors.ts';
import { file, tarOf, treeOf } from '#image/testing/archives.ts';
import { byteString, type EntryType, type TarEntry } from '#pkg/archive/entry.ts';
import { packTree } from '#pkg/archive/pack.ts';
import { TarParser } from '#pkg/archive/parser.ts';
import { ArchivePool } from '#pkg/archive/pool.ts';
import { Unpacker, type WhiteoutMode } from '#pkg/archive/unpack.ts';
import { plainEntry } from '#pkg/archive/writer.ts';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { lgetxattr, lsetxattr } from '#sys/xattrs.ts';

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-unpack-'));
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));
// The Worker has a umask of its own; here the process's is set for the time of the tests.
const umask = process.umask(0);
afterAll(() => process.umask(umask));

function unpack(tar: Buffer, directory: string, whiteouts: WhiteoutMode): void {
  fs.mkdirSync(directory, { recursive: true });
  using root = ownedFd(open(directory, O.PATH | O.DIRECTORY));
  using unpacker = new Unpacker({ root: root.fd, whiteouts });
  const parser = new TarParser(unpacker);
  for (let at = 0; at < tar.length; at += 10_000) parser.push(tar.subarray(at, at + 10_000));
  parser.finish();
  unpacker.finish();
}

function pack(directory: string, prefix = ''): Buffer {
  using root = ownedFd(open(directory, O.RDONLY | O.DIRECTORY));
  return Buffer.concat([...packTree({ root: root.fd, whiteouts: 'overlay', prefix })]);
}

test('a tree that is packed, unpacked and packed again is the same, and GNU tar agrees', () => {
  const tree = path.join(scratch, 'tree');
  fs.mkdirSync(path.join(tree, 'sub/deep'), { recursive: true });
  fs.writeFileSync(path.join(tree, 'sub/file'), 'x'.repeat(3_000_000));
  fs.writeFileSync(path.join(tree, 'empty'), '');
  fs.chmodSync(path.join(tree, 'empty'), 0o6755);
  fs.chownSync(path.join(tree, 'empty'), 5, 6);
  fs.chmodSync(path.join(tree, 'empty'), 0o6755);
  fs.linkSync(path.join(tree, 'sub/file'), path.join(tree, 'sub/deep/second'));
  fs.symlinkSync('t'.repeat(200), path.join(tree, 'long link'));
  fs.symlinkSync('nowhere', Buffer.from(`${tree}/not utf8 \xff\xfe`, 'latin1'));
  fs.writeFileSync(path.join(tree, 'ä'.repeat(100)), 'umlauts');
  Bun.spawnSync(['mknod', path.join(tree, 'dev'), 'c', '1', '3']);
  Bun.spawnSync(['mknod', path.join(tree, 'gone'), 'c', '0', '0']);
  Bun.spawnSync(['mkfifo', path.join(tree, 'fifo')]);
  for (const name of ['dev', 'gone', 'fifo']) fs.utimesSync(path.join(tree, name), 1_500_000_000, 1_500_000_000);
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
  lsetxattr(path.join(tree, 'sub/file'), 'security.capability', capability);
  lsetxattr(path.join(tree, 'sub'), 'trusted.overlay.opaque', Buffer.from('y'));
  fs.utimesSync(path.join(tree, 'sub'), 1_600_000_000, 1_600_000_000);

  const first = pack(tree);
  const again = path.join(scratch, 'again');
  unpack(first, again, 'overlay');
  expect(pack(again).equals(first)).toBe(true);
  expect(Buffer.from(lgetxattr(path.join(again, 'sub/file'), 'security.capability') ?? [])).toEqual(capability);
  expect(fs.lstatSync(path.join(again, 'empty')).mode & 0o7777).toBe(0o6755);
  expect(fs.lstatSync(path.join(again, 'sub/file')).nlink).toBe(2);
  expect(fs.lstatSync(path.join(again, 'sub')).mtimeMs).toBe(1_600_000_000_000);
  expect(fs.lstatSync(path.join(again, 'gone')).rdev).toBe(0);
  const listed = Bun.spawnSync(['tar', '-tf', '-'], { stdin: first, stdout: 'pipe' }).stdout.toString();
  expect(listed).toContain('.wh.gone\n');
  expect(listed).toContain('sub/.wh..wh..opq\n');
  expect(pack(tree, 'pre/fix/').toString('latin1')).toContain('pre/fix/sub/deep/second');
});

test('a copy by the pool is the same tree', async () => {
  const pool = new ArchivePool();
  const copy = path.join(scratch, 'copy');
  fs.mkdirSync(copy);
  await pool.copy(path.join(scratch, 'tree'), copy);
  expect(pack(copy).equals(pack(path.join(scratch, 'tree')))).toBe(true);
  pool.close();
});

test('whiteouts on a tree that has the lower files', () => {
  const tree = path.join(scratch, 'apply');
  const plain = tarOf([file('a/one', '1'), file('a/two', '2'), file('b/one', '1'), file('c', '3'), file('d/x', '')]);
  unpack(plain, tree, 'none');
  unpack(
    tarOf([
      file('a/.wh.one', ''),
      file('b/new', ''),
      file('b/.wh..wh..opq', ''),
      file('.wh.c', ''),
      file('.wh.d', ''),
      file('d/y', ''),
      file('.wh..wh.plnk', 'x'),
    ]),
    tree,
    'apply',
  );
  expect(treeOf(tree)).toEqual(['a', 'a/two', 'b', 'b/new', 'd', 'd/y']);
});

describe('hostile archives', () => {
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
  const canary = path.join(scratch, 'outside');
  fs.mkdirSync(canary);
  fs.writeFileSync(path.join(canary, 'file'), 'untouched');
  const canaryMode = fs.lstatSync(canary).mode;
  const name = fc.array(
    fc.constantFrom('a', 'b', 'l', '..', '.', '', '.wh.a', '.wh..wh..opq', '.wh...', 'x'.repeat(300)),
    {
      minLength: 1,
      maxLength: 4,
    },
  );
  const target = fc.oneof(
    name.map((parts) => parts.join('/')),
    fc.constantFrom(canary, `${canary}/file`, '../../outside', '../outside/file', '/', '/proc/self/root', '..'),
  );
  const entry = fc.record({
    name: fc.oneof(
      name.map((parts) => parts.join('/')),
      name.map((parts) => `/${parts.join('/')}`),
      fc.constantFrom('../outside/file', '../outside/new', `${canary}/file`, 'l/file', 'l/outside/file'),
    ),
    type: fc.constantFrom<EntryType>('file', 'directory', 'symlink', 'hardlink', 'fifo', 'character'),
    target,
    mode: fc.constantFrom(0o644, 0o755, 0o4755, 0o2777, 0),
  });

  test.each(['overlay', 'apply', 'none'] as const)(`stay inside (%s, seed ${seed})`, (whiteouts) => {
    let run = 0;
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 12 }), (entries) => {
        const members = entries
          .filter((e) => e.name.replaceAll('/', '') !== '')
          .map((e) => {
            const fields: Partial<TarEntry> & Pick<TarEntry, 'type'> = {
              type: e.type,
              mode: e.mode,
              linkPath: e.type === 'symlink' || e.type === 'hardlink' ? byteString(e.target) : '',
            };
            return e.type === 'file' ? file(e.name, 'evil', { mode: e.mode }) : { entry: plainEntry(e.name, fields) };
          });
        const tree = path.join(scratch, `hostile-${whiteouts}-${run++}`);
        try {
          unpack(tarOf(members), tree, whiteouts);
        } catch (error) {
          expect(error).toBeInstanceOf(BerthError);
        }
        expect(fs.readdirSync(canary)).toEqual(['file']);
        expect(fs.readFileSync(path.join(canary, 'file'), 'utf8')).toBe('untouched');
        expect(fs.lstatSync(path.join(canary, 'file')).nlink).toBe(1);
        expect(fs.lstatSync(canary).mode).toBe(canaryMode);
        fs.rmSync(tree, { recursive: true, force: true });
      }),
      { seed, numRuns: 300 },
    );
    expect(fs.readdirSync(scratch).filter((entryName) => entryName === 'new')).toEqual([]);
  });
});
