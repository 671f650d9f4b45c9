/** `berth oci` from outside: the command line, the state document and the states of runc. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { recvmsg, unixListen, accept } from '#sys/sockets.ts';
import { close } from '#sys/files.ts';
import { run, type CommandResult } from '../../support/command.ts';
import { Bench, readTerminal, specOf, type SpecChanges } from './bench.ts';

const program = path.resolve(import.meta.dirname, '../../../src/cmd/oci.ts');
let bench: Bench;
let root: string;
let count = 0;

beforeAll(() => {
  bench = new Bench();
  root = bench.at('state');
});
afterAll(async () => {
  for (const id of fs.existsSync(root) ? fs.readdirSync(root) : []) await oci('delete', '--force', id);
  await bench[Symbol.asyncDispose]();
});

const oci = (...args: string[]): Promise<CommandResult> =>
  run(process.execPath, [program, '--root', root, ...args], { cwd: bench.directory, limitMs: 20_000 });

/** Writes the bundle's config.json and gives an unused id. */
function bundle(args: readonly string[], changes: SpecChanges = {}): string {
  const spec = specOf(args, changes);
  const { username: _, ...user } = spec.process?.user ?? { uid: 0, gid: 0 };
  const config = { ...spec, process: { ...spec.process, user } };
  fs.writeFileSync(bench.at('config.json'), JSON.stringify(config));
  count += 1;
  return `oci-test-${process.pid}-${count}`;
}

const status = async (id: string): Promise<unknown> => {
  const { code, stdout } = await oci('state', id);
  const state: unknown = code === 0 ? JSON.parse(stdout) : undefined;
  return typeof state === 'object' && state !== null && 'status' in state ? state.status : undefined;
};

/** With files as streams: a container that stays would hold a pipe of the test open. */
async function detached(...args: string[]): Promise<CommandResult & { output: () => string }> {
  const file = bench.at(`out-${count}`);
  const quoted = [process.execPath, program, '--root', root, ...args].map((a) => `'${a}'`).join(' ');
  const result = await run('sh', ['-c', `exec ${quoted} </dev/null >${file} 2>&1`], { cwd: bench.directory });
  return { ...result, output: () => fs.readFileSync(file, 'utf8') };
}

/** The one field whose value a test cannot know. */
function createdAt(state: unknown): string {
  const at = typeof state === 'object' && state !== null && 'created' in state ? String(state.created) : '';
  expect(at).toMatch(/^\d{4}-\d\d-\d\dT/);
  return at;
}

async function until(what: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await what())) {
    if (performance.now() > end) throw new Error('it did not happen within 10 s');
    await Bun.sleep(20);
  }
}

