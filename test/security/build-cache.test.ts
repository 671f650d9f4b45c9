/** Caches of strangers: an entry never gives a step what is another's, and nothing of the host is read or written. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { BASE, BuildDirectory } from '../support/build-context.ts';
import { TestDaemon } from '../support/daemon.ts';

const LIMIT_MS = 120_000;
let maker: TestDaemon;
let victim: TestDaemon;
let canary: string;
beforeAll(async () => {
  [maker, victim] = await Promise.all([TestDaemon.start({ noBridge: true }), TestDaemon.start({ noBridge: true })]);
  canary = path.join(victim.directory, 'canary');
  fs.mkdirSync(canary);
}, LIMIT_MS);
afterAll(async () => {
  await Promise.all([maker, victim].map((one) => one?.[Symbol.asyncDispose]()));
}, LIMIT_MS);

interface Layer {
  blob: string;
  parent: number;
  annotations: { diffID: string };
}
interface Config {
  layers: Layer[];
  records: { digest: string; layers?: { layer: number }[] }[];
}

/** A cache in a directory, whose configuration can be changed with all digests right. */
class Cache {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  blob(digest: string): string {
    return path.join(this.directory, 'blobs/sha256', digest.slice('sha256:'.length));
  }

  #read(digest: string): unknown {
    return JSON.parse(fs.readFileSync(this.blob(digest), 'utf8'));
  }

  #put(value: unknown): { digest: string; size: number } {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    fs.writeFileSync(this.blob(digest), bytes);
    return { digest, size: bytes.length };
  }

  change(by: (config: Config) => void): void {
    const file = path.join(this.directory, 'index.json');
    // as: what the daemon has written.
    const index = JSON.parse(fs.readFileSync(file, 'utf8')) as { manifests: { digest: string; size: number }[] };
    const [top] = index.manifests;
    const manifest = this.#read(top?.digest ?? '') as { config: { digest: string; size: number } };
    const config = this.#read(manifest.config.digest) as Config;
    by(config);
    Object.assign(manifest.config, this.#put(config));
    Object.assign(top ?? {}, this.#put(manifest));
    fs.writeFileSync(file, JSON.stringify(index));
  }
}

const FILE = `FROM ${BASE}\nRUN echo one > /one\nRUN echo two > /two\nRUN echo three > /three\n`;

async function withCache(work: (cache: Cache, directory: BuildDirectory) => Promise<void>): Promise<void> {
  using directory = new BuildDirectory(FILE, { '.dockerignore': 'cache' });
  const cache = new Cache(path.join(directory.path, 'cache'));
  const to = `type=local,dest=${cache.directory},mode=max`;
  const made = await maker.berth(['build', '--network=none', '--cache-to', to, directory.path], { limitMs: LIMIT_MS });
  expect([made.code, made.code === 0 ? '' : made.stderr]).toEqual([0, '']);
  expect((await victim.berth(['builder', 'prune', '-af'])).code).toBe(0);
  await work(cache, directory);
}

const build = (directory: BuildDirectory, cache: Cache, ...args: readonly string[]) =>
  victim.berth(
    [
      'build',
      '--network=none',
      '-t',
      'victim',
      ...args,
      '--cache-from',
      `type=local,src=${cache.directory}`,
      directory.path,
    ],
    { limitMs: LIMIT_MS },
  );

/** With a warning, and each step told once. */
async function expectMade({ code, stderr }: { readonly code: number; readonly stderr: string }): Promise<void> {
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  expect(stderr).toMatch(
    /WARN.*a layer of the cache local directory \S+ cannot be used: .*: what it is needed for is built/,
  );
  expect(stderr.match(/^#\d+ \[\d\/4\] RUN echo three > \/three$/gm)).toHaveLength(1);
  await expectRight();
  expect((await victim.berth(['builder', 'prune', '-af'])).code).toBe(0);
}

/** Made right, whatever the cache says. */
async function expectRight(): Promise<void> {
  const run = ['run', '--rm', '--network', 'none', 'victim', 'cat', '/one', '/two', '/three'];
  expect(await victim.must(run)).toBe('one\ntwo\nthree');
  await victim.must(['rmi', '-f', 'victim']);
}

describe('a poisoned cache', () => {
  test(
    'whose entries are exchanged: what does not stand on the step below is not believed',
    () =>
      withCache(async (cache, directory) => {
        // The last step's result for the first one's key, and the other way round.
        cache.change(({ records }) => {
          const [first, last] = [records.find((one) => one.layers?.[0]?.layer === 1), records.at(-1)];
          if (first?.layers === undefined || last?.layers === undefined) throw new Error('no such steps');
          [first.layers, last.layers] = [last.layers, first.layers];
        });
        const { code, stderr } = await build(directory, cache);
        expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
        await expectRight();
      }),
    LIMIT_MS,
  );

  test(
    'whose stacks begin with another base (CVE-2024-24557): it is no result of this one',
    () =>
      withCache(async (cache, directory) => {
        cache.change(({ layers }) => {
          const [base, evil] = layers;
          if (base === undefined || evil === undefined) throw new Error('no such layers');
          // All that stood on the base stands on a layer of the attacker's now.
          Object.assign(base, { blob: evil.blob, annotations: evil.annotations });
        });
        const { code, stderr } = await build(directory, cache);
        expect([code, stderr.includes('CACHED')]).toEqual([0, false]);
        await expectRight();
      }),
    LIMIT_MS,
  );

  test(
    'whose layers are not what their digests say: their steps are made, and it is said',
    () =>
      withCache(async (cache, directory) => {
        let last: Layer | undefined;
        cache.change(({ layers }) => {
          last = layers.at(-1);
        });
        const file = cache.blob(last?.blob ?? '');
        const kept = fs.readFileSync(file);
        // Another layer under its name, cut off, and a link to a file of the host.
        fs.writeFileSync(path.join(canary, 'layer'), kept);
        const attacks = [
          () => fs.writeFileSync(file, Buffer.concat([kept, kept])),
          () => fs.writeFileSync(file, kept.subarray(0, kept.length >> 1)),
          () => {
            fs.rmSync(file);
            fs.symlinkSync(path.join(canary, 'layer'), file);
          },
        ];
        for (const attack of attacks) {
          attack();
          await expectMade(await build(directory, cache));
        }
        // Its DiffId is another's.
        fs.rmSync(file);
        fs.writeFileSync(file, kept);
        cache.change(({ layers }) => {
          const [, first] = layers;
          const top = layers.at(-1);
          if (top !== undefined && first !== undefined) top.blob = first.blob;
        });
        await expectMade(await build(directory, cache));
      }),
    LIMIT_MS,
  );

  test(
    'is written into its directory and nowhere else',
    async () => {
      using directory = new BuildDirectory(FILE, { '.dockerignore': 'cache' });
      const there = path.join(directory.path, 'cache');
      fs.mkdirSync(there);
      fs.rmSync(path.join(canary, 'layer'), { force: true });
      fs.symlinkSync(canary, path.join(there, 'blobs'));
      fs.symlinkSync(path.join(canary, 'index.json'), path.join(there, 'index.json'));
      await victim.berth(['build', '--network=none', '--cache-to', `type=local,dest=${there}`, directory.path]);
      expect(fs.readdirSync(canary)).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    'an image with the history of another is no cache (CVE-2024-24557)',
    async () => {
      using directory = new BuildDirectory(FILE);
      const made = await maker.berth(['build', '--network=none', '-t', 'evil:1', directory.path], {
        limitMs: LIMIT_MS,
      });
      expect(made.code).toBe(0);
      const archive = path.join(directory.path, 'evil.tar');
      await maker.must(['save', '-o', archive, 'evil:1']);
      await victim.must(['load', '-q', '-i', archive]);
      await victim.berth(['builder', 'prune', '-af']);
      const env = { DOCKER_BUILDKIT: '0' };
      const args = ['build', '--network=none', '-t', 'victim', '--cache-from', 'evil:1', directory.path];
      const built = await victim.docker(args, { env, limitMs: LIMIT_MS });
      expect([built.code, built.stdout.includes('Using cache')]).toEqual([0, false]);
      await expectRight();
    },
    LIMIT_MS,
  );
});
