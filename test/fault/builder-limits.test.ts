/** Builds that are ended, run out of room, or fill the cache: nothing is left behind, and the next one works. */
import { describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { BASE, BuildDirectory } from '../support/build-context.ts';
import { busyboxImage } from '../support/base-images.ts';
import { eventually, must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const LIMIT_MS = 120_000;

/** Of the whole host, by a word that only this test's command has. */
function processesWith(word: string): string[] {
  return fs.readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return false;
    try {
      const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
      return words[0] === 'sleep' && words.includes(word);
    } catch {
      return false;
    }
  });
}

describe('a build', () => {
  test(
    'that is ended by Ctrl-C or by a client that goes: its processes go with it',
    async () => {
      await using daemon = await TestDaemon.start({ noBridge: true });
      const seconds = String(500_000 + process.pid);
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN sleep ${seconds} & echo be''gun; sleep ${seconds}\n`);
      const root = path.resolve(import.meta.dirname, '../..');
      for (const signal of ['SIGINT', 'SIGKILL'] as const) {
        const client = Bun.spawn(
          [path.join(root, 'berth'), 'build', '--progress', 'plain', '--network', 'none', directory.path],
          {
            env: { ...process.env, BERTH_HOST: `unix://${daemon.socket}`, XDG_CACHE_HOME: daemon.directory },
            stdout: 'ignore',
            stderr: 'pipe',
          },
        );
        let said = '';
        const reading = (async () => {
          for await (const piece of client.stderr) said += Buffer.from(piece).toString();
        })();
        await eventually('the command runs', async () => / begun$/m.test(said), 60_000);
        await eventually('both processes run', async () => processesWith(seconds).length === 2, 30_000);
        client.kill(signal);
        await eventually('the processes are gone', async () => processesWith(seconds).length === 0, 30_000);
        await client.exited;
        await reading;
        if (signal === 'SIGINT') expect(client.exitCode).toBe(130);
        const none = async () => (await daemon.must(['ps', '-aq'])) === '';
        await eventually('the container is gone', none, 30_000);
      }
    },
    LIMIT_MS,
  );

  test(
    'without room: a clear error, nothing half made, and the next one works',
    async () => {
      const mount = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-small-'));
      await must('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', mount]);
      try {
        await using daemon = await TestDaemon.start({
          dataRoot: path.join(mount, 'data'),
          noBridge: true,
          image: false,
        });
        await daemon.must(['load', '-q', '-i', (await busyboxImage()).path]);
        using directory = new BuildDirectory(`FROM ${BASE}\nCOPY . /app\n`, { small: 'small' });
        const build = (...args: string[]) =>
          daemon.berth(['build', '--network', 'none', '-t', 'room', ...args, directory.path], { limitMs: LIMIT_MS });
        expect((await build()).code).toBe(0);
        const used = fs.statfsSync(mount);
        // The context has no room; a command fills what is left; a layer has none.
        directory.write('large', Buffer.alloc(40 << 20, 7));
        const context = await build();
        expect(context.stderr).toMatch(/no space left on device/i);
        expect(context.code).toBe(1);
        directory.write('large', Buffer.alloc(14 << 20, 7));
        const layer = await build();
        expect(layer.stderr).toMatch(/no space left on device/i);
        expect(layer.code).toBe(1);
        fs.rmSync(path.join(directory.path, 'large'));
        directory.write('Dockerfile', `FROM ${BASE}\nRUN cat /dev/zero > /full\n`);
        const command = await build();
        expect(command.stderr).toMatch(/no space left on device/i);
        expect(command.code).toBe(1);
        expect(await daemon.must(['ps', '-aq'])).toBe('');
        // What was written is deleted aside.
        const room = async () => fs.statfsSync(mount).bfree > used.bfree / 2;
        await eventually('there is room again', room, 30_000);
        directory.write('Dockerfile', `FROM ${BASE}\nCOPY . /app\nRUN echo works > /works\n`);
        const last = await build();
        expect([last.code, last.code === 0 ? '' : last.stderr]).toEqual([0, '']);
        expect(await daemon.must(['run', '--rm', '--network', 'none', 'room', 'cat', '/works', '/app/small'])).toBe(
          'works\nsmall',
        );
        await daemon.must(['builder', 'prune', '-af']);
        const freed = async () => fs.statfsSync(mount).bfree > used.bfree - 512;
        await eventually('what failed builds have written is gone', freed, 30_000);
      } finally {
        await run('umount', ['-l', mount]);
        fs.rmdirSync(mount);
      }
    },
    LIMIT_MS,
  );
});

