/**
 * What every graph driver must do, as one suite that is run for each of them. Needs root. Layers are written through
 * tar archives and the archive pool, as the engine does it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { kindOf } from '#errdefs/errors.ts';
import type { TarEntry } from '#pkg/archive/entry.ts';
import { ArchivePool } from '#pkg/archive/pool.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import { lgetxattr } from '#sys/xattrs.ts';
import type { GraphDriver } from '../driver.ts';

export interface TestedDriver extends GraphDriver {
  emptyTrash(): Promise<void>;
}

/** An id by a name. */
export const idOf = (name: string): string => createHash('sha256').update(name).digest('hex');

export interface Member {
  readonly entry: TarEntry;
  readonly bytes?: string;
}

export const file = (name: string, bytes: string, more: Partial<TarEntry> = {}): Member => ({
  entry: plainEntry(name, { type: 'file', size: Buffer.byteLength(bytes), ...more }),
  bytes,
});
export const directory = (name: string, more: Partial<TarEntry> = {}): Member => ({
  entry: plainEntry(name, { type: 'directory', ...more }),
});

export function tarOf(members: readonly Member[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const { entry, bytes } of members) {
    parts.push(formatEntry(entry));
    if (bytes !== undefined) parts.push(Buffer.from(bytes), Buffer.alloc(padding(Buffer.byteLength(bytes))));
  }
  return Buffer.concat([...parts, endOfArchive]);
}

