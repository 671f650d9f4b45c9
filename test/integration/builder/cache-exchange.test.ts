/** Caches that go from one daemon to another: what is built again, what is fetched, what is not believed. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { BASE, BuildDirectory } from '../../support/build-context.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';

const LIMIT_MS = 120_000;
let first: TestDaemon;
let second: TestDaemon;
let registry: TestRegistry;
beforeAll(async () => {
  [first, second, registry] = await Promise.all([TestDaemon.start(), TestDaemon.start(), TestRegistry.start()]);
}, LIMIT_MS);
afterAll(async () => {
  await Promise.all([first, second, registry].map((one) => one?.[Symbol.asyncDispose]()));
}, LIMIT_MS);

const FILE = [
  `FROM ${BASE} AS make`,
  'ARG TEXT=made',
  'WORKDIR /work/deep',
  'WORKDIR /tmp',
  'RUN head -c 3000000 /dev/urandom > /big',
  'COPY a.txt /work/',
  'RUN date +%s%N > /stamp; cat /work/a.txt > /result; echo $TEXT >> /result',
  `FROM ${BASE}`,
  'RUN true',
  'COPY --from=make /result /stamp /out/',
  'RUN --mount=type=bind,from=make,source=/result,target=/r cat /r > /copied; date +%s%N > /own',
  'CMD ["cat", "/out/result"]',
].join('\n');

interface Ran {
  readonly code: number;
  readonly stderr: string;
  /** Steps that were made, and those that came from a cache. */
  readonly done: number;
  readonly cached: number;
}

async function build(daemon: TestDaemon, directory: BuildDirectory, ...args: readonly string[]): Promise<Ran> {
  const { code, stderr } = await daemon.berth(['build', '--progress=plain', ...args, directory.path], {
    limitMs: LIMIT_MS,
  });
  return { code, stderr, done: stderr.split(' DONE ').length - 1, cached: stderr.split(' CACHED').length - 1 };
}

const contentOf = (daemon: TestDaemon, image: string, ...files: readonly string[]) =>
  daemon.must(['run', '--rm', '--network', 'none', image, 'cat', ...files]);

const layersOf = async (daemon: TestDaemon): Promise<number> =>
  fs.readdirSync(path.join(daemon.directory, 'data', 'overlay')).filter((name) => /^[0-9a-f]{64}$/.test(name)).length;

describe('a cache in a registry', () => {
  test(
    'mode=max: all steps of another daemon are found, and only layers of the result come',
    async () => {
      using directory = new BuildDirectory(FILE, { 'a.txt': 'A\n' });
      const ref = `${registry.host}/app:cache`;
      const made = await build(first, directory, '-t', 'one', '--cache-to', `type=registry,ref=${ref},mode=max`);
      expect([made.code, made.stderr]).toEqual([0, expect.stringContaining('exporting cache to')]);
      const again = await build(second, directory, '-t', 'one', '--cache-from', `type=registry,ref=${ref}`);
      expect([again.code, again.stderr]).toEqual([0, expect.not.stringContaining('WARNING')]);
      // FROM is no step that is cached.
      expect(again.stderr).toMatch(/RUN head[^]* CACHED/);
      const files = ['/out/result', '/out/stamp', '/copied', '/own'];
      expect(await contentOf(second, 'one', ...files)).toBe(await contentOf(first, 'one', ...files));
      // Neither /big nor anything else of the first stage.
      expect(await layersOf(second)).toBeLessThan(await layersOf(first));
    },
    LIMIT_MS,
  );
});
