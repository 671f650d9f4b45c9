/**
 * `kill -9` of the daemon at random moments while clients pull, push, load, save, remove and prune the same images:
 * after each restart every image that is listed is whole, and in the end everything works and nothing is left over.
 * KILLS=50 for the whole of it; SEED repeats the moments of a run. Needs root.
 */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../support/base-images.ts';
import { eventually } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';
import { TestRegistry } from '../support/registry.ts';

const kills = Number(process.env['KILLS'] ?? 5);
const VERSIONS = ['1', '2'] as const;

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

const base = tar(busyboxEntries(['sh', 'echo', 'cat']));

/** Two versions that share two of three layers, one of some megabytes. */
function archiveOf(version: string, reference: string): string {
  const content = Buffer.alloc(2_000_000, `${version} of what does not matter\n`);
  const shared = tar([{ name: 'shared', type: '0', mode: 0o644, content: Buffer.alloc(3_000_000, 'shared') }]);
  const own = tar([{ name: 'own', type: '0', mode: 0o644, content }]);
  return writeArchive(`kills-${process.pid}-${version}.tar`, { reference, layers: [base, shared, own] }).path;
}

test(`kill -9 at ${kills} random moments of pull, push, load, save, rmi and prune`, async () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 100_000);
  console.log(`seed ${seed}`);
  const random = randomOf(seed);
  await using registry = await TestRegistry.start();
  await using d = await TestDaemon.start({ noBridge: true, image: false });
  const archives: string[] = [];
  using _files = { [Symbol.dispose]: () => archives.forEach((file) => fs.rmSync(file, { force: true })) };
  const ids = new Map<string, string>();
  for (const version of VERSIONS) {
    const name = `${registry.host}/app:${version}`;
    const file = archiveOf(version, name);
    archives.push(file);
    await d.must(['load', '-q', '-i', file]);
    await d.must(['push', '-q', name]);
    ids.set(version, await d.must(['image', 'inspect', '-f', '{{.Id}}', name]));
  }

  let stopped = false;
  /** Answers that only a wrong daemon gives. */
  const wrong: string[] = [];
  let done = 0;
  const client = async (n: number): Promise<void> => {
    while (!stopped) {
      const version = VERSIONS[Math.floor(random() * VERSIONS.length)] ?? '1';
      const name = `${registry.host}/app:${version}`;
      const copy = `${registry.host}/copy-${n}-${Math.floor(random() * 1000)}:${version}`;
      const verbs: readonly (readonly string[])[] = [
        ['pull', '-q', name],
        ['pull', '-q', name],
        ['load', '-q', '-i', archives[Number(version) - 1] ?? ''],
        ['tag', name, copy],
        ['push', '-q', name],
        ['save', '-o', path.join(d.directory, `saved-${n}.tar`), name],
        ['rmi', '-f', name],
        ['image', 'prune', '-af'],
      ];
      const verb = verbs[Math.floor(random() * verbs.length)] ?? [];
      const { code, stderr } = await d.docker(verb, { limitMs: 120_000 });
      if (verb[0] === 'tag' && code === 0) await d.docker(['push', '-q', copy], { limitMs: 120_000 });
      if (code === 0) done += 1;
      else if (/damaged|is missing|verification failed|assert|internal/i.test(stderr))
        wrong.push(`${verb.join(' ')}: ${stderr}`);
    }
  };
  /** What is listed can be read whole, and is what its id says. */
  const check = async (): Promise<void> => {
    const listed = (await d.must(['images', '-aq', '--no-trunc'])).split('\n').filter((line) => line !== '');
    for (const id of new Set(listed)) expect([...ids.values()]).toContain(id);
    if (/damaged/.test(d.log)) throw new Error(d.log);
  };

  const clients = Array.from({ length: 3 }, (_, n) => client(n));
  for (let i = 0; i < kills; i++) {
    // Something has to have happened in between, on a slow machine too.
    const before = done;
    await eventually('a client was answered', () => done > before, 60_000);
    await Bun.sleep(random() * 300);
    await d.restart();
    await check();
  }
  stopped = true;
  await Promise.all(clients);
  expect(wrong).toEqual([]);
  await d.restart();
  for (const version of VERSIONS) {
    const name = `${registry.host}/app:${version}`;
    await d.must(['pull', '-q', name]);
    expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', name])).toBe(ids.get(version) ?? '');
    expect(await d.must(['run', '--rm', '--network', 'none', name, 'sh', '-c', 'cat /shared /own | wc -c'])).toBe(
      '5000000',
    );
    await d.must(['save', '-o', path.join(d.directory, 'whole.tar'), name]);
    await d.must(['push', '-q', name]);
  }
  await d.must(['image', 'prune', '-af']);
  expect(await d.must(['images', '-aq'])).toBe('');
  const at = (name: string): string => path.join(d.dataRoot, name);
  const empty = ['content/ingest', 'content/leases', 'content/partial', 'content/blobs/sha256', 'content/trash'];
  await eventually(
    'nothing is left over',
    () => empty.every((name) => fs.readdirSync(at(name)).length === 0),
    30_000,
  ).catch(() => expect(Object.fromEntries(empty.map((name) => [name, fs.readdirSync(at(name))]))).toEqual({}));
}, 900_000);
