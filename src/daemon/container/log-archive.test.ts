import { afterEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { type ArchivedLog, LogArchive } from './log-archive.ts';

const places: string[] = [];
afterEach(() => {
  for (const place of places.splice(0)) fs.rmSync(place, { recursive: true });
});

function scratch(): string {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-archive-'));
  places.push(place);
  return place;
}

const id = (n: number) => String(n).padStart(64, '0');

/** A container's directory with a log of files of the given sizes, the newest first. */
function container(place: string, n: number, sizes: readonly number[], suffix = ''): [string, ArchivedLog] {
  const directory = path.join(place, `c${n}`);
  fs.mkdirSync(directory);
  const fileName = `${id(n)}-json.log`;
  sizes.forEach((size, i) => {
    fs.writeFileSync(path.join(directory, i === 0 ? fileName : `${fileName}.${i}${suffix}`), 'x'.repeat(size));
  });
  fs.writeFileSync(path.join(directory, 'hosts'), 'other');
  return [directory, { id: id(n), name: `n${n}`, driver: 'json-file', fileName, maxFiles: 5 }];
}

test('the oldest go when all together are too large, and what is too old', () => {
  const place = scratch();
  const budget = { sizeBytesMax: 100, ageMsMax: 1000 };
  const archive = new LogArchive(path.join(place, 'archive'), () => budget);
  archive.keep(...container(place, 1, [30, 10]), 10);
  archive.keep(...container(place, 2, [40], '.gz'), 20);
  const names = (nowMs: number) => archive.list(nowMs).map(({ log }) => log.name);
  expect(names(30)).toEqual(['n1', 'n2']);
  archive.keep(...container(place, 3, [50]), 40);
  expect(names(50)).toEqual(['n2', 'n3']);
  expect(names(1030)).toEqual(['n3']);
  // Another daemon finds them on the disk.
  expect(new LogArchive(path.join(place, 'archive'), () => budget).list(1030).map(({ log }) => log.name)).toEqual([
    'n3',
  ]);
  expect(names(2000)).toEqual([]);
  expect(fs.readdirSync(path.join(place, 'archive'))).toEqual([]);
});

test('of a log that is too large the newest files; an empty one is not kept; nothing but the log is taken', () => {
  const place = scratch();
  const archive = new LogArchive(path.join(place, 'archive'), () => ({ sizeBytesMax: 100, ageMsMax: 1000 }));
  const [directory, log] = container(place, 1, [60, 30, 20], '.gz');
  archive.keep(directory, log, 1);
  const [kept] = archive.list(2);
  expect(fs.readdirSync(kept?.directory ?? '').sort()).toEqual(
    [log.fileName, `${log.fileName}.1.gz`, 'log.json'].sort(),
  );
  expect(fs.readdirSync(directory).sort()).toEqual([`${log.fileName}.2.gz`, 'hosts'].sort());
  archive.keep(...container(place, 2, [0]), 3);
  archive.keep(...container(place, 3, []), 3);
  archive.keep(path.join(place, 'not-there'), log, 3);
  expect(archive.list(4).length).toBe(1);
  const off = new LogArchive(path.join(place, 'off'), () => ({ sizeBytesMax: 0, ageMsMax: 1000 }));
  off.keep(...container(place, 4, [10]), 1);
  expect(fs.existsSync(path.join(place, 'off'))).toBe(false);
});
