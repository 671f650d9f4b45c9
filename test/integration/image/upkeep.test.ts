/** What Berth has for images beyond Docker: plans, locks, the trash, the budget, trees and differences. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { file, tarOf } from '#image/testing/archives.ts';
import { writeArchive } from '../../support/base-images.ts';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const BUSYBOX = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

/** An image of its own layer. */
async function make(name: string, bytes: number, layers: readonly Buffer[] = []): Promise<string> {
  const own = tarOf([file(`of-${name.replace(/\W/g, '-')}`, Buffer.alloc(bytes, name))]);
  const archive = writeArchive(`upkeep-${process.pid}-${name.replace(/\W/g, '-')}.tar`, {
    reference: name,
    layers: [...layers, own],
  });
  await d.must(['load', '-q', '-i', archive.path]);
  fs.rmSync(archive.path);
  return archive.id;
}

async function berth(...args: string[]): Promise<string> {
  const result = await d.berth(args);
  if (result.code !== 0) throw new Error(`berth ${args.join(' ')}: ${result.code}\n${result.stdout}${result.stderr}`);
  return result.stdout.trimEnd();
}

const names = async (): Promise<string[]> => {
  const text = await d.must(['images', '--format', '{{.Repository}}:{{.Tag}}']);
  return text
    .split('\n')
    .filter((name) => name !== BUSYBOX && name !== '')
    .sort();
};

async function configure(images: Record<string, unknown>): Promise<void> {
  fs.writeFileSync(path.join(d.directory, 'daemon.json'), JSON.stringify({ images }));
  await d.restart('SIGTERM');
}

test('a locked image stays whoever forces it, also in a prune', async () => {
  const id = await make('lock/a:1', 1000);
  expect(await berth('image', 'lock', 'lock/a:1')).toBe('lock/a:1');
  const short = id.slice(7, 19);
  for (const args of [['lock/a:1'], ['-f', 'lock/a:1'], ['-f', short]]) {
    const refused = await d.docker(['rmi', ...args]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`unable to delete ${short} (cannot be forced) - image is locked`);
  }
  await d.restart();
  await d.must(['image', 'prune', '-af']);
  expect(await names()).toEqual(['lock/a:1']);
  await berth('image', 'unlock', 'lock/a:1');
  expect(await d.must(['rmi', 'lock/a:1'])).toContain(`Deleted: ${id}`);
}, 60_000);

test('a plan shows what a prune would take, and takes nothing', async () => {
  await make(BUSYBOX.replace('busybox', 'other'), 3000);
  await d.must(['create', '--network', 'none', '--name', 'plan-user', 'berth.test/other:1', 'x']);
  await make('plan/a:1', 5000);
  const plan = await berth('image', 'prune', '-a', '--plan', '--filter', 'label!=x');
  expect(plan).toContain('plan/a:1');
  expect(plan).not.toContain('berth.test/other:1');
  expect(plan).toMatch(/Would be removed: \d images?, /);
  expect(await berth('image', 'prune', '--plan')).toMatch(/^Would be removed: 0 images, 0B of /);
  expect(await names()).toContain('plan/a:1');
  expect((await d.berth(['image', 'prune', '--plan', '--filter', 'nonsense=1'])).stderr).toContain('nonsense');
  await d.must(['rm', 'plan-user']);
  await d.must(['rmi', 'plan/a:1', 'berth.test/other:1']);
}, 60_000);