export function graphDriverContract(name: string, open: (home: string, pool: ArchivePool) => TestedDriver): void {
  describe(`graph driver ${name}`, () => {
    let scratch = '';
    let driver: TestedDriver;
    const pool = new ArchivePool();

    const layer = async (id: string, parent: string | undefined, members: readonly Member[]): Promise<void> => {
      const archive = path.join(scratch, `${id}.tar`);
      fs.writeFileSync(archive, tarOf(members));
      await using target = await driver.diffTarget(id, parent);
      await pool.run({ kind: 'unpack', file: archive, target: target.path, whiteouts: target.whiteouts });
      await target.commit();
    };
    /** Runs `look` with the merged view's path. */
    const mounted = <T>(id: string, look: (root: string) => T): T => {
      using mount = driver.mount(id);
      return look(`/proc/self/fd/${mount.fd}`);
    };
    const tree = (root: string): string[] =>
      fs.readdirSync(`${root}/`, { recursive: true, encoding: 'utf8' }).sort((a, b) => (a < b ? -1 : 1));

    const base = idOf('base');
    const middle = idOf('middle');
    const top = idOf('top');

    beforeAll(async () => {
      scratch = fs.mkdtempSync(path.join(os.tmpdir(), `berth-${name}-`));
      driver = open(path.join(scratch, 'root', name), pool);
      await layer(base, undefined, [
        directory('etc'),
        file('etc/passwd', 'root:x:0:0'),
        file('etc/gone', 'x'),
        directory('data', { mode: 0o1777 }),
        file('data/old', 'old'),
        directory('data/deep'),
        file('data/deep/er', 'x'),
        file('tool', '#!', { mode: 0o4755, uid: 12, gid: 34, mtimeSeconds: 1_700_000_000, mtimeNanoseconds: 5 }),
        { entry: plainEntry('hard', { type: 'hardlink', linkPath: 'tool' }) },
        { entry: plainEntry('link', { type: 'symlink', linkPath: '/etc/passwd' }) },
        { entry: plainEntry('null', { type: 'character', mode: 0o666, deviceMajor: 1, deviceMinor: 3 }) },
        { entry: plainEntry('pipe', { type: 'fifo', mode: 0o622 }) },
        file('caps', 'x', { xattrs: new Map([['security.capability', CAPABILITY]]) }),
      ]);
      await layer(middle, base, [
        directory('etc'),
        file('etc/.wh.gone', ''),
        file('etc/new', 'new'),
        directory('data'),
        file('data/.wh..wh..opq', ''),
        file('data/fresh', 'fresh'),
      ]);
      await layer(top, middle, [file('.wh.tool', ''), directory('etc'), file('etc/passwd', 'changed')]);
      await driver.sync();
    });

    afterAll(async () => {
      await driver.emptyTrash();
      await driver.close();
      pool.close();
      fs.rmSync(scratch, { recursive: true, force: true });
    });

    test('files keep kind, mode, owner, time, links and attributes', () => {
      mounted(base, (root) => {
        const tool = fs.lstatSync(`${root}/tool`, { bigint: true });
        expect(Number(tool.mode) & 0o7777).toBe(0o4755);
        expect([tool.uid, tool.gid, tool.nlink]).toEqual([12n, 34n, 2n]);
        expect(tool.mtimeNs).toBe(1_700_000_000_000_000_005n);
        expect(fs.lstatSync(`${root}/hard`, { bigint: true }).ino).toBe(tool.ino);
        expect(fs.readlinkSync(`${root}/link`)).toBe('/etc/passwd');
        expect(fs.lstatSync(`${root}/null`).rdev).toBe(0x103);
        expect(fs.lstatSync(`${root}/pipe`).isFIFO()).toBe(true);
        expect(fs.lstatSync(`${root}/data`).mode & 0o7777).toBe(0o1777);
        expect(Buffer.from(lgetxattr(`${root}/caps`, 'security.capability') ?? [])).toEqual(CAPABILITY);
      });
    });

    test('a layer hides what it says of the layers below', () => {
      expect(mounted(middle, tree)).toEqual(
        ['caps', 'data', 'data/fresh', 'etc', 'etc/new', 'etc/passwd', 'hard', 'link', 'null', 'pipe', 'tool'].sort(
          (a, b) => (a < b ? -1 : 1),
        ),
      );
      mounted(top, (root) => {
        expect(fs.existsSync(`${root}/tool`)).toBe(false);
        expect(fs.readFileSync(`${root}/etc/passwd`, 'utf8')).toBe('changed');
      });
      mounted(base, (root) => expect(fs.readFileSync(`${root}/data/old`, 'utf8')).toBe('old'));
    });

    test('a read-only layer cannot be written through its mount', () => {
      mounted(top, (root) => expect(() => fs.writeFileSync(`${root}/x`, '')).toThrow('EROFS'));
    });

    test('changes of a read-write layer, its size, and nothing below is touched', async () => {
      const id = idOf('rw-changes');
      await driver.createReadWrite(id, middle);
      mounted(id, (root) => {
        fs.writeFileSync(`${root}/etc/passwd`, 'mine');
        fs.writeFileSync(`${root}/added`, '12345');
        fs.linkSync(`${root}/added`, `${root}/added2`);
        fs.rmSync(`${root}/data/fresh`);
        fs.mkdirSync(`${root}/dir`);
        fs.writeFileSync(`${root}/dir/inner`, '');
      });
      expect(await driver.changes(id)).toEqual([
        { path: '/added', kind: 1 },
        { path: '/added2', kind: 1 },
        { path: '/data', kind: 0 },
        { path: '/data/fresh', kind: 2 },
        { path: '/dir', kind: 1 },
        { path: '/dir/inner', kind: 1 },
        { path: '/etc/passwd', kind: 0 },
      ]);
      expect(await driver.diffSize(id)).toBe(4 + 5);
      mounted(middle, (root) => expect(fs.readFileSync(`${root}/etc/passwd`, 'utf8')).toBe('root:x:0:0'));
      // A directory that was removed and made again hides what it had.
      mounted(id, (root) => {
        fs.rmSync(`${root}/etc`, { recursive: true });
        fs.mkdirSync(`${root}/etc`);
        fs.writeFileSync(`${root}/etc/only`, '');
      });
      const after = (await driver.changes(id)).filter((change) => change.path.startsWith('/etc'));
      expect(after).toContainEqual({ path: '/etc/new', kind: 2 });
      expect(after).toContainEqual({ path: '/etc/only', kind: 1 });
      expect(after).toContainEqual({ path: '/etc/passwd', kind: 2 });
      await driver.remove(id);
    });

    test('a fresh read-write layer has no changes and no size', async () => {
      const id = idOf('rw-fresh');
      await driver.createReadWrite(id, top);
      expect(driver.isReadWrite(id)).toBe(true);
      expect(driver.isReadWrite(top)).toBe(false);
      mounted(id, (root) => expect(fs.statSync(root).mode & 0o7777).toBe(0o755));
      expect(await driver.changes(id)).toEqual([]);
      expect(await driver.diffSize(id)).toBe(0);
      await driver.remove(id);
      expect(driver.exists(id)).toBe(false);
      await driver.remove(id);
    });

    test('two mounts of a read-write layer are one', async () => {
      const id = idOf('rw-two');
      await driver.createReadWrite(id, undefined);
      {
        using first = driver.mount(id);
        using second = driver.mount(id);
        fs.writeFileSync(`/proc/self/fd/${first.fd}/a`, 'seen');
        expect(fs.readFileSync(`/proc/self/fd/${second.fd}/a`, 'utf8')).toBe('seen');
      }
      mounted(id, (root) => expect(fs.readFileSync(`${root}/a`, 'utf8')).toBe('seen'));
      await driver.remove(id);
    });

    test('a layer that was not committed leaves nothing; an id is taken once', async () => {
      const id = idOf('dropped');
      {
        await using target = await driver.diffTarget(id, base);
        fs.writeFileSync(path.join(target.path, 'x'), '');
      }
      expect(driver.exists(id)).toBe(false);
      await driver.emptyTrash();
      expect(fs.readdirSync(path.join(scratch, 'root', name)).filter((entry) => entry.startsWith('tmp-'))).toEqual([]);
      expect(await driver.diffTarget(base, undefined).catch(kindOf)).toBe('conflict');
      const orphan = async (): Promise<void> => {
        await using target = await driver.diffTarget(idOf('orphan'), idOf('nobody'));
        await target.commit();
      };
      expect(await orphan().catch(kindOf)).toBe('not-found');
    });

    test('what a crash left is swept, what exists stays', async () => {
      const home = path.join(scratch, 'root', name);
      fs.mkdirSync(path.join(home, 'tmp-crashed', 'x'), { recursive: true });
      const ids = driver.list();
      await driver.sweep();
      await driver.emptyTrash();
      expect(fs.existsSync(path.join(home, 'tmp-crashed'))).toBe(false);
      expect(driver.list()).toEqual(ids);
      mounted(top, (root) => expect(fs.existsSync(`${root}/etc/new`)).toBe(true));
    });

    test('a layer that nobody knows is set aside whole', async () => {
      const id = idOf('rw-aside');
      await driver.createReadWrite(id, base);
      mounted(id, (root) => fs.writeFileSync(`${root}/precious`, 'data'));
      driver.setAside(id, path.join(scratch, 'lost+found'));
      expect(driver.exists(id)).toBe(false);
      const [found] = fs
        .readdirSync(path.join(scratch, 'lost+found'), { recursive: true, encoding: 'utf8' })
        .filter((p) => p.endsWith('/precious'));
      expect(found).toBeDefined();
    });

    test('removing while nobody looks is seen by a reopened driver', async () => {
      const id = idOf('reopened');
      await layer(id, base, [file('f', '1')]);
      const other = open(path.join(scratch, 'root', name), pool);
      expect(other.exists(id)).toBe(true);
      await other.remove(id);
      expect(driver.exists(id)).toBe(false);
      await other.close();
    });
  });
}

/** cap_net_raw=ep as the kernel stores it: zero bytes, which text-minded tar libraries lose. */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
