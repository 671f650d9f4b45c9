/**
 * A private monitor and the smallest daemon for it: programs without namespaces of the host's busybox. `killed-daemon` is the
 * same as a process of its own that a test can kill.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { MonitorClient, MonitorStarted } from '#execdriver/native/monitor/client.ts';
import type { ExitRecord } from '#execdriver/native/monitor/protocol.ts';
import { connectOrStart } from '#execdriver/native/start-monitor.ts';
import { close, pipe2, write } from '#sys/files.ts';
import { CLONE, NR } from '#sys/numbers.ts';
import { kill, processStat } from '#sys/processes.ts';
import { type Gate, Program, type ProgramReport } from '#sys/program.ts';

export const MONITOR = `${import.meta.dir}/../../../src/cmd/monitor.ts`;
const DEADLINE_MS = 10_000;

export function openGate(gate: Gate): void {
  gate.open((fd) => write(fd, Uint8Array.of(1)));
}

export interface TestProcess extends MonitorStarted {
  readonly id: string;
  /** Our read end of its output. */
  readonly output: number;
  /** Our write end of its input. */
  readonly input: number;
  readonly gate: Gate;
  /** The child waits at its gate. */
  readonly arrived: Promise<void>;
}

export interface StartOptions {
  readonly second?: boolean;
  readonly flags?: number;
}

export class TestDaemon implements AsyncDisposable {
  readonly execRoot: string;
  readonly exits = new Map<string, ExitRecord>();
  readonly #waiters = new Map<string, (exit: ExitRecord) => void>();
  readonly closed = Promise.withResolvers<void>();
  client!: MonitorClient;

  constructor(execRoot = mkdtempSync(`${tmpdir()}/berth-monitor-test-`)) {
    this.execRoot = execRoot;
    mkdirSync(execRoot, { recursive: true });
  }

  async connect(lonelyMs = 500): Promise<this> {
    const place = { execRoot: this.execRoot, command: [process.execPath, MONITOR, '--lonely-ms', String(lonelyMs)] };
    this.client = await connectOrStart(place, {
      onExit: (exit) => {
        this.exits.set(exit.id, exit);
        this.#waiters.get(exit.id)?.(exit);
      },
      onClosed: () => this.closed.resolve(),
    });
    return this;
  }

  exitOf(id: string): Promise<ExitRecord> {
    const known = this.exits.get(id);
    if (known !== undefined) return Promise.resolve(known);
    return within(`exit of ${id}`, new Promise((resolve) => this.#waiters.set(id, resolve)));
  }

  /** Runs busybox with a shell line behind a gate. */
  async start(id: string, line: string, { second = false, flags = 0 }: StartOptions = {}): Promise<TestProcess> {
    const program = new Program();
    const out = pipe2();
    const into = pipe2();
    program.do('stdin', NR.dup3, program.fd(into.read), 0, 0);
    const output = program.fd(out.write);
    for (const fd of [1, 2]) program.do(`stdio ${fd}`, NR.dup3, output, fd, 0);
    if (second) program.cloneAgain('clone3', CLONE.NEWPID);
    const gate = program.gate('exec');
    program.do('session', NR.setsid);
    program.do('signal mask', NR.rt_sigprocmask, 2, program.bytes(new Uint8Array(8)), 0, 8);
    program.do(
      'execve',
      NR.execve,
      '/bin/busybox',
      program.argv(['sh', '-c', line]),
      program.argv(['PATH=/bin:/usr/bin']),
    );
    const arrived = Promise.withResolvers<void>();
    const onReport = (report: ProgramReport) => {
      if (report.kind === 'second') this.client.adopt(id, report.pid);
      if (report.kind === 'arrived') arrived.resolve();
    };
    const held = { stdin: into.write, stdout: out.read };
    const started = await this.client.start({ id, program, cloneFlags: flags, held, second, onReport });
    for (const fd of [out.write, into.read]) close(fd);
    return { ...started, id, output: out.read, input: into.write, gate, arrived: arrived.promise };
  }

  /** Starts, opens the gate and waits for the exec. */
  async run(id: string, line: string, options: StartOptions = {}): Promise<TestProcess> {
    const started = await this.start(id, line, options);
    await within(`${id} at its gate`, started.arrived);
    openGate(started.gate);
    const outcome = await started.outcome;
    if (outcome.failed !== undefined) throw new Error(`${outcome.failed.step}: ${outcome.failed.code}`);
    return started;
  }

  /** Ends what it knows and the monitor; removes the exec root. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pid = this.client.pid;
    this.client.close();
    if (processStat(pid) !== undefined) kill(pid, 9);
    await until('the monitor is gone', () => isGone(pid));
    rmSync(this.execRoot, { recursive: true, force: true });
  }
}

/** Ended; a zombie counts, since PID 1 of a test machine may not reap. */
export function isGone(pid: number): boolean {
  const stat = processStat(pid);
  return stat === undefined || stat.state === 'Z' || stat.state === 'X';
}

export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + DEADLINE_MS; !condition(); await Bun.sleep(5)) {
    if (Date.now() > end) throw new Error(`${what}: not within ${DEADLINE_MS} ms`);
  }
}

export function within<T>(what: string, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what}: not within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** What `promise` rejects with. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}
