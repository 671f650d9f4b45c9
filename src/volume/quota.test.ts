import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { GraphDb } from '#graphdb/graphdb.ts';
import { ProjectIds } from '#graphdb/project-ids.ts';
import { interpose } from '#sys/call.ts';
import { errnoNumber } from '#sys/errno.ts';
import { IOCTL, NR } from '#sys/numbers.ts';
import { LocalVolumes } from './local.ts';
import { VolumeQuota } from './quota.ts';
import { Volumes } from './volumes.ts';

let directory: string;
let db: GraphDb;
let hook: Disposable | undefined;
/** Bytes by project. */
let limits: Map<number, number>;
let projects: Map<string, number>;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-volume-quota-'));
  db = GraphDb.open(path.join(directory, 'graph.db'));
  limits = new Map();
  projects = new Map();
});
afterEach(() => {
  hook?.[Symbol.dispose]();
  hook = undefined;
  db[Symbol.dispose]();
  fs.rmSync(directory, { recursive: true });
});

/** An ext4 with project quotas, as far as quotactl and the inode's attributes go. */
function withQuotas(): void {
  hook = interpose((nr, args, proceed) => {
    const bytes = args.find((a): a is Uint8Array => a instanceof Uint8Array);
    if (bytes === undefined) return proceed();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (nr === NR.fstatfs) {
      view.setBigUint64(0, 0xef53n, true);
      return 0;
    }
    if (nr === NR.quotactl_fd) {
      const command = Number(args[1]) >>> 8;
      const project = Number(args[2]);
      if (command === 0x5805) view.setUint16(2, 0x30, true);
      if (command === 0x800008) limits.set(project, Number(view.getBigUint64(0, true)) * 1024);
      if (command === 0x800007 && !limits.has(project)) return -errnoNumber('ENOENT');
      return 0;
    }
    if (nr !== NR.ioctl) return proceed();
    const place = fs.readlinkSync(`/proc/self/fd/${Number(args[0])}`);
    if (args[1] === IOCTL.FS_IOC_FSGETXATTR) view.setUint32(12, projects.get(place) ?? 0, true);
    else projects.set(place, view.getUint32(12, true));
    return 0;
  });
}

function volumes(): Volumes {
  const root = path.join(directory, 'volumes');
  const local = new LocalVolumes({
    root,
    lostAndFound: path.join(directory, 'lost+found'),
    copy: () => Promise.resolve(),
  });
  const quota = new VolumeQuota(root, new ProjectIds(db, directory));
  const drivers = {
    get: () => Promise.reject(new Error('no driver')),
    all: () => Promise.resolve({ drivers: [], warnings: [] }),
    names: () => [],
  };
  return new Volumes({ local, db, quota, drivers });
}

const limited = () => [...limits.values()].filter((bytes) => bytes > 0);

test('without project quotas a size is refused with the reason, and nothing is made', async () => {
  hook = interpose((nr, args, proceed) => {
    const bytes = args.find((a): a is Uint8Array => a instanceof Uint8Array);
    if (nr !== NR.fstatfs || bytes === undefined) return proceed();
    new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(0, 0x01021994n, true);
    return 0;
  });
  const store = volumes();
  const failed = await store.create({ name: 'v1', options: { size: '1m' } }).catch((error: unknown) => error);
  expect(String(failed)).toContain('create v1: quota size requested but no quota support: ');
  expect(store.list()).toEqual([]);
});

test('a size limits the directory; rename keeps it, removal gives it back', async () => {
  withQuotas();
  const store = volumes();
  await store.create({ name: 'one', options: { size: '10m' } });
  await store.create({ name: 'two', options: { size: '20m' } });
  expect(limited()).toEqual([10 * 2 ** 20, 20 * 2 ** 20]);
  const project = projects.get(store.mountpoint('one'));
  expect(project).toBeGreaterThan(0);
  await store.rename('one', 'other');
  // Another one of the old name has a project of its own.
  await store.create({ name: 'one', options: { size: '30m' } });
  expect(projects.get(store.mountpoint('one'))).not.toBe(project);
  await store.remove('other');
  await store.remove('two');
  expect(limited()).toEqual([30 * 2 ** 20]);
});

test('a volume that arrives with contents is limited before they come; one that fails leaves no limit', async () => {
  withQuotas();
  const store = volumes();
  const request = { name: 'filled', options: { size: '5m' } };
  const failed = await store
    .createFilled(request, () => {
      expect(limited()).toEqual([5 * 2 ** 20]);
      return Promise.reject(new Error('no room'));
    })
    .catch((error: unknown) => error);
  expect(String(failed)).toContain('no room');
  expect([limited(), store.list()]).toEqual([[], []]);
  // What a crash has left to nobody is given back at the next start.
  new ProjectIds(db, directory).take('volume/nobody', () => true);
  store.restore();
  expect(new ProjectIds(db, directory).owners()).toEqual([]);
});
