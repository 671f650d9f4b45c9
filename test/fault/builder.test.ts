/** `kill -9` of the daemon in the middle of a build: nothing is left behind, and finished steps are used again. */
import { describe, expect, test } from 'bun:test';
import { BASE, BuildDirectory } from '../support/build-context.ts';
import { TestDaemon } from '../support/daemon.ts';

const LIMIT_MS = 120_000;
const DOCKERFILE = `FROM ${BASE}\nRUN echo 1 > /1\nCOPY f /f\nRUN echo 2 > /2\n`;

describe('kill -9', () => {
  test(
    'at each named point of a build',
    async () => {
      await using daemon = await TestDaemon.start({ noBridge: true });
      using directory = new BuildDirectory(DOCKERFILE, { f: 'f' });
      const build = () => daemon.berth(['build', '--network', 'none', '-t', 'again', directory.path]);
      const points = [
        'build.context-kept',
        'build.step-sealed',
        'build.step-recorded',
        'build.blob-written',
        'build.layers-recorded',
      ];
      for (const [index, point] of points.entries()) {
        // New content: each round builds all steps.
        directory.write('Dockerfile', DOCKERFILE.replace('echo 1', `echo 1.${index}`));
        await daemon.kill();
        await daemon.launch({ BERTH_FAILPOINTS: `${point}=kill` });
        expect((await build()).code).not.toBe(0);
        await daemon.ended();
        await daemon.launch();
        expect(await daemon.must(['ps', '-aq'])).toBe('');
        const result = await build();
        expect([point, result.code]).toEqual([point, 0]);
        // What was recorded before is there.
        if (points.indexOf(point) > 1) expect(result.stderr).toContain('CACHED');
        expect(await daemon.must(['run', '--rm', '--network', 'none', 'again', 'cat', '/1', '/f', '/2'])).toBe(
          `1.${index}\nf2`,
        );
      }
      expect((await daemon.berth(['builder', 'prune', '-af'])).code).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    'while a command runs: its processes are gone with the next start',
    async () => {
      await using daemon = await TestDaemon.start({ noBridge: true });
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN echo 1 > /1\nRUN echo be''gun; sleep 1000\n`);
      const command = ['docker', '-H', `unix://${daemon.socket}`, 'build', '--network', 'none', directory.path];
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
      await daemon.restart();
      await client.exited;
      expect(await daemon.must(['ps', '-aq'])).toBe('');
      directory.write('Dockerfile', `FROM ${BASE}\nRUN echo 1 > /1\n`);
      const again = await daemon.berth(['build', '--network', 'none', directory.path]);
      expect([again.code, again.stderr.includes('CACHED')]).toEqual([0, true]);
    },
    LIMIT_MS,
  );
});
