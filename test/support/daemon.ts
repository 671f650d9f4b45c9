/**
 * A private daemon for one test file: own data root, exec root, socket, bridge and subnet. Ended by `await using`, with
 * its containers and its monitor, also when the test fails; what it leaves on the host is a failure of that file.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { busyboxImage } from './base-images.ts';
import { type CommandOptions, type CommandResult, eventually, run } from './command.ts';
import { type HostState, hostState, leaks } from './leakcheck.ts';

const root = path.resolve(import.meta.dirname, '../..');

/** The built executable instead of the sources: where every start of Bun on them takes long. */
const BUILT = process.env['BERTH_TEST_EXECUTABLE'];
/** Program and first arguments of a daemon that a test starts itself. */
export const BERTHD: readonly string[] =
  BUILT === undefined ? [process.execPath, path.join(root, 'src/cmd/berthd.ts')] : [BUILT, 'daemon'];
/** In the command line of a monitor, of the sources and built. */
const MONITOR = /monitor\.ts|\0monitor\0/;

export interface DaemonOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** In a network namespace of its own: what others change in the host's links and rules does not wake it. */
  readonly ownNetwork?: boolean;
  /** `npm run build`'s executable instead of the sources. */
  readonly executable?: string;
  /** Load busybox at the start; default true. */
  readonly image?: boolean;
  /** Instead of a bridge of its own: `--bridge none`. */
  readonly noBridge?: boolean;
  /** Put the data root elsewhere (a small tmpfs). */
  readonly dataRoot?: string;
}

let counter = 0;

export class TestDaemon implements AsyncDisposable {
  readonly directory: string;
  readonly socket: string;
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly #options: DaemonOptions;
  #before: HostState | undefined;
  #child: ChildProcess | undefined;
  #log = '';
  /** Of all networks that it has ever made. */
  readonly #bridges = new Set<string>();

  constructor(options: DaemonOptions = {}) {
    const n = (process.pid * 8 + counter++) % 4096;
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-test-'));
    this.socket = path.join(this.directory, 'berth.sock');
    this.dataRoot = options.dataRoot ?? path.join(this.directory, 'data');
    this.execRoot = path.join(this.directory, 'exec');
    this.bridge = `bt${n}`;
    this.subnet = `10.${200 + (n >> 8)}.${n & 255}`;
    this.#options = options;
  }

  static async start(options: DaemonOptions = {}): Promise<TestDaemon> {
    const daemon = new TestDaemon(options);
    try {
      daemon.#before = await hostState(daemon.directory);
      await daemon.launch();
      if (options.image ?? true) {
        const image = await busyboxImage();
        const loaded = await daemon.docker(['load', '-q', '-i', image.path]);
        if (loaded.code !== 0) throw new Error(`docker load: ${loaded.stderr}`);
      }
      return daemon;
    } catch (error) {
      await daemon[Symbol.asyncDispose]().catch(() => undefined);
      throw error;
    }
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  /** What the daemon wrote on stderr so far. */
  get log(): string {
    return this.#log;
  }

  /** Starts the process (again) and waits for its first answer. */
  async launch(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const network = this.#options.noBridge
      ? ['--bridge', 'none']
      : ['--bridge', this.bridge, '--bip', `${this.subnet}.1/24`];
    const args = [
      ...['--data-root', this.dataRoot, '--exec-root', this.execRoot, '-H', `unix://${this.socket}`],
      ...[
        '--pidfile',
        path.join(this.directory, 'berthd.pid'),
        '--config-file',
        path.join(this.directory, 'daemon.json'),
      ],
      ...network,
      ...(this.#options.args ?? []),
    ];
    const config = path.join(this.directory, 'daemon.json');
    if (!fs.existsSync(config)) fs.writeFileSync(config, '{}');
    const { executable } = this.#options;
    const program = executable === undefined ? BERTHD : [executable, 'daemon'];
    const [command, ...prefix] = [...(this.#options.ownNetwork ? ['unshare', '--net'] : []), ...program];
    const child = spawn(command ?? '', [...prefix, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...this.#options.env, ...env },
      cwd: root,
    });
    this.#child = child;
    child.stderr?.on('data', (b: Buffer) => {
      this.#log += b.toString();
    });
    await eventually(
      'the daemon answers',
      async () => {
        if (child.exitCode !== null) throw new Error(`the daemon ended with ${child.exitCode}`);
        const r = await fetch('http://berth/_ping', { unix: this.socket });
        return r.ok;
      },
      20_000,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.#log}`);
    });
  }

  /** Ends the daemon only; containers and monitor go on. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  /** Waits for the daemon's own end: the signal or the code. */
  ended(limitMs = 10_000): Promise<string> {
    const child = this.#child;
    return eventually(
      'the daemon ends',
      () => child?.signalCode ?? (child?.exitCode === null ? undefined : String(child?.exitCode)),
      limitMs,
    );
  }

  /** `kill -9` and a new start on the same roots. */
  async restart(signal: NodeJS.Signals = 'SIGKILL', env: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.kill(signal);
    await this.launch(env);
  }

  /** The stock docker CLI against this daemon. */
  docker(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return run('docker', ['-H', `unix://${this.socket}`, ...args], {
      ...options,
      env: { DOCKER_CLI_HINTS: 'false', DOCKER_CONFIG: path.join(this.directory, 'docker-config'), ...options.env },
    });
  }

  /** As `docker`; throws when the code is not 0. Trimmed stdout. */
  async must(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const r = await this.docker(args, options);
    if (r.code !== 0)
      throw new Error(`docker ${args.join(' ')}: exit ${r.code}\n${r.stdout}${r.stderr}\n${this.#log.slice(-2000)}`);
    return r.stdout.trim();
  }

  /** Our own CLI against this daemon. */
  berth(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return run(path.join(root, 'berth'), [...args], {
      ...options,
      // What the client keeps goes with the test.
      env: {
        BERTH_HOST: `unix://${this.socket}`,
        XDG_CACHE_HOME: path.join(this.directory, 'cache'),
        ...options.env,
      },
    });
  }

  /** One request; the body as JSON when it is JSON. */
  async request(method: string, target: string, body?: unknown): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`http://berth${target}`, {
      method,
      unix: this.socket,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    });
    const content = await response.text();
    let decoded: unknown = content;
    if (response.headers.get('content-type')?.includes('json'))
      decoded = content === '' ? undefined : JSON.parse(content);
    return { status: response.status, body: decoded };
  }

  /** Pids of this daemon's monitor. */
  monitors(): number[] {
    return this.#processes(MONITOR).filter((p) => p !== this.pid);
  }

  #processes(word = /^/): number[] {
    const pids: number[] = [];
    for (const pid of fs.readdirSync('/proc')) {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
      try {
        const command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        if (command.includes(this.directory) && word.test(command)) pids.push(Number(pid));
      } catch {
        // ended meanwhile
      }
    }
    return pids;
  }

