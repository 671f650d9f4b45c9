/** Each call of an operation is made to fail once: nothing stays open, nothing half-made stays. Needs root. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { BerthError } from '#errdefs/errors.ts';
import { directory, file, idOf, tarOf } from '#graphdriver/testing/contract.ts';
import { OverlayDriver } from '#graphdriver/overlay.ts';
import { packTree } from '#pkg/archive/pack.ts';
import { TarParser } from '#pkg/archive/parser.ts';
import { ArchivePool } from '#pkg/archive/pool.ts';
import { Unpacker } from '#pkg/archive/unpack.ts';
import { plainEntry } from '#pkg/archive/writer.ts';
import { interpose } from '#sys/call.ts';
import { SysError } from '#sys/errno.ts';
import { open, ownedFd } from '#sys/files.ts';
import { NR, O } from '#sys/numbers.ts';
import { userNamespace } from '#sys/user-namespace.ts';

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-faults-'));
const pool = new ArchivePool();
let driver: OverlayDriver;
const base = idOf('fault base');
const container = idOf('fault container');

const tar = tarOf([
  directory('d'),
  file('d/f', 'x', { uid: 3, gid: 4, mode: 0o4755, xattrs: new Map([['user.a', Buffer.from('b')]]) }),
  { entry: plainEntry('l', { type: 'symlink', linkPath: 'd' }) },
  { entry: plainEntry('h', { type: 'hardlink', linkPath: 'd/f' }) },
  { entry: plainEntry('p', { type: 'fifo' }) },
  file('l/through', 'y'),
  file('d', 'now a file'),
  file('.wh.gone', ''),
  file('new/.wh..wh..opq', ''),
]);

beforeAll(async () => {
  driver = OverlayDriver.open(path.join(scratch, 'overlay'), pool);
  await using target = await driver.diffTarget(base, undefined);
  fs.writeFileSync(path.join(target.path, 'below'), '');
  fs.mkdirSync(path.join(target.path, 'sub'));
  await target.commit();
  await driver.createReadWrite(container, base);
  using mount = driver.mount(container);
  fs.writeFileSync(`/proc/self/fd/${mount.fd}/sub/above`, '');
  fs.rmSync(`/proc/self/fd/${mount.fd}/below`);
});
afterAll(async () => {
  await driver.close();
  pool.close();
  fs.rmSync(scratch, { recursive: true, force: true });
});

const openFds = (): string[] =>
  fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [`${fd} ${fs.readlinkSync(`/proc/self/fd/${fd}`)}`];
    } catch {
      // The descriptor of this very listing.
      return [];
    }
  });

const text = '0 100000 65536\n4294967294 0 1\n';
const maps = { uids: text, gids: text };

const usesZygote = (operation: string): boolean => /ids|maps/.test(operation);

let run = 0;
const operations: Readonly<Record<string, () => unknown>> = {
  'mount of a read-only layer': () => driver.mount(base)[Symbol.dispose](),
  'mount of a read-write layer': () => driver.mount(container)[Symbol.dispose](),
  'a user namespace that holds maps': () => userNamespace(maps)[Symbol.dispose](),
  'mount of a read-write layer with other ids': () => {
    using namespace = userNamespace(maps);
    driver.mount(container, { usernsFd: namespace.fd })[Symbol.dispose]();
  },
  changes: () => driver.changes(container),
  'size of a difference': () => driver.diffSize(container),
  unpack: () => {
    const target = path.join(scratch, `unpacked-${run++}`);
    fs.mkdirSync(target);
    using root = ownedFd(open(target, O.PATH | O.DIRECTORY));
    using unpacker = new Unpacker({ root: root.fd, whiteouts: 'overlay' });
    const parser = new TarParser(unpacker);
    parser.push(tar);
    parser.finish();
    unpacker.finish();
  },
  pack: () => {
    using root = ownedFd(open(path.join(scratch, 'overlay'), O.RDONLY | O.DIRECTORY));
    return Buffer.concat([...packTree({ root: root.fd, whiteouts: 'overlay', prefix: '' })]).length;
  },
};

describe.each(Object.keys(operations))('%s', (name) => {
  test('each call fails once', async () => {
    const operation = operations[name];
    if (operation === undefined) throw new Error(name);
    let calls = 0;
    {
      using _ = interpose((_nr, _args, proceed) => {
        calls += 1;
        return proceed();
      });
      await operation();
    }
    expect(calls).toBeGreaterThan(0);
    const before = openFds();
    for (let k = 1; k <= calls; k++) {
      let n = 0;
      let failure: unknown;
      {
        using _ = interpose((nr, _args, proceed) => {
          n += 1;
          // A close that fails has closed (and close is what undoes the rest).
          return n === k && nr !== NR.close ? -5 : proceed();
        });
        try {
          await operation();
        } catch (error) {
          failure = error;
        }
      }
      if (failure !== undefined) expect(failure instanceof SysError || failure instanceof BerthError).toBe(true);
      if (!usesZygote(name)) expect(openFds()).toEqual(before);
      else {
        // A zygote whose answer did not come is given up: the next one has other descriptors, but as many.
        await operation();
        expect(openFds()).toHaveLength(before.length);
      }
    }
    console.log(`${name}: ${calls} calls`);
  });
});
