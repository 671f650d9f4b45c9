/** Runs programs for tests: whole output, exit code, limit; never a shell. */
import { type SpawnOptions, spawn } from 'node:child_process';

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** In a terminal of its own (util-linux script): stdout and stderr come as one. */
  readonly terminal?: boolean;
  /** Default 60 s; the program is killed then and the code is -1. */
  readonly limitMs?: number;
}

/** Limits are longer by this factor on a machine that is known to be slow. */
export const SLOW = Number(process.env['BERTH_TEST_SLOW'] ?? '1');

export function run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  const spawnOptions: SpawnOptions = { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...options.env } };
  if (options.cwd !== undefined) spawnOptions.cwd = options.cwd;
  const quoted = [program, ...args].map((a) => `'${a.replaceAll("'", "'\\''")}'`).join(' ');
  const child = options.terminal
    ? spawn('script', ['-qec', `stty rows 24 cols 80; exec ${quoted}`, '/dev/null'], spawnOptions)
    : spawn(program, [...args], spawnOptions);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (b: Buffer) => out.push(b));
  child.stderr?.on('data', (b: Buffer) => err.push(b));
  child.stdin?.on('error', () => undefined); // the program may end before it has read its input
  child.stdin?.end(options.input ?? '');
  let late = false;
  const timer = setTimeout(
    () => {
      late = true;
      child.kill('SIGKILL');
    },
    SLOW * (options.limitMs ?? 60_000),
  );
  child.on('error', (error) => {
    clearTimeout(timer);
    reject(error);
  });
  child.on('close', (code, signal) => {
    clearTimeout(timer);
    const stderr = Buffer.concat(err).toString();
    resolve({
      code: late ? -1 : (code ?? (signal === null ? -1 : 128)),
      stdout: Buffer.concat(out).toString(),
      stderr: late ? `${stderr}\n[killed after ${options.limitMs ?? 60_000} ms]` : stderr,
    });
  });
  return promise;
}

/** As `run`, and throws when the code is not 0. Returns stdout without the trailing newline. */
export async function must(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const r = await run(program, args, options);
  if (r.code !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${r.code}\n${r.stdout}${r.stderr}`);
  return r.stdout.replace(/\n$/, '');
}

/** Waits until `condition` gives a value, asking every 10 ms; throws after `limitMs`. */
export async function eventually<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = 30_000,
): Promise<T> {
  const end = performance.now() + SLOW * limitMs;
  let last: unknown;
  while (performance.now() < end) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await Bun.sleep(10);
  }
  throw new Error(`waited ${limitMs} ms in vain: ${what}`, { cause: last });
}
