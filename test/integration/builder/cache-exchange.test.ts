/** Caches that go from one daemon to another: what is built again, what is fetched, what is not believed. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { BASE, BuildDirectory } from '../../support/build-context.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { RegistryProcess } from '../../support/registry-server.ts';
import { TestRegistry } from '../../support/registry.ts';

const LIMIT_MS = 120_000;
let first: TestDaemon;
let second: TestDaemon;
let registry: TestRegistry;
let own: RegistryProcess;
beforeAll(async () => {
  [first, second] = await Promise.all([TestDaemon.start(), TestDaemon.start()]);
  [registry, own] = await Promise.all([TestRegistry.start(), RegistryProcess.start()]);
}, LIMIT_MS);
afterAll(async () => {
  await Promise.all([first, second, registry, own].map((one) => one?.[Symbol.asyncDispose]()));
}, LIMIT_MS);

/** Nothing of it is the same when it is made again. */
const FILE = [
  `FROM ${BASE} AS make`,
  'ARG TEXT=made',
  'WORKDIR /work/deep',
  'WORKDIR /tmp',
  'RUN head -c 1000000 /dev/urandom > /big',
  'COPY a.txt /work/',
  'RUN head -c 16 /dev/urandom | od -x > /stamp; cat /work/a.txt > /result; echo $TEXT >> /result',
  `FROM ${BASE}`,
  'RUN true',
  'COPY --from=make /result /stamp /out/',
  'RUN --mount=type=bind,from=make,source=/result,target=/r cat /r > /copied; head -c 16 /dev/urandom > /own',
  'CMD ["cat", "/out/result"]',
].join('\n');

interface Ran {
  readonly code: number;
  readonly stderr: string;
  /** Steps that were made now. */
  readonly made: readonly string[];
}

