/** `berth build`: what is sent, shown and made, and the commands around it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { BASE, BuildDirectory } from '../../support/build-context.ts';
import { TestDaemon } from '../../support/daemon.ts';

const LIMIT_MS = 60_000;
let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start();
}, LIMIT_MS);
afterAll(async () => daemon[Symbol.asyncDispose](), LIMIT_MS);

const build = (directory: BuildDirectory, ...args: readonly string[]) =>
  daemon.berth(['build', ...args, directory.path], { limitMs: LIMIT_MS });

describe('berth build', () => {
  test(
    'plain progress, names, files by -o and archives, iidfile and metadata',
    async () => {
      using directory = new BuildDirectory(
        `FROM ${BASE} AS make\nRUN echo built > /result; chmod 751 /result\nFROM scratch\nCOPY --from=make /result /sub/result\n`,
      );
      const out = path.join(directory.path, 'out');
      const iidfile = path.join(directory.path, 'iid');
      const metadata = path.join(directory.path, 'metadata.json');
      const made = await build(directory, '-t', 'cli:1', '-o', out, '--iidfile', iidfile, '--metadata-file', metadata);
      expect([made.code, made.stdout]).toEqual([0, '']);
      expect(made.stderr).toContain(`[make 1/2] FROM ${BASE} AS make`);
      expect(made.stderr).toMatch(/#\d+ DONE \d+\.\ds/);
      expect(fs.readFileSync(path.join(out, 'sub/result'), 'utf8')).toBe('built\n');
      expect(fs.statSync(path.join(out, 'sub/result')).mode & 0o777).toBe(0o751);
      const id = await daemon.must(['inspect', '-f', '{{.Id}}', 'cli:1']);
      expect(fs.readFileSync(iidfile, 'utf8')).toBe(id);
      expect(JSON.parse(fs.readFileSync(metadata, 'utf8'))).toMatchObject({ 'containerimage.config.digest': id });
      const archive = path.join(directory.path, 'image.tar');
      expect((await build(directory, '-q', '-t', 'cli:1', '-o', `type=docker,dest=${archive}`)).stdout).toBe(`${id}\n`);
      expect((await daemon.docker(['load', '-i', archive])).stdout).toContain('cli:1');
    },
    LIMIT_MS,
  );

  test(
    'only what is named and not ignored is sent; a Dockerfile elsewhere; further contexts',
    async () => {
      using other = new BuildDirectory('unused', { 'other.txt': 'other' });
      using directory = new BuildDirectory(`FROM ${BASE}\nCOPY used /all\nCOPY --from=more other.txt /all/\n`, {
        '.dockerignore': 'used/ignored\n',
        'used/a': 'a',
        'used/ignored': 'i',
        'big/never-sent': 'n',
      });
      const dockerfile = path.join(other.path, 'Elsewhere');
      fs.renameSync(path.join(directory.path, 'Dockerfile'), dockerfile);
      const made = await build(directory, '-f', dockerfile, '-t', 'cli:2', '--build-context', `more=${other.path}`);
      expect(made.stderr).toContain('DONE');
      expect(made.code).toBe(0);
      const found = await daemon.must(['run', '--rm', '--network', 'none', 'cli:2', 'find', '/all', '-type', 'f']);
      expect(found.split('\n').sort()).toEqual(['/all/a', '/all/other.txt']);
    },
    LIMIT_MS,
  );

  test(
    'explain names what has changed; failures have the code of the command; --check judges',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nARG A=1\nCOPY f /f\nRUN echo $A > /a\n`, { f: '1' });
      const explain = (...args: readonly string[]) => daemon.berth(['build', 'explain', ...args, directory.path]);
      expect((await explain()).stdout).toContain('not cached: nothing was built in its place before');
      expect((await explain()).stdout).toMatch(/COPY f \/f\n {2}cached\n.*RUN echo \$A > \/a\n {2}cached/);
      expect((await explain('--build-arg', 'A=2')).stdout).toMatch(/cached\n.*\n {2}not cached: variables or build/);
      directory.write('f', '2');
      expect((await explain()).stdout).toMatch(
        /COPY f \/f\n {2}not cached: contents, .*\n.*RUN.*\n {2}not cached: a step before/,
      );
      directory.write('Dockerfile', `FROM ${BASE}\nRUN exit 9\n`);
      const failed = await build(directory);
      expect([failed.code, failed.stderr.includes('returned a non-zero code: 9')]).toEqual([9, true]);
      directory.write('Dockerfile', `from ${BASE}\nMAINTAINER me\n`);
      const judged = await build(directory, '--check');
      expect(judged.code).toBe(1);
      expect(judged.stdout).toContain('MaintainerDeprecated');
      directory.write('Dockerfile', `# check=experimental=all\nFROM ${BASE}\nCOPY kept/secret /\n`);
      directory.write('.dockerignore', 'kept/sec*\n');
      expect((await build(directory, '--check')).stdout).toContain('CopyIgnoredFile');
    },
    LIMIT_MS,
  );

  test(
    'what is not there is refused by name; raw events; the cache is listed and removed',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN true\n`);
      for (const type of ['gha', 's3', 'azblob']) {
        expect((await build(directory, '--cache-to', `type=${type}`)).stderr).toContain(
          `type=${type} are not supported`,
        );
        expect((await build(directory, '--cache-from', `type=${type}`)).stderr).toContain(`type=${type} are not`);
      }
      expect((await build(directory, '--sbom', 'generator=x')).stderr).toContain('generator of its own (x) is not run');
      const estargz = await build(directory, '-o', 'type=image,compression=estargz');
      expect(estargz.stderr).toContain('compression=estargz is not supported');
      const raw = await build(directory, '--progress', 'rawjson');
      const events = raw.stderr.split('\n').filter((line) => line.startsWith('{'));
      expect(events.some((line) => line.includes('"built":"sha256:'))).toBe(true);
      expect((await daemon.berth(['builder', 'du'])).stdout).toContain('Reclaimable:');
      expect((await daemon.berth(['builder', 'prune', '-af'])).stdout).toContain('Total reclaimed space');
      expect((await daemon.berth(['builder', 'du', '--verbose'])).stdout).toContain('Total:\t\t0B');
    },
    LIMIT_MS,
  );
});
