/**
 * Debian's dockerd on private roots, as the peer of side-by-side tests and benchmarks. `BERTH_TEST_DOCKERD=PATH` takes
 * another one, of a package of nextDebian() for example; its containerd is looked for in the package beside it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { type CommandOptions, type CommandResult, eventually, run } from './command.ts';
import { ensurePackage } from './debian-package.ts';

const CHOSEN = process.env['BERTH_TEST_DOCKERD'];
export const DOCKERD = CHOSEN ?? '/usr/sbin/dockerd';

/** Installs docker.io when it is missing, without starting its daemon. */
export const ensureDockerd = (): Promise<void> =>
  CHOSEN === undefined ? ensurePackage(DOCKERD, 'docker.io') : Promise.resolve();

/** Where a chosen dockerd finds what belongs to it. */
function programs(): string {
  const root = path.resolve(path.dirname(DOCKERD), '../../..');
  const own = CHOSEN === undefined ? [] : ['containerd/usr/bin', 'docker.io/usr/bin', 'docker.io/usr/sbin'];
  return [...own.map((folder) => path.join(root, folder)), process.env['PATH'] ?? ''].join(':');
}

export class Dockerd implements AsyncDisposable {
  readonly directory: string;
  readonly socket: string;
  readonly #child: ChildProcess;
  #log = '';

  private constructor(directory: string, args: readonly string[]) {
    this.directory = directory;
    this.socket = path.join(directory, 'docker.sock');
    const all = [
      ...['--data-root', path.join(directory, 'data'), '--exec-root', path.join(directory, 'exec')],
      ...['-H', `unix://${this.socket}`, '--pidfile', path.join(directory, 'pid'), '--log-level', 'warn', ...args],
    ];
    // The unified mount of a hybrid cgroup layout confuses crun, not dockerd's runc; a mount namespace of its own keeps
    // dockerd's mounts off the host's table.
    this.#child = spawn('unshare', ['-m', '--propagation', 'private', DOCKERD, ...all], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, PATH: programs() },
    });
    this.#child.stderr?.on('data', (b: Buffer) => {
      this.#log += b.toString();
    });
  }

  static async start(args: readonly string[] = ['--bridge', 'none', '--iptables=false']): Promise<Dockerd> {
    await ensureDockerd();
    const peer = new Dockerd(fs.mkdtempSync(path.join(os.tmpdir(), 'dockerd-')), args);
    await eventually(
      'dockerd answers',
      async () => {
        if (peer.#child.exitCode !== null) throw new Error(`dockerd ended with ${peer.#child.exitCode}`);
        return (await fetch('http://docker/_ping', { unix: peer.socket })).ok;
      },
      60_000,
    ).catch(async (error: unknown) => {
      await peer[Symbol.asyncDispose]();
      throw new Error(`${String(error)}\n${peer.#log}`);
    });
    return peer;
  }

  docker(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return run('docker', ['-H', `unix://${this.socket}`, ...args], {
      ...options,
      env: { DOCKER_CLI_HINTS: 'false', DOCKER_CONFIG: path.join(this.directory, 'config'), ...options.env },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const ids = (await this.docker(['ps', '-aq'])).stdout.split('\n').filter((l) => l !== '');
      if (ids.length > 0) await this.docker(['rm', '-f', '-v', ...ids]);
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await ended;
      clearTimeout(timer);
    }
    fs.rmSync(this.directory, { recursive: true, force: true });
    removeDockerGroups();
  }
}

/** dockerd leaves its empty parent groups behind. */
function removeDockerGroups(): void {
  for (const controller of fs.readdirSync('/sys/fs/cgroup')) {
    try {
      fs.rmdirSync(path.join('/sys/fs/cgroup', controller, 'docker'));
    } catch {
      // none there, or another dockerd uses it
    }
  }
}
