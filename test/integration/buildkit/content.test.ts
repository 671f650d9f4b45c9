/** Stores of blobs in buildx's session: caches in its directories, OCI layouts as contexts; what is damaged is refused. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { withPlugins } from '../../support/next-debian.ts';

const LIMIT = 120_000;
const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
/** Has nothing of what the other one has built. */
let other: TestDaemon;
let config: string;
let directory: string;

beforeAll(async () => {
  [d, other] = await Promise.all([TestDaemon.start({ noBridge: true }), TestDaemon.start({ noBridge: true })]);
  config = await withPlugins(path.join(d.directory, 'plugins'), ['docker-buildx']);
  directory = path.join(d.directory, 'context');
  fs.mkdirSync(directory);
}, 300_000);
afterAll(async () => {
  await d[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
}, 60_000);

function build(on: TestDaemon, dockerfile: string, args: readonly string[]) {
  fs.writeFileSync(path.join(directory, 'Dockerfile'), dockerfile);
  const all = ['-H', `unix://${on.socket}`, 'buildx', 'build', '--progress=plain', ...args, directory];
  return run('docker', all, { env: { DOCKER_CONFIG: config }, limitMs: 100_000 });
}

/** Its last byte is another one then. */
function damage(file: string): void {
  const bytes = fs.readFileSync(file);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  fs.chmodSync(file, 0o644);
  fs.writeFileSync(file, bytes);
}

/** A copy whose layers are damaged, but for the one that is larger: it is of an image that both daemons have. */
function damaged(layout: string): string {
  const copy = `${layout}-damaged`;
  fs.cpSync(layout, copy, { recursive: true });
  const below = path.join(copy, 'blobs/sha256');
  for (const name of fs.readdirSync(below)) {
    const { size } = fs.statSync(path.join(below, name));
    if (size > 15_000 && size < 60_000) damage(path.join(below, name));
  }
  return copy;
}

test(
  '--cache-to and --cache-from of a directory of the client',
  async () => {
    const cache = path.join(d.directory, 'cache');
    const dockerfile = `FROM ${IMG} AS a\nRUN head -c 20000 /dev/urandom > /one\nFROM ${IMG}\nCOPY --from=a /one /two\n`;
    const first = await build(d, dockerfile, ['--cache-to', `type=local,dest=${cache},mode=max`, '-t', 'cached:1']);
    expect(first.stderr).not.toContain('ERROR');
    expect(JSON.parse(fs.readFileSync(path.join(cache, 'index.json'), 'utf8'))).toMatchObject({
      manifests: [{ annotations: { 'org.opencontainers.image.ref.name': 'latest' } }],
    });
    const layer = (on: TestDaemon, image: string) =>
      on.must(['image', 'inspect', '-f', '{{index .RootFS.Layers 1}}', image]);
    const from = (source: string) => ['--cache-from', `type=local,src=${source}`];
    // Whether its step is run again or the build fails: nothing is made of what is not what it says.
    const wrong = await build(other, dockerfile, [...from(damaged(cache)), '-t', 'wrong:1']);
    if (wrong.code === 0) expect(await layer(other, 'wrong:1')).not.toBe(await layer(d, 'cached:1'));
    else expect(wrong.stderr).toMatch(/verification failed|gzip/);
    const second = await build(other, dockerfile, [...from(cache), '-t', 'cached:2']);
    expect(second.stderr).toMatch(/COPY --from=a \/one \/two\n#\d+ CACHED/);
    expect(await layer(other, 'cached:2')).toBe(await layer(d, 'cached:1'));
    expect(await other.must(['run', '--rm', '--network', 'none', 'cached:2', 'wc', '-c', '/two'])).toBe('20000 /two');
    expect((await build(d, dockerfile, from(`${cache}-none`))).code).toBe(0);
  },
  LIMIT,
);

test(
  'an OCI layout as a context: to begin with, and to copy from',
  async () => {
    const layout = path.join(d.directory, 'layout');
    const archive = path.join(d.directory, 'archive');
    const base = `FROM ${IMG}\nRUN head -c 30000 /dev/urandom > /file; echo here > /here\n`;
    expect((await build(d, base, ['-t', 'lay:1'])).code).toBe(0);
    await d.must(['save', '-o', archive, 'lay:1']);
    await must('skopeo', ['copy', '-q', `docker-archive:${archive}`, `oci:${layout}:v1`]);
    const dockerfile = 'FROM base\nRUN test "$(cat /here)" = here\nCOPY --from=base /here /there\n';
    const context = (source: string) => ['--build-context', `base=oci-layout://${source}:v1`];
    const wrong = await build(other, dockerfile, context(damaged(layout)));
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/digest|verification|gzip/);
    const built = await build(other, dockerfile, [...context(layout), '-t', 'onlayout:1']);
    expect(built.stderr).toContain('[context base] load from client');
    expect(built.code).toBe(0);
    expect(await other.must(['run', '--rm', '--network', 'none', 'onlayout:1', 'cat', '/there'])).toBe('here');
  },
  LIMIT,
);
