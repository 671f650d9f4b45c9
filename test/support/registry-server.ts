/** `berth registry serve` as a process of its own, on a root and a port of its own; ended by `await using`. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { digestOf } from '#content/content-store.ts';
import { eventually } from './command.ts';

const berth = path.resolve(import.meta.dirname, '../../berth');

export class RegistryProcess implements AsyncDisposable {
  readonly directory: string;
  readonly root: string;
  #args: readonly string[] = [];
  #child: ChildProcess | undefined;
  #log = '';
  #url = '';
  #port = 0;

  readonly #address: string;

  private constructor(root: string | undefined, address: string) {
    this.#address = address;
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-regsrv-'));
    this.root = root ?? path.join(this.directory, 'root');
  }

  /** `args` may need files in the directory. */
  static async start(
    args: readonly string[] | ((directory: string) => readonly string[] | Promise<readonly string[]>) = [],
    options: { readonly root?: string; readonly address?: string } = {},
  ): Promise<RegistryProcess> {
    const registry = new RegistryProcess(options.root, options.address ?? '127.0.0.1');
    try {
      registry.#args = typeof args === 'function' ? await args(registry.directory) : args;
      await registry.launch();
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      throw error;
    }
    return registry;
  }

  /** `127.0.0.1:PORT`. */
  get host(): string {
    return `${this.#address}:${this.#port}`;
  }

  get url(): string {
    return this.#url;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get log(): string {
    return this.#log;
  }

  /** Starts it, again on the port of before. */
  async launch(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const args = ['registry', 'serve', '--root', this.root, '--listen', this.host, ...this.#args];
    const child = spawn(berth, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
    this.#child = child;
    this.#log = '';
    child.stderr.on('data', (bytes: Buffer) => {
      this.#log += bytes.toString();
    });
    await eventually('the registry listens', async () => {
      if (child.exitCode !== null) throw new Error(`the registry ended with ${child.exitCode}: ${this.#log}`);
      this.#url = /"url":"([^"]+)"/.exec(this.#log)?.[1] ?? '';
      return this.#url !== '';
    });
    this.#port = Number(new URL(this.#url).port);
  }

  /** Resolves with the signal or code when it has ended. */
  async ended(signal?: NodeJS.Signals): Promise<string> {
    const child = this.#child;
    if (child === undefined) return 'never started';
    if (child.exitCode === null && child.signalCode === null) {
      const exit = new Promise((resolve) => child.once('exit', resolve));
      if (signal !== undefined) child.kill(signal);
      await exit;
    }
    return child.signalCode ?? String(child.exitCode);
  }

  fetch(target: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.#url + target, init);
  }

  async push(name: string, bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    const answer = await this.fetch(`/v2/${name}/blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes });
    if (answer.status !== 201)
      throw new Error(`the push of a blob ended with ${answer.status}: ${await answer.text()}`);
    return digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), 20_000);
    await this.ended('SIGTERM');
    clearTimeout(timer);
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}
