/** The classic `/build` as the stock docker CLI uses it: lines, results, cache, failures, cancelling. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as path from 'node:path';
import * as fs from 'node:fs';
import { BASE, BuildDirectory } from '../../support/build-context.ts';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const LIMIT_MS = 60_000;
let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start();
}, LIMIT_MS);
afterAll(async () => daemon[Symbol.asyncDispose](), LIMIT_MS);

const build = (directory: BuildDirectory, ...args: readonly string[]) =>
  daemon.docker(['build', ...args, directory.path], { env: { DOCKER_BUILDKIT: '0' }, limitMs: LIMIT_MS });

const runIn = (image: string, ...command: readonly string[]) =>
  daemon.must(['run', '--rm', '--network', 'none', image, ...command]);

describe('docker build with the classic builder', () => {
  test(
    'stages, files, variables and configuration; the second build is all from the cache and the same image',
    async () => {
      using directory = new BuildDirectory(
        [
          `ARG BASE=${BASE}`,
          'FROM $BASE AS make',
          'ARG WHO=nobody',
          'ENV GREETING="hello  there"',
          'WORKDIR /work',
          'COPY a.txt sub/ ./',
          'RUN echo "$GREETING $WHO" > out && cat a.txt deep/b.txt >> out',
          `FROM ${BASE}`,
          'COPY --from=make /work/out /out',
          'LABEL of=test',
          'EXPOSE 80 53/udp',
          'USER 1000:1000',
          'CMD ["cat", "/out"]',
        ].join('\n'),
        { 'a.txt': 'A\n', 'sub/deep/b.txt': 'B\n' },
      );
      const first = await build(directory, '-t', 'first', '--build-arg', 'WHO=world', '--build-arg', 'UNUSED=1');
      expect(first.code).toBe(0);
      expect(first.stdout).toContain('Step 1/13 : ARG BASE=');
      expect(first.stdout).toContain(' ---> Running in ');
      expect(first.stdout).toContain('[Warning] One or more build-args [UNUSED] were not consumed');
      expect(first.stdout).toMatch(/Successfully built [0-9a-f]{12}\nSuccessfully tagged first:latest/);
      expect(await runIn('first')).toBe('hello  there world\nA\nB');
      const format = '{{json .Config.Labels}} {{json .Config.ExposedPorts}} {{.Config.User}} {{json .Config.Cmd}}';
      expect(await daemon.must(['inspect', '-f', format, 'first'])).toBe(
        '{"of":"test"} {"53/udp":{},"80/tcp":{}} 1000:1000 ["cat","/out"]',
      );
      const id = await daemon.must(['inspect', '-f', '{{.Id}}', 'first']);
      const second = await build(directory, '-t', 'second', '--build-arg', 'WHO=world');
      expect(second.stdout).not.toContain('Running in');
      expect(second.stdout).toContain(' ---> Using cache');
      expect(await daemon.must(['inspect', '-f', '{{.Id}}', 'second'])).toBe(id);
      const other = await build(directory, '-t', 'other', '--build-arg', 'WHO=you');
      expect(other.stdout).toContain('Running in');
      expect(await runIn('other')).toStartWith('hello  there you');
      expect(await daemon.must(['ps', '-aq'])).toBe('');
    },
    LIMIT_MS,
  );

  test(
    'a changed file builds what needs it anew, a touched one nothing; --no-cache builds all',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nCOPY a /a\nCOPY b /b\nRUN cat /a /b > /both\n`, {
        a: '1',
        b: '2',
      });
      await build(directory, '-t', 'changes');
      fs.utimesSync(path.join(directory.path, 'a'), 1, 1);
      expect((await build(directory)).stdout).not.toContain('Running in');
      directory.write('b', '3');
      const changed = await build(directory, '-t', 'changes');
      expect(changed.stdout.split('Using cache')).toHaveLength(2);
      expect(await runIn('changes', 'cat', '/both')).toBe('13');
      directory.write('b', '3', 0o755);
      expect((await build(directory)).stdout).toContain('Running in');
      expect((await build(directory, '--no-cache')).stdout).not.toContain('Using cache');
    },
    LIMIT_MS,
  );

  test(
    'a command that fails gives its code, output and no image; a Dockerfile that cannot be read names its line',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN echo before; exit 7\n`);
      const failed = await build(directory, '-t', 'never');
      expect(failed.code).toBe(7);
      expect(failed.stdout).toContain('before');
      expect(failed.stderr).toContain("The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7");
      directory.write('Dockerfile', `FROM ${BASE}\nRNU true\n`);
      const wrong = await build(directory);
      expect(wrong.code).toBe(1);
      expect(wrong.stderr).toContain('dockerfile parse error on line 2: unknown instruction: RNU');
      directory.write('Dockerfile', `FROM ${BASE}\nCOPY nothing /\n`);
      expect((await build(directory)).stderr).toContain('"/nothing": not found');
      expect((await daemon.docker(['inspect', 'never'])).code).not.toBe(0);
      expect(await daemon.must(['ps', '-aq'])).toBe('');
    },
    LIMIT_MS,
  );

  test(
    'says what dockerd says: the base image, a quiet build that fails, what is no signal, isolation or option',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nENV A=1\nRUN echo hidden; exit 3\n`);
      const id = (await daemon.must(['images', '-q', BASE])).trim();
      const quiet = await build(directory, '-q');
      expect([quiet.code, quiet.stdout]).toEqual([3, '']);
      const step = (number: number, text: string): string => `Step ${number}/3 : ${text}\n ---> ${id}\n`;
      expect(quiet.stderr).toContain(`${step(1, `FROM ${BASE}`)}${step(2, 'ENV A=1')}Step 3/3 : RUN echo hidden`);
      expect(quiet.stderr).toMatch(/^hidden$/m);
      for (const [line, args, said] of [
        ['STOPSIGNAL FOO', [], 'invalid signal: FOO'],
        ['CMD true', ['--isolation', 'hyperv'], 'Unsupported isolation: "hyperv"'],
        ['CMD true', ['--security-opt', 'bogus=1'], 'invalid --security-opt 2: "bogus=1"'],
        ['ADD http://127.0.0.1:1/x /', [], 'failed to load http://127.0.0.1:1/x: connection refused'],
      ] as const) {
        directory.write('Dockerfile', `FROM ${BASE}\n${line}\n`);
        const refused = await build(directory, ...args);
        expect([line, refused.code]).toEqual([line, 1]);
        expect(refused.stderr).toContain(said);
      }
      // A cache that is not there is said on a line of its own.
      directory.write('Dockerfile', `FROM ${BASE}\nCMD true\n`);
      expect((await build(directory, '--cache-from', 'nowhere:1')).stdout).toMatch(/^Step 1\/2 : FROM /m);
    },
    LIMIT_MS,
  );

  test(
    'a client that goes ends the build with its processes',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN echo be''gun; sleep 1000\n`);
      const command = ['docker', '-H', `unix://${daemon.socket}`, 'build', directory.path];
      const client = Bun.spawn(command, {
        env: { ...process.env, DOCKER_BUILDKIT: '0' },
        stdout: 'pipe',
        stderr: 'ignore',
      });
      let said = '';
      for await (const piece of client.stdout) {
        said += Buffer.from(piece).toString();
        if (said.includes('begun')) break;
      }
      client.kill('SIGKILL');
      await client.exited;
      await eventually('the step is gone', async () => (await daemon.must(['ps', '-aq'])) === '', 10_000);
    },
    LIMIT_MS,
  );

  test(
    'ignored files do not arrive; a Dockerfile on stdin; --target, --label, -q, --iidfile, ONBUILD',
    async () => {
      using directory = new BuildDirectory(
        `FROM ${BASE} AS one\nCOPY . /all\nONBUILD RUN echo triggered > /trigger\nFROM ${BASE}\nRUN false\n`,
        { '.dockerignore': '*.log\n!keep.log\n', 'a.log': 'x', 'keep.log': 'y', 'd/e.txt': 'z' },
      );
      const iidfile = path.join(directory.path, '..', `${path.basename(directory.path)}.iid`);
      const quiet = await build(
        directory,
        '--target',
        'one',
        '-q',
        '--label',
        'l=1',
        '--iidfile',
        iidfile,
        '-t',
        'one',
      );
      expect(quiet.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
      expect(fs.readFileSync(iidfile, 'utf8').trim()).toBe(quiet.stdout.trim());
      fs.rmSync(iidfile);
      expect((await runIn('one', 'find', '/all', '-name', '*.*', '-type', 'f')).split('\n').sort().join('\n')).toBe(
        ['/all/.dockerignore', '/all/d/e.txt', '/all/keep.log'].sort().join('\n'),
      );
      const input = 'FROM one\nRUN cat /trigger > /seen\n';
      const piped = await daemon.docker(['build', '-t', 'piped', '-'], { env: { DOCKER_BUILDKIT: '0' }, input });
      expect(piped.stdout).toContain('# Executing 1 build trigger');
      expect(await runIn('piped', 'cat', '/seen')).toBe('triggered');
    },
    LIMIT_MS,
  );

  test(
    'the cache is shown by df and removed by prune',
    async () => {
      const rows = (await daemon.must(['system', 'df', '--format', '{{.Type}} {{.TotalCount}}'])).split('\n');
      const count = Number(
        rows
          .find((row) => row.startsWith('Build Cache'))
          ?.split(' ')
          .at(-1),
      );
      expect(count).toBeGreaterThan(3);
      const pruned = await daemon.must(['builder', 'prune', '-a', '-f']);
      expect(pruned).toContain('Total reclaimed space');
      const { body } = await daemon.request('GET', '/berth/build/cache');
      expect(body).toEqual([]);
      expect(await runIn('first')).toContain('world');
    },
    LIMIT_MS,
  );
});