describe('berth oci', () => {
  test('spec writes a bundle that runs, and never over an existing one', async () => {
    fs.rmSync(bench.at('config.json'), { force: true });
    expect((await oci('spec')).code).toBe(0);
    expect((await oci('spec')).code).toBe(1);
    const spec: unknown = JSON.parse(fs.readFileSync(bench.at('config.json'), 'utf8'));
    expect(spec).toMatchObject({ ociVersion: '1.2.0', process: { args: ['sh'] }, root: { path: 'rootfs' } });
  });

  test('run gives output and exit code through, and nothing stays', async () => {
    const id = bundle(['sh', '-c', 'echo out; echo err >&2; exit 5']);
    expect(await oci('run', id)).toEqual({ code: 5, stdout: 'out\n', stderr: 'err\n' });
    expect(fs.readdirSync(root)).not.toContain(id);
    expect(fs.existsSync(`/sys/fs/cgroup/memory/${id}`)).toBe(false);
    const missing = bundle(['nope']);
    const failed = await oci('run', missing);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('exec: "nope": executable file not found in $PATH');
    expect(fs.readdirSync(root)).not.toContain(missing);
  });

  test('a life: create, start, kill, delete, and what each state refuses', async () => {
    const id = bundle(['sh', '-c', 'echo started; exec sleep 600']);
    const pidFile = bench.at('pid');
    const created = await detached('create', '--bundle', bench.directory, '--pid-file', pidFile, id);
    expect([created.code, created.output()]).toEqual([0, '']);
    const pid = Number(fs.readFileSync(pidFile, 'utf8'));
    const state: unknown = JSON.parse((await oci('state', id)).stdout);
    expect(state).toEqual({
      ociVersion: '1.2.0',
      id,
      pid,
      status: 'created',
      bundle: bench.directory,
      rootfs: bench.rootfs,
      created: createdAt(state),
      owner: '',
    });
    expect((await oci('create', id)).stderr).toContain('container with given ID already exists');
    expect((await oci('start', id)).code).toBe(0);
    await until(() => created.output() === 'started\n');
    expect(await status(id)).toBe('running');
    expect((await oci('start', id)).stderr).toContain('cannot start an already running container');
    expect((await oci('delete', id)).stderr).toContain('that is not stopped: running');
    expect((await oci('list')).stdout).toContain(id);
    expect((await oci('ps', id)).stdout).toBe(`[${pid}]\n`);
    expect((await oci('kill', id, 'KILL')).code).toBe(0);
    await until(async () => (await status(id)) === 'stopped');
    expect((await oci('kill', id)).stderr).toContain('container not running');
    expect((await oci('delete', id)).code).toBe(0);
    expect((await oci('state', id)).stderr).toContain('container does not exist');
    expect((await oci('delete', id)).code).toBe(1);
  }, 60_000);

  test('a created container whose program does not exist tells it at its start', async () => {
    const id = bundle(['/nope']);
    expect((await detached('create', id)).code).toBe(0);
    expect((await oci('start', id)).stderr).toContain('exec: "/nope": stat /nope: no such file or directory');
    expect((await oci('delete', id)).code).toBe(0);
  });

  test('a created container can be deleted', async () => {
    const id = bundle(['true']);
    expect((await detached('create', id)).code).toBe(0);
    expect((await oci('delete', id)).code).toBe(0);
  });

  test('exec: user, directory, environment, exit code, pause', async () => {
    const id = bundle(['sleep', '600']);
    expect((await detached('run', '-d', id)).code).toBe(0);
    const script = 'id -u; id -g; pwd; echo $A; exit 9';
    const ran = await oci('exec', '-u', '1000:1001', '--cwd', '/etc', '-e', 'A=b', id, 'sh', '-c', script);
    expect(ran).toEqual({ code: 9, stdout: '1000\n1001\n/etc\nb\n', stderr: '' });
    expect((await oci('exec', id, 'nope')).stderr).toContain('executable file not found');
    expect((await oci('pause', id)).code).toBe(0);
    expect(await status(id)).toBe('paused');
    expect((await oci('exec', id, 'true')).stderr).toContain('paused');
    expect((await oci('resume', id)).code).toBe(0);
    expect((await oci('delete', '--force', id)).code).toBe(0);
  }, 60_000);

  test('hooks run in their order, with the state on their input and no environment of ours', async () => {
    const log = bench.at('hooks');
    const hook = (name: string) => ({
      path: '/bin/sh',
      args: ['sh', '-c', `read s; echo ${name} $(env | grep -c BERTH_) "$s" >> ${log}`],
    });
    const names = ['prestart', 'createRuntime', 'poststart', 'poststop'] as const;
    const hooks = Object.fromEntries(names.map((name) => [name, [hook(name)]]));
    const inside = {
      path: '/bin/sh',
      args: ['sh', '-c', 'echo startContainer > /tmp/inside; hostname >> /tmp/inside'],
    };
    const id = bundle(['cat', '/tmp/inside'], { spec: { hooks: { ...hooks, startContainer: [inside] } } });
    const { code, stdout, stderr } = await oci('run', id);
    expect([code, stdout, stderr]).toEqual([0, 'startContainer\nberth\n', '']);
    const lines = fs.readFileSync(log, 'utf8').trim().split('\n');
    expect(lines.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual(names.map((name) => `${name} 0`));
    expect(lines[0]).toContain(`"id":"${id}"`);
    fs.rmSync(`${bench.rootfs}/tmp/inside`);
  }, 30_000);

  test('a hook that fails ends the start and leaves nothing', async () => {
    const id = bundle(['true'], { spec: { hooks: { createRuntime: [{ path: '/bin/false' }] } } });
    const { code, stderr } = await oci('run', id);
    expect(code).toBe(1);
    expect(stderr).toContain('error running createRuntime hook #0');
    expect(fs.readdirSync(root)).not.toContain(id);
  });

  test('the terminal goes to the console socket', async () => {
    const socket = bench.at('console');
    const listener = unixListen(socket);
    const id = bundle(['sh', '-c', 'tty; stty size'], {
      process: { terminal: true, consoleSize: { height: 11, width: 22 } },
    });
    expect((await oci('create', id)).stderr).toContain('cannot allocate tty');
    const running = detached('run', '-d', '--console-socket', socket, id);
    await Bun.sleep(50);
    const connection = accept(listener);
    const [master = -1] = recvmsg(connection ?? -1, 4096)?.descriptors ?? [];
    expect((await running).code).toBe(0);
    expect(readTerminal(master)).toBe('/dev/pts/0\n11 22\n');
    for (const fd of [master, connection ?? -1, listener]) close(fd);
    await until(async () => (await status(id)) === 'stopped');
    await oci('delete', id);
  });

  test('in a terminal the container has one of the same size, and signals pass', async () => {
    const id = bundle(['sh', '-c', 'stty size; test -t 1 && echo terminal'], { process: { terminal: true } });
    const args = [program, '--root', root, 'run', id];
    const { stdout, code } = await run(process.execPath, args, { cwd: bench.directory, terminal: true });
    // script adds the echo of the end of its own input, sometimes in front.
    expect([
      code,
      stdout
        .replaceAll(/\r|\^@|\^D\x08\x08/g, '')
        .split('\n')
        .slice(0, 2),
    ]).toEqual([0, ['24 80', 'terminal']]);

    const trapping = bundle(['sh', '-c', 'trap "exit 4" TERM; echo up; while :; do sleep 0.02; done']);
    const child = Bun.spawn([process.execPath, program, '--root', root, 'run', trapping], {
      cwd: bench.directory,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill('SIGTERM');
    expect(await child.exited).toBe(4);
  }, 20_000);

  test('what is not supported is refused by name', async () => {
    const id = bundle(['true']);
    expect((await oci('run', '--no-pivot', id)).stderr).toContain('flag provided but not supported: --no-pivot');
    expect((await oci('run', '--preserve-fds', '3', id)).stderr).toContain('--preserve-fds 3 is not supported');
    expect((await oci('frobnicate')).stderr).toContain('unknown command "frobnicate"');
    expect((await oci('state', '../x')).stderr).toContain('invalid container ID format');
    const bad = bundle(['true'], { linux: { intelRdt: {} } });
    expect((await oci('run', bad)).stderr).toContain('linux.intelRdt: is not supported');
  });

  test('errors go to the log that the caller named', async () => {
    const log = bench.at('log.json');
    await oci('--log', log, '--log-format', 'json', 'state', 'nobody');
    expect(JSON.parse(fs.readFileSync(log, 'utf8'))).toMatchObject({
      level: 'error',
      msg: 'container does not exist: nobody',
    });
  });
});
