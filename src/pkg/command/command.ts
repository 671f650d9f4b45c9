/**
 * Runs a program of the host: clean environment, a time limit, bounded output. The only place outside sys and execdriver
 * that starts processes; which programs it may start is a list, so that no container's start ever comes to depend on one.
 */
import { systemError } from '#errdefs/errors.ts';

/** Base names. ip, nft, iptables, tar, gzip, unshare, nsenter and cp are not on it: the daemon does their work itself. */
const allowed: ReadonlySet<string> = new Set([
  'apparmor_parser',
  'ssh',
  'git',
  'mount.nfs',
  'mount.nfs4',
  'ps',
  'resolvectl',
]);

export interface CommandRequest {
  /** Absolute path. */
  readonly program: string;
  readonly args: readonly string[];
  readonly input?: string | Uint8Array;
  readonly timeoutMs: number;
  readonly outputBytesMax?: number;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

const OUTPUT_BYTES_MAX = 16 << 20;
const MESSAGE_CHARS_MAX = 500;

export interface CommandOutcome {
  readonly code: number;
  readonly output: Uint8Array;
  readonly message: string;
  /** It was too slow, or said too much. */
  readonly stopped: boolean;
}

/** How it went, whatever its exit code. Errors: system when it cannot be started. */
export async function commandOutcome(request: CommandRequest): Promise<CommandOutcome> {
  const { program, args, input = '', timeoutMs, outputBytesMax = OUTPUT_BYTES_MAX } = request;
  const name = program.slice(program.lastIndexOf('/') + 1);
  if (!program.startsWith('/') || !allowed.has(name)) throw systemError(`Cannot run "${program}": not on the list`);
  const child = Bun.spawn([program, ...args], {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    cwd: '/',
    stdin: typeof input === 'string' ? Buffer.from(input) : input,
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: outputBytesMax,
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  });
  const [output, message] = await Promise.all([new Response(child.stdout).bytes(), new Response(child.stderr).text()]);
  return { code: await child.exited, output, message, stopped: child.signalCode === 'SIGKILL' };
}

/** Its stdout. Errors: system when it cannot be started, fails, is too slow or says too much. */
export async function runCommand(request: CommandRequest): Promise<Uint8Array> {
  const { code, output, message, stopped } = await commandOutcome(request);
  if (code === 0) return output;
  const why = stopped ? 'it was stopped (too slow, or too much output)' : `exit code ${code}`;
  throw systemError(`Cannot run "${request.program}": ${why}: ${message.trim().slice(0, MESSAGE_CHARS_MAX)}`);
}
