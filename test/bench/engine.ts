/**
 * An engine under measurement: a command line that speaks docker's grammar, and what is needed to see its processes.
 * Times are wall-clock from the start of the client's process to its exit.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';

export interface EngineOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Unix socket of the API, for scenarios without a CLI. */
  readonly socket?: string;
  /** Found in the command line of each of its processes. */
  readonly processes?: string;
  /** Knows `build` only. */
  readonly buildsOnly?: boolean;
  /** In front of the operands of a build, instead of `build -q -t NAME`. */
  readonly build?: (tag: string) => readonly string[];
  /** After all images were removed. */
  readonly renew?: () => Promise<void>;
  /** Kills the daemon and waits for the next one's first answer. */
  readonly restart?: () => Promise<void>;
}

export interface Ran {
  readonly ms: number;
  readonly stdout: string;
}

const LIMIT_MS = 300_000;

/** Two engines may be clients of one daemon. */
let next = 1;

export class Engine {
  readonly name: string;
  readonly command: readonly string[];
  readonly socket: string | undefined;
  readonly restart: (() => Promise<void>) | undefined;
  readonly buildsOnly: boolean;
  readonly #renew: (() => Promise<void>) | undefined;
  readonly #build: (tag: string) => readonly string[];
  readonly #env: Record<string, string | undefined>;
  readonly #processes: string | undefined;
  readonly #containers = new Set<string>();

  constructor(options: EngineOptions) {
    this.name = options.name;
    this.command = options.command;
    this.socket = options.socket;
    this.restart = options.restart;
    this.buildsOnly = options.buildsOnly ?? false;
    this.#renew = options.renew;
    this.#build = options.build ?? ((tag) => ['build', '-q', '-t', tag]);
    this.#env = { ...process.env, DOCKER_CLI_HINTS: 'false', ...options.env };
    this.#processes = options.processes;
  }

  /** A container name of this run; `cleanUp` removes what is left of them. */
  fresh(): string {
    const name = `bench-${process.pid}-${next++}`;
    this.#containers.add(name);
    return name;
  }

  /** Throws when the exit code is not 0. stdout goes to /dev/null unless it is kept. */
  async run(args: readonly string[], options: { keep?: boolean; stdin?: Bun.BunFile } = {}): Promise<Ran> {
    return this.#spawn([...this.command, ...args], options);
  }

  /** By the classic builder: docker's client has no other without a plugin. */
  async build(directory: string, tag = 'bench-build'): Promise<Ran> {
    return this.shell(`DOCKER_BUILDKIT=0 "$@" ${[...this.#build(tag), directory].join(' ')}`);
  }

  /** Nothing that was built before is of use. */
  async forgetBuilds(): Promise<void> {
    await this.run(this.buildsOnly ? ['rmi', '-a', '-f'] : ['builder', 'prune', '-af']);
    await this.#renew?.();
  }

  /** A line for the shell, where "$@" is the engine's command. */
  async shell(line: string, options: { keep?: boolean } = {}): Promise<Ran> {
    return this.#spawn(['sh', '-c', line, 'sh', ...this.command], options);
  }

  async #spawn(argv: readonly string[], options: { keep?: boolean; stdin?: Bun.BunFile }): Promise<Ran> {
    const started = performance.now();
    const child = Bun.spawn([...argv], {
      stdin: options.stdin ?? 'ignore',
      stdout: options.keep === true ? 'pipe' : Bun.file('/dev/null'),
      stderr: 'pipe',
      env: this.#env,
      timeout: LIMIT_MS,
    });
    const stdout = child.stdout instanceof ReadableStream ? new Response(child.stdout).text() : Promise.resolve('');
    const code = await child.exited;
    const ms = performance.now() - started;
    if (code !== 0) {
      const stderr = await new Response(child.stderr).text();
      throw new Error(`${argv.join(' ').slice(0, 200)}: exit ${code}: ${stderr.slice(-400).trim()}`);
    }
    return { ms, stdout: (await stdout).trim() };
  }

  /** Proportional set size of all its processes. */
  memoryMegabytes(): number {
    return this.#sum('smaps_rollup', /^Pss:\s+(\d+)/m);
  }

  /** Processor time that its processes have had; those that end meanwhile are lost, so it is for daemons. */
  processorMs(): number {
    let ns = 0n;
    for (const pid of this.#pids()) {
      for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
        try {
          ns += BigInt(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0] ?? '0');
        } catch {
          // ended meanwhile
        }
      }
    }
    return Number(ns) / 1e6;
  }

  /** The most memory that its processes have had, one by one, since `resetPeak`. */
  peakMegabytes(): number {
    return this.#sum('status', /^VmHWM:\s+(\d+)/m);
  }

  resetPeak(): void {
    for (const pid of this.#pids()) fs.writeFileSync(`/proc/${pid}/clear_refs`, '5');
  }

  #sum(file: string, figure: RegExp): number {
    let kilobytes = 0;
    for (const pid of this.#pids()) {
      try {
        kilobytes += Number(figure.exec(fs.readFileSync(`/proc/${pid}/${file}`, 'latin1'))?.[1] ?? 0);
      } catch {
        // It has ended meanwhile.
      }
    }
    return kilobytes / 1024;
  }

  #pids(): string[] {
    const processes = this.#processes;
    if (processes === undefined) return [];
    return fs.readdirSync('/proc').filter((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(processes);
      } catch {
        return false;
      }
    });
  }

  /** Keeps all its processes on one processor, and what they start from now on; a wake-up of another one costs as much as the work. */
  pin(cpu: number): Disposable {
    const pids = this.#pids();
    const keepTo = (cpus: string): void => {
      for (const pid of pids) Bun.spawnSync(['taskset', '-a', '-c', '-p', cpus, pid], { stdout: 'ignore' });
    };
    keepTo(String(cpu));
    return { [Symbol.dispose]: () => keepTo(`0-${os.availableParallelism() - 1}`) };
  }

  async cleanUp(): Promise<void> {
    const { stdout } = await this.run(['ps', '-a', '--format', '{{.Names}}'], { keep: true });
    const left = stdout.split('\n').filter((name) => this.#containers.has(name));
    this.#containers.clear();
    if (left.length > 0) await this.run(['rm', '-f', ...left]);
  }
}