test('what was removed comes back with its names, also after a restart, until its time is over', async () => {
  await configure({ trash: '1h' });
  const id = await make('trash/a:1', 2000);
  await d.must(['tag', 'trash/a:1', 'trash/a:2']);
  await d.must(['rmi', 'trash/a:2', 'trash/a:1']);
  expect(await names()).toEqual([]);
  await d.restart();
  expect(await berth('image', 'trash')).toMatch(/trash\/a:1 .*rmi/);
  expect(await berth('image', 'undo', 'trash/a:1')).toBe('Restored: trash/a:1');
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', 'trash/a:1'])).toBe(id);
  expect((await d.berth(['image', 'undo'])).stderr).toContain('no removal of images that can be undone');

  // A name that means something else by now is left with it.
  await d.must(['rmi', 'trash/a:1']);
  const other = await make('trash/a:1', 2001);
  const undone = await d.berth(['image', 'undo']);
  expect(undone.stdout).toBe(`Restored: ${id}\n`);
  expect(undone.stderr).toContain('trash/a:1 means another image by now');
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', 'trash/a:1'])).toBe(other);

  await d.must(['image', 'prune', '-af']);
  expect(await berth('image', 'trash')).toContain('prune');
  expect(await berth('image', 'trash', '--empty')).toMatch(/^Emptied: \d+$/);
  expect(await berth('image', 'trash', '-q')).toBe('');
  const blobs = path.join(d.dataRoot, 'content/blobs/sha256');
  await eventually('the blobs are gone', () => fs.readdirSync(blobs).length === 0, 30_000);
  await configure({});
}, 90_000);

test('over its budget what was not used for the longest time goes; what is used, locked or newest stays', async () => {
  const MB = 1 << 20;
  for (const n of [1, 2, 3, 4]) await make(`budget/app:${n}`, MB);
  await make('budget/locked:1', MB);
  await berth('image', 'lock', 'budget/locked:1');
  await d.must(['create', '--network', 'none', '--name', 'budget-user', 'budget/app:1', 'x']);
  // Each takes its files and its archive: 2 MB.
  await configure({ budget: { 'max-size': '7mb', 'keep-last': 1 } });
  const plan = await berth('image', 'prune', '--budget', '--plan');
  const done = await berth('image', 'prune', '--budget');
  expect(await names()).toEqual(['budget/app:1', 'budget/app:4', 'budget/locked:1']);
  // Unless the daemon has done it by itself already.
  if (plan.includes('budget/')) expect(plan).toMatch(/budget\/app:2[^\n]*size[^]*budget\/app:3[^\n]*size/);
  expect(done).toContain('Removed: ');

  // By itself, soon after an image has come.
  await make('budget/app:5', MB);
  await eventually('app:4 goes', async () => ((await names()).includes('budget/app:4') ? undefined : true), 30_000);
  expect(await names()).toEqual(['budget/app:1', 'budget/app:5', 'budget/locked:1']);
  await configure({});
  await berth('image', 'unlock', 'budget/locked:1');
  await d.must(['rm', 'budget-user']);
  await d.must(['rmi', 'budget/app:1', 'budget/app:5', 'budget/locked:1']);
}, 90_000);

test('a tree of layers, and what differs between two images', async () => {
  const base = tarOf([file('same', 's'), file('changed', 'before'), file('gone', 'x'.repeat(70))]);
  const over = tarOf([file('changed', 'and after'), file('.wh.gone', '')]);
  await make('diff/a:1', 10, [base]);
  await make('diff/b:1', 20, [base, over]);
  const tree = await berth('image', 'tree');
  expect(tree).toContain('├─ ');
  expect(tree).toContain('● diff/a:1 (linux/');
  expect(tree).toContain('● diff/b:1 (linux/');
  const difference = await berth('image', 'diff', 'diff/a:1', 'diff/b:1');
  expect(difference.split('\n').sort()).toEqual(
    [
      'C /changed (+3B)',
      'D /gone (-70B)',
      'D /of-diff-a-1 (-10B)',
      'A /of-diff-b-1 (+20B)',
      '1 added, 1 changed, 2 deleted, -57B; 1 layers shared (77B)',
    ].sort(),
  );
  expect(await berth('image', 'diff', 'diff/a:1', 'diff/a:1')).toContain('0 added, 0 changed, 0 deleted');
  expect(await berth('images', '--tree')).toContain('diff/b:1');
  await d.must(['rmi', 'diff/a:1', 'diff/b:1']);
}, 60_000);
