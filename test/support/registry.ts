/** Debian's docker-registry for one test file, on loopback; ended by `await using`. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { eventually } from './command.ts';

export interface RegistryOptions {
  /** Basic authentication. */
  readonly user?: { readonly name: string; readonly password: string };
  /** A pull-through cache of this registry. */
  readonly mirrorOf?: string;
}

export class TestRegistry implements AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  readonly directory: string;
  readonly #child: ChildProcess;

  private constructor(host: string, directory: string, child: ChildProcess) {
    this.host = host;
    this.directory = directory;
    this.#child = child;
  }

  static async start(options: RegistryOptions = {}): Promise<TestRegistry> {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-registry-'));
    const host = `127.0.0.1:${await freePort()}`;
    const config: Record<string, unknown> = {
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: path.join(directory, 'data') }, delete: { enabled: true } },
      http: { addr: host },
    };
    if (options.user !== undefined) {
      const hash = Bun.password.hashSync(options.user.password, { algorithm: 'bcrypt', cost: 4 });
      fs.writeFileSync(path.join(directory, 'htpasswd'), `${options.user.name}:${hash}\n`);
      config['auth'] = { htpasswd: { realm: 'test', path: path.join(directory, 'htpasswd') } };
    }
    if (options.mirrorOf !== undefined) config['proxy'] = { remoteurl: options.mirrorOf };
    // JSON is YAML.
    fs.writeFileSync(path.join(directory, 'config.yml'), JSON.stringify(config));
    const child = spawn('docker-registry', ['serve', path.join(directory, 'config.yml')], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    const registry = new TestRegistry(host, directory, child);
    try {
      await eventually('the registry answers', async () => {
        if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
        const response = await fetch(`http://${host}/v2/`);
        return response.status === 200 || response.status === 401;
      });
      return registry;
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