async function build(daemon: TestDaemon, directory: BuildDirectory, ...args: readonly string[]): Promise<Ran> {
  const { code, stderr } = await daemon.berth(['build', '--progress=plain', ...args, directory.path], {
    limitMs: LIMIT_MS,
  });
  const names = new Map([...stderr.matchAll(/^(#\d+) (\[.*)$/gm)].map(([, number, name]) => [number, name]));
  const made = [...stderr.matchAll(/^(#\d+) DONE /gm)].flatMap(([, number]) => names.get(number) ?? []);
  // What has no files is told as done, whatever the cache says.
  return { code, stderr, made: made.filter((name) => / (?:RUN|COPY) /.test(name)) };
}

/** With all that it said where it did not end so. */
function ended(
  ran: { readonly code: number; readonly stderr: string },
  code: number,
  said: string | RegExp = '',
): void {
  expect([ran.code, ran.code === code ? '' : ran.stderr]).toEqual([code, '']);
  expect(ran.stderr).toMatch(typeof said === 'string' ? new RegExp(RegExp.escape(said)) : said);
}

const FILES = ['/out/result', '/out/stamp', '/copied', '/own'];
const contentOf = (daemon: TestDaemon, image: string) =>
  daemon.must(['run', '--rm', '--network', 'none', image, 'cat', ...FILES]);

const layersOf = (daemon: TestDaemon): number =>
  fs.readdirSync(path.join(daemon.directory, 'data', 'overlay')).filter((name) => /^[0-9a-f]{64}$/.test(name)).length;

/** As if it had never built anything; its images stay, and are no cache. */
async function forget(daemon: TestDaemon): Promise<void> {
  expect((await daemon.berth(['builder', 'prune', '-af'])).code).toBe(0);
}

describe('a cache for another daemon', () => {
  test(
    'in a registry, mode=max: all steps are found, and only layers of the result come; it is remembered',
    async () => {
      await forget(second);
      // A base image that the second daemon does not have, and does not need.
      const base = `${registry.host}/tools:1`;
      for (const args of [
        ['tag', BASE, base],
        ['push', '-q', base],
      ])
        await first.must(args);
      const file = FILE.replace(BASE, base);
      using directory = new BuildDirectory(file, { 'a.txt': 'A\n' });
      const ref = `${registry.host}/app:cache`;
      const made = await build(first, directory, '-t', 'one', '--cache-to', `type=registry,ref=${ref},mode=max`);
      ended(made, 0, 'exporting cache to');
      const before = layersOf(second);
      const again = await build(second, directory, '-t', 'one', '--cache-from', `type=registry,ref=${ref}`);
      expect([again.code, again.made]).toEqual([0, []]);
      expect(again.stderr).not.toContain('WARNING');
      expect(await contentOf(second, 'one')).toBe(await contentOf(first, 'one'));
      // COPY and RUN of the last stage: neither /big nor anything else of the first.
      expect(layersOf(second) - before).toBe(2);
      expect((await second.docker(['image', 'inspect', base])).code).toBe(1);
      const explained = await second.berth([
        'build',
        'explain',
        '--cache-from',
        ref,
        '--build-arg',
        'TEXT=b',
        directory.path,
      ]);
      expect(explained.stdout).toContain('not cached: none of the imported caches has it');
    },
    LIMIT_MS,
  );

  test(
    'in `berth registry serve`, mode=min: stages whose results are in it are not built; a changed file is',
    async () => {
      await forget(second);
      using directory = new BuildDirectory(FILE, { 'a.txt': 'A2\n' });
      const ref = `${own.host}/app:min`;
      const made = await build(
        first,
        directory,
        '-t',
        'one',
        '--cache-to',
        `type=registry,ref=${ref},image-manifest=false`,
      );
      ended(made, 0, 'exporting cache to');
      const again = await build(second, directory, '-t', 'one', '--cache-from', ref);
      expect([again.code, again.made]).toEqual([0, []]);
      expect(await contentOf(second, 'one')).toBe(await contentOf(first, 'one'));
      directory.write('a.txt', 'A3\n');
      const changed = await build(second, directory, '-t', 'one', '--cache-from', ref);
      expect([changed.code, changed.made.length]).toEqual([0, 5]);
      expect(await contentOf(second, 'one')).toContain('A3\n');
    },
    LIMIT_MS,
  );

  test(
    'in a directory, exported again without its layers; inline in an image',
    async () => {
      await forget(second);
      using directory = new BuildDirectory(FILE, { 'a.txt': 'A4\n', '.dockerignore': 'cache*' });
      const [there, copy] = ['cache', 'cache2'].map((name) => path.join(directory.path, name));
      const made = await build(
        first,
        directory,
        '-t',
        'one',
        '--cache-to',
        `type=local,dest=${there},mode=max,compression=zstd`,
      );
      expect(made.code).toBe(0);
      const args = ['--cache-from', `type=local,src=${there}`, '--cache-to', `type=local,dest=${copy},mode=max`];
      const again = await build(second, directory, '-t', 'one', ...args);
      expect(again.stderr).not.toContain('WARNING');
      expect(again.made).toEqual([]);
      expect(await contentOf(second, 'one')).toBe(await contentOf(first, 'one'));
      // What was not needed was fetched for the copy only.
      const blobs = (of: string | undefined) => fs.readdirSync(path.join(of ?? '', 'blobs/sha256')).length;
      expect(blobs(copy)).toBe(blobs(there));

      const name = `${registry.host}/inline:1`;
      expect((await build(first, directory, '-t', name, '--cache-to', 'type=inline', '--push')).code).toBe(0);
      await forget(second);
      const inline = await build(second, directory, '-t', 'one', '--cache-from', name);
      expect([inline.code, inline.made]).toEqual([0, []]);
      expect(await contentOf(second, 'one')).toBe(await contentOf(first, 'one'));
    },
    LIMIT_MS,
  );

  test(
    'what cannot be had is a warning; what is no cache is nothing; targets that fail are errors unless told otherwise',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN true\n`);
      const missing = await build(first, directory, '--cache-from', `${registry.host}/not:there`);
      ended(missing, 0, 'WARNING: importing cache manifest from');
      const target = `type=registry,ref=127.0.0.1:1/no:no`;
      expect((await build(first, directory, '--cache-to', target)).code).toBe(1);
      const forgiven = await build(first, directory, '--cache-to', `${target},ignore-error=true`);
      ended(forgiven, 0, 'WARNING: failed to export cache');
      expect((await build(first, directory, '--cache-to', 'type=registry,ref=a,mode=all')).stderr).toContain(
        'cache mode',
      );
    },
    LIMIT_MS,
  );

  test(
    'a cache mount goes to another daemon as a tar, whole or not at all; not while it is used',
    async () => {
      const mount = '--mount=type=cache,target=/cache,id=of/tests,mode=750';
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN ${mount} mkdir -p /cache/a && echo first > /cache/a/f\n`);
      expect((await build(first, directory)).code).toBe(0);
      const tar = path.join(directory.path, 'cache.tar');
      const exported = await first.berth(['builder', 'cache-mount', 'export', '-o', tar, 'of/tests']);
      expect([exported.code, exported.stderr]).toEqual([0, '']);
      expect((await first.berth(['builder', 'cache-mount', 'export', '-o', tar + '2', 'none'])).stderr).toContain(
        'No such cache mount',
      );
      const imported = await second.berth(['builder', 'cache-mount', 'import', 'of/tests', tar]);
      expect([imported.code, imported.stdout, imported.stderr]).toEqual([0, 'of/tests\n', '']);
      expect((await second.berth(['builder', 'cache-mount', 'ls'])).stdout).toMatch(/^of\/tests .* false /m);
      // It stays what it was when something else comes.
      fs.writeFileSync(`${tar}3`, 'this is no tar');
      expect((await second.berth(['builder', 'cache-mount', 'import', 'of/tests', `${tar}3`])).code).toBe(1);
      directory.write('Dockerfile', `FROM ${BASE}\nRUN ${mount} stat -c %a /cache; cat /cache/a/f > /found\n`);
      const used = await build(second, directory, '-t', 'mounted');
      ended(used, 0, /^#\d+ 750$/m);
      expect(await second.must(['run', '--rm', '--network', 'none', 'mounted', 'cat', '/found'])).toBe('first');
    },
    LIMIT_MS,
  );
});
