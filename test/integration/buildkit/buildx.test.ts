/** The real buildx (Debian trixie's 0.13) with the docker driver: what `docker build` is for everybody who has it. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { withPlugins } from '../../support/next-debian.ts';

const IMG = 'berth.test/busybox:1';
const LIMIT = 120_000;
let d: TestDaemon;
let config: string;
let contexts = 0;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  config = await withPlugins(path.join(d.directory, 'plugins'), ['docker-buildx']);
}, 300_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

function context(files: Readonly<Record<string, string>>): string {
  const directory = path.join(d.directory, `context-${contexts++}`);
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
  }
  return directory;
}

const docker = (args: readonly string[], input: string | Uint8Array = '') =>
  run('docker', ['-H', `unix://${d.socket}`, ...args], {
    env: { DOCKER_CONFIG: config, DOCKER_CLI_HINTS: 'false' },
    input,
    limitMs: 100_000,
  });

const build = (args: readonly string[], input: string | Uint8Array = '') =>
  docker(['buildx', 'build', '--progress=plain', ...args], input);

test(
  'names, arguments, labels, stages, ids and metadata; the second time from the cache',
  async () => {
    const directory = context({
      Dockerfile:
        `# syntax=docker/dockerfile:1\nFROM ${IMG} AS base\nARG WHO\nRUN echo "hi $WHO" > /hi && echo said\n` +
        `FROM base\nCOPY a /a\nLABEL x=y\nCMD ["cat", "/hi", "/a"]\n`,
      a: 'content',
    });
    const iid = path.join(d.directory, 'iid');
    const metadata = path.join(d.directory, 'metadata.json');
    const args = ['--build-arg', 'WHO=you', '--label', 'l=m', '-t', 'bx:1', '-t', 'bx:2'];
    const first = await build([...args, '--iidfile', iid, '--metadata-file', metadata, directory]);
    expect(first.stderr).toMatch(/#\d+ [\d.]+ said/);
    expect(first.code).toBe(0);
    const id = fs.readFileSync(iid, 'utf8');
    expect(await d.must(['image', 'inspect', '-f', '{{.Id}} {{.Config.Labels}}', 'bx:2'])).toBe(`${id} map[l:m x:y]`);
    expect(await d.must(['run', '--rm', '--network', 'none', 'bx:1'])).toBe('hi you\ncontent');
    expect(JSON.parse(fs.readFileSync(metadata, 'utf8'))).toMatchObject({
      'containerimage.digest': id,
      'containerimage.config.digest': id,
      'image.name': 'bx:1,bx:2',
    });
    const second = await docker(['build', '-q', ...args, directory]);
    expect(second).toMatchObject({ code: 0, stdout: `${id}\n`, stderr: '' });
  },
  LIMIT,
);
