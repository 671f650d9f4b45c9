/** What mounts we lean on: detached overlays, their look-up from outside, and the way of kernels before 6.8. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { close, fstatfs, open, readAll, writeAll } from '#sys/files.ts';
import { bindDetached, detachedDevpts, detachedOverlay, detachedTmpfs, openPty } from '#sys/mounts.ts';
import { O } from '#sys/numbers.ts';
import { overlayByMount } from '#sys/old-overlay.ts';
import { createFileInRoot, openInRoot } from '#sys/safe-path.ts';

const LAYERS = 126;
let directory: string;
const lower: string[] = [];

beforeAll(() => {
  directory = mkdtempSync(`${tmpdir()}/berth-runtime-mounts-`);
  for (let i = 0; i < LAYERS; i++) {
    const path = `${directory}/layers/a-rather-long-name-of-a-layer-${i}/diff`;
    mkdirSync(path, { recursive: true });
    writeFileSync(`${path}/top`, `layer ${i}`);
    writeFileSync(`${path}/only-${i}`, String(i));
    lower.push(path);
  }
  for (const name of ['upper', 'work', 'upper2', 'work2']) mkdirSync(`${directory}/${name}`);
});
afterAll(() => rmSync(directory, { recursive: true }));

function textAt(root: number, path: string): string {
  const fd = openInRoot(root, path, O.RDONLY);
  const text = Buffer.from(readAll(fd)).toString();
  close(fd);
  return text;
}

const ways = [
  ['fsconfig', detachedOverlay, 'upper', 'work'],
  ['mount(2) in a child', overlayByMount, 'upper2', 'work2'],
] as const;

test.each(ways)('an overlay of %s is in no mount table, has all layers and takes writes', (_, make, upper, work) => {
  const before = readFileSync('/proc/self/mountinfo', 'utf8');
  const root = make({ lower, upper: `${directory}/${upper}`, work: `${directory}/${work}`, options: { index: 'off' } });
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(before);
  expect(textAt(root, '/top')).toBe('layer 0');
  expect(textAt(root, `/only-${LAYERS - 1}`)).toBe(String(LAYERS - 1));
  const fd = createFileInRoot(root, '/etc/new');
  writeAll(fd, Buffer.from('written'));
  close(fd);
  close(root);
  expect(readFileSync(`${directory}/${upper}/etc/new`, 'utf8')).toBe('written');
});

test('the way through a child tells what failed', () => {
  const request = {
    lower: lower.slice(0, 1),
    upper: `${directory}/upper`,
    work: `${directory}/work`,
    options: { nonsense: 'x' },
  };
  expect(() => overlayByMount(request)).toThrow('mount overlay "overlay": EINVAL');
  expect(() => overlayByMount({ lower: [`${directory}/nowhere`] })).toThrow('ENOENT');
});

test('tmpfs, devpts and binds are detached and of the kind they should be', () => {
  const tmpfs = detachedTmpfs({ mode: '1777', size: '64k' });
  expect(fstatfs(tmpfs).type).toBe(0x01021994);
  const devpts = detachedDevpts();
  const { master, slave } = openPty(devpts);
  writeAll(slave, Buffer.from('x\n'));
  const bind = bindDetached(directory, { readOnly: true });
  expect(() => open(`/proc/self/fd/${bind}/new`, O.WRONLY | O.CREAT | O.EXCL)).toThrow('EROFS');
  for (const fd of [tmpfs, devpts, master, slave, bind]) close(fd);
});

test('as many layers as the kernel stacks, by mount(2)', () => {
  const lower = Array.from({ length: 499 }, (_, n) => {
    const layer = `${directory}/many-${n}`;
    mkdirSync(layer);
    writeFileSync(`${layer}/f${n}`, '');
    return layer;
  });
  const fd = overlayByMount({ lower });
  expect(readdirSync(`/proc/self/fd/${fd}/`).length).toBe(499);
  close(fd);
}, 60_000);
