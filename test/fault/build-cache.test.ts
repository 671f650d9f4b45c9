/** Caches of builds with faults: `kill -9` while one is written or taken, a registry that goes away in the middle. */
import { expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { BASE, BuildDirectory } from '../support/build-context.ts';
import { TestDaemon } from '../support/daemon.ts';
import { RegistryProcess } from '../support/registry-server.ts';

const LIMIT_MS = 180_000;

const file = (salt: string): string =>
  `FROM ${BASE} AS made\nRUN echo ${salt} > /one\nRUN echo two > /two\nFROM ${BASE}\nCOPY --from=made /one /two /\nRUN cat /one /two > /three\n`;

function build(daemon: TestDaemon, directory: BuildDirectory, ...args: readonly string[]) {
  const all = ['build', '--network=none', '-t', 'made', ...args, directory.path];
  return daemon.berth(all, { limitMs: LIMIT_MS });
}

async function expectMade(daemon: TestDaemon, salt: string): Promise<void> {
  const run = ['run', '--rm', '--network', 'none', 'made', 'cat', '/three'];
  expect(await daemon.must(run)).toBe(`${salt}\ntwo`);
}

/** Every blob is what its name says, and the index leads to all of them. */
function checkLayout(directory: string): void {
  const blobs = path.join(directory, 'blobs/sha256');
  const found = new Set(fs.readdirSync(blobs));
  const named = new Set<string>();
  const visit = (text: string): void => {
    for (const [, hex = ''] of text.matchAll(/"digest":\s*"sha256:([0-9a-f]{64})"/g)) {
      if (named.has(hex) || !found.has(hex)) continue;
      named.add(hex);
      const bytes = fs.readFileSync(path.join(blobs, hex));
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(hex);
      // Of its records the config names steps, not blobs.
      if (bytes[0] === 0x7b && bytes.includes('"schemaVersion"')) visit(bytes.toString());
    }
  };
  visit(fs.readFileSync(path.join(directory, 'index.json'), 'utf8'));
  expect([...found].sort()).toEqual([...named].sort());
}

function makeOld(directory: string): void {
  const hourAgo = new Date(Date.now() - 3_600_000);
  for (const name of fs.readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    fs.utimesSync(path.join(directory, name), hourAgo, hourAgo);
  }
}

test(
  'kill -9 while a directory is written and while its layers are taken: whole or not there, and nothing is left',
  async () => {
    await using daemon = await TestDaemon.start({ noBridge: true });
    using directory = new BuildDirectory(file('0'), { '.dockerignore': 'cache' });
    const cache = path.join(directory.path, 'cache');
    const to = ['--cache-to', `type=local,dest=${cache},mode=max`];
    const from = ['--cache-from', `type=local,src=${cache}`];
    const killed = async (point: string, ...args: readonly string[]): Promise<void> => {
      await daemon.kill();
      await daemon.launch({ BERTH_FAILPOINTS: `${point}=kill` });
      expect((await build(daemon, directory, ...args)).code).not.toBe(0);
      expect([point, await daemon.ended()]).toEqual([point, 'SIGKILL']);
      await daemon.launch();
      expect(await daemon.must(['ps', '-aq'])).toBe('');
    };
    for (const [salt, point] of [
      ['1', 'build.cache-blob'],
      ['2', 'build.cache-index'],
    ] as const) {
      directory.write('Dockerfile', file(salt));
      await killed(point, ...to);
      const again = await build(daemon, directory, ...to);
      expect([again.code, again.code === 0 ? '' : again.stderr]).toEqual([0, '']);
      await expectMade(daemon, salt);
    }
    // What the first round has left nobody names: it goes when it is old.
    fs.writeFileSync(path.join(cache, 'blobs/sha256/.tmp-0123456789abcdef'), 'left by a writer that died');
    const before = fs.readdirSync(path.join(cache, 'blobs/sha256')).length;
    makeOld(cache);
    expect((await build(daemon, directory, ...to)).code).toBe(0);
    expect(fs.readdirSync(path.join(cache, 'blobs/sha256')).length).toBeLessThan(before - 1);
    checkLayout(cache);
    await daemon.must(['rmi', 'made']);
    for (const point of ['build.cache-fetched', 'build.cache-brought']) {
      expect((await daemon.berth(['builder', 'prune', '-af'])).code).toBe(0);
      await killed(point, ...from);
    }
    const found = await build(daemon, directory, ...from);
    // A stage that is not run, and both steps of the result.
    expect([found.code, found.stderr.match(/CACHED/g)?.length]).toEqual([0, 3 + 2]);
    await expectMade(daemon, '2');
  },
  LIMIT_MS,
);

test(
  'a registry that goes away once the list of results has come: what it had is built, and it is said',
  async () => {
    await using daemon = await TestDaemon.start({ noBridge: true });
    // One that has never had a byte of it.
    await using other = await TestDaemon.start({ noBridge: true });
    await using registry = await RegistryProcess.start();
    let configs = Number.POSITIVE_INFINITY;
    const proxy = http.createServer((request, answer) => {
      const isBlob = request.method === 'GET' && /\/blobs\/sha256:/.test(request.url ?? '');
      if (isBlob) configs -= 1;
      if (configs < 0) {
        request.socket.destroy();
        return;
      }
      const [host = '', port = ''] = registry.host.split(':');
      const { method, url, headers } = request;
      const forwarded = http.request({ host, port, method, path: url, headers }, (response) => {
        answer.writeHead(response.statusCode ?? 500, response.headers);
        response.pipe(answer);
      });
      forwarded.once('error', () => answer.destroy());
      request.pipe(forwarded);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    try {
      // as: it listens on TCP.
      const { port } = proxy.address() as AddressInfo;
      using directory = new BuildDirectory(file('far'));
      const ref = `127.0.0.1:${port}/team/cache`;
      const exported = await build(daemon, directory, '--cache-to', `type=registry,ref=${ref},mode=max`);
      expect([exported.code, exported.code === 0 ? '' : exported.stderr]).toEqual([0, '']);
      // The list of results, and nothing after it.
      configs = 1;
      const built = await build(other, directory, '--cache-from', `type=registry,ref=${ref}`);
      expect([built.code, built.code === 0 ? '' : built.stderr]).toEqual([0, '']);
      expect(built.stderr).toMatch(/a layer of the cache 127\.0\.0\.1:\d+\/team\/cache\S* cannot be used: /);
      await expectMade(other, 'far');
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  },
  LIMIT_MS,
);
