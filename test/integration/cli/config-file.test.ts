/** What `~/.docker/config.json` says is done: headers of every request, and the one alias that docker knows. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { type CommandResult, run } from '../../support/command.ts';

const BERTH = path.resolve(import.meta.dirname, '../../../berth');
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-config-'));
const socket = path.join(directory, 's.sock');
const seen: { path: string; headers: Headers }[] = [];
const server = Bun.serve({
  unix: socket,
  fetch(request) {
    seen.push({ path: new URL(request.url).pathname, headers: request.headers });
    return new Response('[]', { headers: { 'Api-Version': '1.48', 'Content-Type': 'application/json' } });
  },
});

const berth = (config: string, args: readonly string[], env: Record<string, string> = {}): Promise<CommandResult> =>
  run(BERTH, args, { env: { DOCKER_CONFIG: config, BERTH_HOST: `unix://${socket}`, ...env } });

function configured(name: string, json: unknown): string {
  const config = path.join(directory, name);
  fs.mkdirSync(path.join(config, 'cli-plugins'), { recursive: true });
  fs.writeFileSync(path.join(config, 'config.json'), JSON.stringify(json));
  return config;
}

let aliased = '';

beforeAll(() => {
  aliased = configured('aliased', { aliases: { builder: 'buildx' } });
  const plugin = path.join(aliased, 'cli-plugins/docker-buildx');
  fs.writeFileSync(plugin, '#!/bin/sh\necho "plugin: $*"\nexit 7\n', { mode: 0o755 });
});

afterAll(async () => {
  await server.stop(true);
  fs.rmSync(directory, { recursive: true, force: true });
});

test('HttpHeaders go with every request, and not in the place of our own', async () => {
  const headers = { 'X-Meta-Team': 'harbour', 'X-Odd': 'a: b', 'User-Agent': 'mine', Host: 'elsewhere' };
  const config = configured('headers', { HttpHeaders: headers });
  expect(await berth(config, ['ps', '-q'])).toMatchObject({ code: 0 });
  expect(seen.length).toBeGreaterThan(0);
  for (const { headers: got } of seen) {
    expect(got.get('x-meta-team')).toBe('harbour');
    expect(got.get('x-odd')).toBe('a: b');
    expect(got.get('user-agent')).toMatch(/^Berth/i);
  }
});

test('a header that would break a request is refused by name', async () => {
  const config = configured('broken', { HttpHeaders: { 'X-Broken': 'a\r\nX-Other: b' } });
  const { code, stderr } = await berth(config, ['ps', '-q']);
  expect({ code, named: stderr.includes('X-Broken') }).toEqual({ code: 1, named: true });
});

test.each([
  [['build', '-t', 'x', '.'], 'plugin: buildx build -t x .'],
  [['image', 'build', '.'], 'plugin: buildx build .'],
  [['builder', 'prune', '-f'], 'plugin: buildx prune -f'],
  [['-D', 'build', '--help'], 'plugin: -D buildx build --help'],
])('the alias builder: %p', async (args, expected) => {
  expect(await berth(aliased, args)).toMatchObject({ code: 7, stdout: `${expected}\n` });
});

test('without the alias, without its plugin, or with DOCKER_BUILDKIT=0 the builder is our own', async () => {
  const bare = configured('bare', { aliases: { builder: 'nosuchplugin' } });
  for (const [config, env] of [
    [bare, {}],
    [configured('none', {}), {}],
    [aliased, { DOCKER_BUILDKIT: '0' }],
  ] as const) {
    const { stdout } = await berth(config, ['build', '--help'], env);
    expect(stdout).toContain('Usage:  berth build');
  }
});