  /** Six hex digits of the data root, which everything of this daemon on the host carries. */
  #suffix(): string {
    return createHash('sha256').update(this.dataRoot).digest('hex').slice(0, 6);
  }

  #marks(): string[] {
    return [this.directory, this.dataRoot, this.#suffix(), this.bridge, ...this.#bridges];
  }

  /** A test that failed in the middle has networks left; bridges of those that it removed are leaks. */
  async #removeNetworks(): Promise<void> {
    const until = String(Math.ceil(Date.now() / 1000));
    const filters = ['--filter', 'type=network', '--filter', 'event=create', '--format', '{{.Actor.ID}}'];
    const made = await this.docker(['events', '--since', '0', '--until', until, ...filters], { limitMs: 10_000 });
    for (const id of made.stdout.split('\n')) if (id !== '') this.#bridges.add(`br-${id.slice(0, 12)}`);
    const left = (await this.docker(['network', 'ls', '-q', '--filter', 'type=custom'])).stdout.split('\n');
    for (const id of left.filter((line) => line !== '')) await this.docker(['network', 'rm', id]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    const alive = child !== undefined && child.exitCode === null && child.signalCode === null;
    if (!alive && child !== undefined) await this.launch().catch(() => undefined);
    const ids = (await this.docker(['ps', '-aq'])).stdout.split('\n').filter((l) => l !== '');
    if (ids.length > 0) await this.docker(['rm', '-f', '-v', ...ids], { limitMs: 60_000 });
    await this.#removeNetworks();
    await this.kill('SIGTERM');
    await eventually(
      'the processes of the test daemon end',
      () => {
        for (const pid of this.#processes()) process.kill(pid, 'SIGKILL');
        return this.#processes().length === 0;
      },
      5_000,
    );
    // What stays by design as long as the data root does.
    for (const link of [
      ...(this.#options.noBridge ? [] : [this.bridge]),
      `berth-o-${this.#suffix()}`,
      `berth-u-${this.#suffix()}`,
    ]) {
      await run('ip', ['link', 'del', link]);
    }
    const before = this.#before;
    if (before !== undefined) {
      await removeOurGroups(this.#suffix());
      let left: string[] = [];
      await eventually(
        'nothing is left behind',
        async () => {
          left = leaks(before, await hostState(this.directory), this.#marks());
          return left.length === 0;
        },
        3_000,
      ).catch(() => {
        throw new Error(`left behind:\n${left.join('\n')}\n${this.#log.slice(-3000)}`);
      });
    }
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * The parent groups and the table of a data root stay by design as long as the root exists (a later start uses them);
 * a test's root goes away, so the test takes them away. Groups of containers below them are leaks and stay to be seen.
 */
async function removeOurGroups(suffix: string): Promise<void> {
  for (const controller of ['.', ...fs.readdirSync('/sys/fs/cgroup')]) {
    try {
      fs.rmdirSync(path.join('/sys/fs/cgroup', controller, `berth-${suffix}`));
    } catch {
      // not there, or with containers' groups below it: leakcheck tells
    }
  }
  const tables = await run('nft', ['list', 'tables']);
  for (const [, family = '', name = ''] of tables.stdout.matchAll(/^table (\S+) (\S+)$/gm))
    if (name.includes(suffix)) await run('nft', ['delete', 'table', family, name]);
}
