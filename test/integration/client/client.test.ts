/** Our own CLI against our daemon: streams, terminals, exit codes, signals, images of the host, jobs. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { Terminal } from '../../support/terminal.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const IMG = 'berth.test/busybox:1';
const none = ['run', '--rm', '--network', 'none'];
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

async function berth(...args: string[]): Promise<string> {
  const r = await d.berth(args);
  if (r.code !== 0) throw new Error(`berth ${args.join(' ')}: exit ${r.code}\n${r.stdout}${r.stderr}`);
  return r.stdout.replace(/\n$/, '');
}

describe('run', () => {
  test('streams and exit code', async () => {
    const r = await d.berth([...none, IMG, 'sh', '-c', 'echo out; echo err >&2; exit 42']);
    expect(r).toEqual({ code: 42, stdout: 'out\n', stderr: 'err\n' });
  });
  test('125, 126, 127', async () => {
    expect((await d.berth([...none, IMG, 'nosuchcommand'])).code).toBe(127);
    expect((await d.berth([...none, IMG, '/etc/passwd'])).code).toBe(126);
    const missing = await d.berth(['run', 'nosuchimage']);
    expect(missing.code).toBe(125);
    expect(missing.stderr).toStartWith(
      "Unable to find image 'nosuchimage:latest' locally\nberth: Error response from daemon:",
    );
  });
  test('input to its end, whole and in order', async () => {
    const input = 'line\n'.repeat(200_000);
    const expected = new Bun.CryptoHasher('md5').update(input).digest('hex');
    expect((await d.berth([...none, '-i', IMG, 'md5sum'], { input })).stdout).toBe(`${expected}  -\n`);
    expect((await d.berth([...none, '-i', IMG, 'cat'], { input })).stdout).toBe(input);
  });
  test('the id goes to a file, once', async () => {
    const file = path.join(d.directory, 'cid');
    const id = await berth('run', '-d', '--cidfile', file, '--network', 'none', IMG, 'sleep', '100');
    expect(fs.readFileSync(file, 'utf8')).toBe(id);
    expect((await d.berth(['create', '--cidfile', file, IMG, 'true'])).code).toBe(125);
    await berth('rm', '-f', id);
  });
  test('--replace takes the name from a container that has it, also a running one', async () => {
    const first = await berth('run', '-d', '--replace', '--name', 'again', '--network', 'none', IMG, 'sleep', '100');
    const refused = await d.berth(['run', '-d', '--name', 'again', '--network', 'none', IMG, 'true']);
    expect([refused.code, refused.stderr.includes('is already in use by container')]).toEqual([125, true]);
    const second = await berth('create', '--replace', '--name', 'again', '--network', 'none', IMG, 'true');
    expect(second).not.toBe(first);
    expect(await berth('inspect', '--format', '{{.Id}} {{.State.Status}}', 'again')).toBe(`${second} created`);
    expect((await d.berth(['inspect', first])).code).toBe(1);
    const out = await berth('run', '--rm', '--replace', '--name', 'again', '--network', 'none', IMG, 'echo', 'third');
    expect(out).toBe('third');
    expect((await d.berth(['inspect', 'again'])).code).toBe(1);
  });
  test('--replace without a name is refused', async () => {
    for (const command of ['run', 'create']) {
      const r = await d.berth([command, '--replace', '--network', 'none', IMG, 'true']);
      expect(r.code).toBe(125);
      expect(r.stderr).toContain('cannot replace container without --name being set');
    }
  });
  test('signals go to the program', async () => {
    const script = 'trap "echo got; exit 9" TERM; echo up; while :; do sleep 0.05; done';
    const child = spawn(path.join(root, 'berth'), [...none, IMG, 'sh', '-c', script], {
      env: { ...process.env, BERTH_HOST: `unix://${d.socket}` },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (b: Buffer) => (text += b.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    await eventually('the program is up', () => text.includes('up'));
    child.kill('SIGTERM');
    expect(await ended).toBe(9);
    expect(text).toBe('up\ngot\n');
  });
});

describe('terminals', () => {
  const command = (args: string) => `env BERTH_HOST=unix://${d.socket} ${path.join(root, 'berth')} ${args}`;
  test('run -it has the size of ours and gives it back unchanged', async () => {
    const script = `${command(`run --rm -it --network none ${IMG} sh`)}; echo left with $?; stty -a`;
    await using terminal = new Terminal(`sh -c '${script}'`);
    await terminal.sees('# ');
    terminal.types('stty size\n');
    await terminal.sees('24 80');
    terminal.types('exit 7\n');
    await terminal.sees('left with 7');
    await terminal.sees('icanon');
    expect(terminal.text).not.toContain('-icanon');
  });
  test('detach, attach, exec', async () => {
    {
      await using terminal = new Terminal(command(`run -it --name term --network none ${IMG} sh`));
      await terminal.sees('# ');
      terminal.types('\u0010\u0011');
      expect(await terminal.ended).toBe(0);
    }
    {
      await using terminal = new Terminal(command('attach --detach-keys a,b term'));
      terminal.types('echo seen again\n');
      await terminal.sees('\nseen again');
      terminal.types('ab');
      expect(await terminal.ended).toBe(1);
      expect(terminal.text).toContain('read escape sequence');
    }
    {
      await using terminal = new Terminal(command('exec -it term sh'));
      await terminal.sees('# ');
      terminal.types('exit 5\n');
      expect(await terminal.ended).toBe(5);
    }
    await berth('rm', '-f', 'term');
  });
  test('a terminal inside needs one here', async () => {
    expect(await d.berth(['run', '-it', IMG, 'sh'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'the input device is not a TTY\n',
    });
  });
});

test('the life of a container by its short verbs', async () => {
  const id = await berth(
    'create',
    '--name',
    'one',
    '-l',
    'a=b',
    '--network',
    'none',
    IMG,
    'sh',
    '-c',
    'echo x; sleep 100',
  );
  expect(await berth('ps', '-aq', '--no-trunc', '--filter', 'label=a=b')).toBe(id);
  expect(await berth('start', 'one')).toBe('one');
  expect(await berth('exec', '-e', 'V=1', '-w', '/tmp', 'one', 'sh', '-c', 'echo $V $PWD')).toBe('1 /tmp');
  expect(await berth('inspect', 'one', '--format', '{{.State.Status}} {{json .Config.Labels}}')).toBe(
    'running {"a":"b"}',
  );
  expect(await berth('logs', 'one')).toBe('x');
  expect(await berth('top', 'one')).toContain('sleep 100');
  await berth('rename', 'one', 'two');
  expect(await berth('restart', '-t', '0', 'two')).toBe('two');
  expect(await berth('stop', '-t', '0', 'two')).toBe('two');
  expect(await berth('wait', 'two')).toBe('137');
  const table = await berth('ps', '-a', '--filter', 'name=two');
  expect(table).toMatch(/^CONTAINER ID {3}IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES\n/);
  expect(table).toMatch(/\n[0-9a-f]{12} {3}\S+ +"sh -c 'echo x; slee…" +\S.* ago +Exited \(137\) .* ago +two$/);
  expect(await berth('rm', 'two')).toBe('two');
  const events = await berth(
    'events',
    '--since',
    '1m',
    '--until',
    '0s',
    '--filter',
    `container=${id}`,
    '--format',
    '{{.Action}}',
  );
  for (const action of ['create', 'start', 'rename', 'kill', 'die', 'restart', 'stop', 'destroy']) {
    expect(events.split('\n')).toContain(action);
  }
});

describe('images', () => {
  test('of this host: the same twice, and they run', async () => {
    const first = await berth('image', 'from-host', '-q', 'tools', 'sh', 'ls', 'id');
    expect(await berth('image', 'from-host', '-q', 'again:2', 'sh', 'ls', 'id')).toBe(first);
    expect(await berth('images', '-q', '--no-trunc', 'again')).toBe(first);
    expect(await berth(...none, 'tools', 'sh', '-c', 'id -u && ls /')).toContain('0\nbin\ndev\netc');
    expect(await berth('rmi', 'tools')).toBe('Untagged: tools:latest');
  });
  test('save, load, tag, history', async () => {
    const file = path.join(d.directory, 'saved.tar');
    await berth('tag', IMG, 'other:1');
    await berth('save', '-o', file, 'other:1');
    await berth('rmi', 'other:1');
    expect(await berth('load', '-i', file)).toBe('Loaded image: other:1');
    expect(await berth('history', '-q', '--no-trunc', 'other:1')).toBe(
      await berth('images', '-q', '--no-trunc', 'other'),
    );
    await berth('rmi', 'other:1');
  });
  test('no such file, no such image', async () => {
    expect(await d.berth(['load', '-i', '/nope'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'open /nope: no such file or directory\n',
    });
    expect((await d.berth(['save', 'nope'])).stderr).toStartWith('Error response from daemon: No such image: nope');
  });
});

test('what the daemon does can be listed and cancelled', async () => {
  const id = await berth('run', '-d', '--network', 'none', IMG, 'sleep', '100');
  const waiting = d.berth(['wait', id]);
  const job = await eventually('the wait is a job', async () => {
    const line = (await berth('jobs', '-r', '--format', '{{.ID}} {{.Name}}'))
      .split('\n')
      .find((l) => l.includes('container.wait'));
    return line?.split(' ')[0];
  });
  expect(await berth('jobs', 'cancel', job)).toBe(job);
  expect((await waiting).code).toBe(1);
  await berth('rm', '-f', id);
});

test('info and version have the daemon in them', async () => {
  expect(await berth('version')).toMatch(/^Client:\n[\s\S]*\nServer: Berth\n Engine:\n/);
  expect(await berth('info')).toContain(` Docker Root Dir: ${d.dataRoot}\n`);
  expect(JSON.parse(await berth('info', '--format', 'json'))).toMatchObject({ OSType: 'linux' });
});

test('the stock CLI and ours print the same tables', async () => {
  const id = await berth('run', '-d', '--name', 'same', '--network', 'none', IMG, 'sleep', '100');
  const host = ['-H', `unix://${d.socket}`];
  for (const args of [
    ['ps', '-a'],
    ['ps', '-as', '--no-trunc'],
    ['images'],
    ['images', '--digests'],
    ['history', IMG],
    ['top', 'same'],
    ['port', 'same'],
  ]) {
    const stock = await must('docker', [...host, ...args], { env: { DOCKER_CLI_HINTS: 'false' } });
    expect(ageless(await berth(...args))).toBe(ageless(stock));
  }
  await berth('rm', '-f', id);
});

/** A second may pass between two lists: ages, and the widths that follow from them, are no difference. */
function ageless(table: string): string {
  return table.replaceAll(/Less than a second|\d+ seconds?/g, 'AGE').replaceAll(/ {2,}/g, '  ');
}
