/** Where files come from: archives, http, git; and that the same inputs give the same digest. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { tar } from '../../support/base-images.ts';
import { BASE, BuildDirectory } from '../../support/build-context.ts';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const LIMIT_MS = 120_000;
let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start({ noBridge: true });
}, LIMIT_MS);
afterAll(async () => daemon[Symbol.asyncDispose](), LIMIT_MS);

const build = (directory: BuildDirectory, ...args: readonly string[]) =>
  daemon.berth(['build', '--network', 'none', ...args, directory.path], { limitMs: LIMIT_MS });

const archive = tar([
  { name: 'in', type: '5', mode: 0o755 },
  { name: 'in/file', type: '0', mode: 0o640, uid: 7, gid: 8, content: Buffer.from('inside') },
]);

describe('ADD', () => {
  test(
    'unpacks archives of the context, and only those',
    async () => {
      using directory = new BuildDirectory(
        `FROM ${BASE}\nADD a.tar /plain/\nADD a.tar.gz a.tar.zst /packed/\nADD text.gz /text/\nADD --unpack=false a.tar /kept/\n` +
          'RUN test "$(cat /plain/in/file)" = inside && test "$(stat -c %u:%g:%a /plain/in/file)" = 7:8:640\n' +
          'RUN test -f /packed/in/file && test -f /text/text.gz && test -f /kept/a.tar\n',
      );
      directory.write('a.tar', archive);
      directory.write('a.tar.gz', gzipSync(archive));
      directory.write('a.tar.zst', zstdCompressSync(archive));
      directory.write('text.gz', gzipSync('no archive'));
      const result = await build(directory);
      expect([result.code, result.code === 0 ? '' : result.stderr]).toEqual([0, '']);
    },
    LIMIT_MS,
  );

  test(
    'fetches by http with a checksum, and a tar or a Dockerfile as the context',
    async () => {
      const dockerfile = `FROM ${BASE}\nCOPY in/file /f\n`;
      const context = tar([
        { name: 'Dockerfile', type: '0', mode: 0o644, content: Buffer.from(dockerfile) },
        { name: 'in', type: '5', mode: 0o755 },
        { name: 'in/file', type: '0', mode: 0o644, content: Buffer.from('remote') },
      ]);
      using server = Bun.serve({
        port: 0,
        hostname: '127.0.0.1',
        fetch: ({ url }) => {
          if (url.endsWith('/file.txt')) return new Response('by http');
          if (url.endsWith('/context.tar')) return new Response(Uint8Array.from(context));
          if (url.endsWith('/Dockerfile')) return new Response(`FROM ${BASE}\nENV REMOTE=1\n`);
          return new Response('', { status: 404 });
        },
      });
      const at = `http://127.0.0.1:${server.port}`;
      const sum = createHash('sha256').update('by http').digest('hex');
      using directory = new BuildDirectory(
        `FROM ${BASE}\nADD --checksum=sha256:${sum} ${at}/file.txt /web/\nADD ${at}/file.txt /renamed\n` +
          'RUN grep "by http" /web/file.txt && grep "by http" /renamed && test $(stat -c %a /renamed) = 600\n',
      );
      const added = await build(directory);
      expect([added.code, added.code === 0 ? '' : added.stderr]).toEqual([0, '']);
      directory.write('Dockerfile', `FROM ${BASE}\nADD --checksum=sha256:${'0'.repeat(64)} ${at}/file.txt /\n`);
      expect((await build(directory)).stderr).toContain('digest mismatch');
      directory.write('Dockerfile', `FROM ${BASE}\nADD ${at}/none /\n`);
      expect((await build(directory)).stderr).toContain('invalid response status 404');
      expect((await daemon.berth(['build', '-t', 'remote-tar', `${at}/context.tar`])).code).toBe(0);
      expect(await daemon.must(['run', '--rm', '--network', 'none', 'remote-tar', 'cat', '/f'])).toBe('remote');
      expect((await daemon.berth(['build', '-t', 'remote-file', `${at}/Dockerfile`])).code).toBe(0);
      expect(await daemon.must(['inspect', '-f', '{{json .Config.Env}}', 'remote-file'])).toContain('REMOTE=1');
    },
    LIMIT_MS,
  );
});

describe('the same inputs', () => {
  test(
    'give the same digest with SOURCE_DATE_EPOCH, cache or not',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nCOPY f /d/f\nRUN echo made > /made; mkdir /x\nWORKDIR /w\n`, {
        f: 'f',
      });
      const args = ['-q', '--build-arg', 'SOURCE_DATE_EPOCH=1700000000'];
      const first = (await build(directory, ...args, '-t', 'epoch')).stdout;
      fs.utimesSync(path.join(directory.path, 'f'), 5, 5_000_000);
      expect(first).toMatch(/^sha256:/);
      expect((await build(directory, ...args)).stdout).toBe(first);
      expect((await build(directory, ...args, '--no-cache')).stdout).toBe(first);
      expect(await daemon.must(['inspect', '-f', '{{.Created}}', 'epoch'])).toBe('2023-11-14T22:13:20Z');
    },
    LIMIT_MS,
  );

  test(
    'of two builds at once run their steps once',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN cat /proc/sys/kernel/random/uuid > /id; sleep 1\n`);
      const both = await Promise.all([build(directory, '-q'), build(directory, '-q')]);
      expect(both.map(({ code }) => code)).toEqual([0, 0]);
      expect(both[0].stdout).toBe(both[1].stdout);
    },
    LIMIT_MS,
  );
});

describe('clients', () => {
  test(
    'docker-compose 1.29 builds and runs',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nARG A\nRUN echo "$A" > /a\nCMD ["cat", "/a"]\n`, {
        'docker-compose.yml': [
          'version: "3"',
          'services:',
          '  one:',
          '    network_mode: none',
          '    build: {context: ., args: {A: composed}}',
          '',
        ].join('\n'),
      });
      const compose = (...args: readonly string[]) =>
        run('docker-compose', ['-p', 'built', ...args], {
          cwd: directory.path,
          env: { DOCKER_HOST: `unix://${daemon.socket}`, DOCKER_BUILDKIT: '0', COMPOSE_DOCKER_CLI_BUILD: '0' },
          limitMs: LIMIT_MS,
        });
      const built = await compose('build');
      expect([built.code, built.code === 0 ? '' : built.stdout + built.stderr]).toEqual([0, '']);
      expect((await compose('run', '--rm', 'one')).stdout.trim()).toBe('composed');
      await compose('down');
    },
    LIMIT_MS,
  );
});