test(
  'budgets of prune: what may stay stays, least recently used goes first',
  async () => {
    await using daemon = await TestDaemon.start({ noBridge: true });
    const megabyte = 1 << 20;
    using directory = new BuildDirectory('');
    for (const name of ['one', 'two', 'three']) {
      const command = `head -c ${4 * megabyte} /dev/urandom > /${name}`;
      directory.write(
        'Dockerfile',
        `FROM ${BASE} AS made\nRUN ${command}\nFROM scratch\nCOPY --from=made /bin/true /true\n`,
      );
      const { code, stderr } = await daemon.berth(['build', '--network', 'none', directory.path], {
        limitMs: LIMIT_MS,
      });
      expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    }
    interface Entry {
      readonly Description: string;
      readonly Type: string;
    }
    const steps = async (): Promise<string[]> => {
      const { body } = await daemon.request('GET', '/berth/build/cache');
      // as: the shape of the route's answer.
      const entries = body as readonly Entry[];
      return entries.flatMap(({ Description }) => /\/(one|two|three)$/.exec(Description)?.[1] ?? []).sort();
    };
    const prune = (query: string) => daemon.request('POST', `/v1.51/build/prune?${query}`);
    expect(await steps()).toEqual(['one', 'three', 'two']);
    await prune(`all=1&reserved-space=${64 * megabyte}`);
    expect(await steps()).toEqual(['one', 'three', 'two']);
    await prune(`all=1&max-used-space=${10 * megabyte}`);
    expect(await steps()).toEqual(['three', 'two']);
    await prune(`all=1&keep-storage=${6 * megabyte}`);
    expect(await steps()).toEqual(['three']);
    await prune('all=1&min-free-space=1');
    expect(await steps()).toEqual(['three']);
    const most = BigInt(fs.statfsSync(daemon.dataRoot).blocks) * BigInt(fs.statfsSync(daemon.dataRoot).bsize);
    await prune(`all=1&min-free-space=${most}&reserved-space=${64 * megabyte}`);
    expect(await steps()).toEqual(['three']);
    await prune(`all=1&min-free-space=${most}`);
    expect(await steps()).toEqual([]);
  },
  LIMIT_MS,
);

const hasAgent = fs.existsSync('/usr/bin/ssh-agent') && fs.existsSync('/lib64/ld-linux-x86-64.so.2');

test.skipIf(!hasAgent)(
  'a real ssh agent answers in RUN --mount=type=ssh',
  async () => {
    await using daemon = await TestDaemon.start({ noBridge: true });
    const agent = path.join(daemon.directory, 'agent.sock');
    const key = path.join(daemon.directory, 'key');
    await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'key-of-this-test', '-f', key]);
    // In the foreground: it ends with this scope.
    const running = Bun.spawn(['ssh-agent', '-D', '-a', agent], { stdout: 'ignore', stderr: 'ignore' });
    try {
      await eventually('the agent listens', async () => fs.existsSync(agent));
      await must('ssh-add', ['-q', key], { env: { SSH_AUTH_SOCK: agent } });
      // The host's own program, by its own loader: links of the host lead elsewhere in the container.
      const loader = fs.realpathSync('/lib64/ld-linux-x86-64.so.2');
      const list = `/host${loader} --library-path /host${path.dirname(loader)} /host${fs.realpathSync('/usr/bin/ssh-add')} -l`;
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN --mount=type=ssh ${list}\n`);
      const args = [
        'build',
        '--progress',
        'plain',
        '--network',
        'none',
        '--ssh',
        `default=${agent}`,
        '-v',
        '/:/host:ro',
      ];
      const { code, stderr } = await daemon.berth([...args, directory.path], { limitMs: LIMIT_MS });
      expect(stderr).toContain('key-of-this-test');
      expect(code).toBe(0);
    } finally {
      running.kill();
      await running.exited;
    }
  },
  LIMIT_MS,
);
