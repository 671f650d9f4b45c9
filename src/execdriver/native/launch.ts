/**
 * One launch: asks the monitor for the child, does the work of each gate when the child arrives there, and opens it.
 * Whatever fails or is cancelled kills the child; nothing is returned before the outcome is known.
 */
import { cancelled, deadlineExceeded } from '#errdefs/errors.ts';
import { isErrno } from '#sys/errno.ts';
import { write } from '#sys/files.ts';
import type { Gate, Program, ProgramReport } from '#sys/program.ts';
import type { Outcome } from '#sys/zygote/launch.ts';
import type { MonitorClient } from './monitor/client.ts';
import type { NativeProcess } from './native-process.ts';
import type { StdioPipes } from './stdio-pipes.ts';

export interface Gated {
  readonly gate: Gate;
  /** Done while the child waits; then the gate is opened. */
  readonly work: () => Promise<void>;
}

export interface Launch {
  readonly process: NativeProcess;
  readonly pipes: StdioPipes;
  readonly program: Program;
  readonly cloneFlags: number;
  /** The process that counts is the second clone. */
  readonly second: boolean;
  readonly gates: readonly Gated[];
  readonly explain: (outcome: Outcome) => Error;
  readonly signal: AbortSignal;
  /** Done when the monitor has been asked for the child. */
  readonly meanwhile?: (() => void) | undefined;
  /** From launch to execve, time at gates included. */
  readonly limitMs: number;
}

export async function launchThroughGates(client: MonitorClient, launch: Launch): Promise<void> {
  const { process, pipes, program, cloneFlags, second, gates, signal } = launch;
  const born = Promise.withResolvers<void>();
  let failure: Error | undefined;
  let passed = 0;
  let tail: Promise<void> = born.promise;

  const giveUp = (error: unknown) => {
    failure ??= error instanceof Error ? error : new Error(String(error));
    process.kill();
    for (const { gate } of gates) gate[Symbol.dispose]();
  };
  const queue = (work: () => Promise<void> | void) => {
    // One after the other: a gate's work must not overtake the pid that it is about.
    tail = tail.then(async () => {
      try {
        await work();
      } catch (error) {
        giveUp(error);
      }
    });
  };
  const arrive = (name: string) =>
    queue(async () => {
      if (failure !== undefined) return;
      const gated = gates.find(({ gate }) => gate.name === name);
      if (gated === undefined) throw new Error(`a gate "${name}" that nobody opens`);
      await gated.work();
      if (failure !== undefined) return;
      gated.gate.open((fd) => {
        if (passGate(fd)) passed += 1;
      });
    });
  // The second clone may be at its first gate before its parent has told the pid: all gates are the second's.
  let early: string[] | undefined = second ? [] : undefined;
  const onReport = (report: ProgramReport) => {
    if (report.kind === 'arrived') {
      if (early === undefined) arrive(report.gate);
      else early.push(report.gate);
    } else if (report.kind === 'second') {
      const { pid } = report;
      queue(() => {
        // Also after a failure: the monitor reaps nobody whom it might still be asked to adopt.
        identifySecond(client, process, pid);
        if (failure !== undefined) process.kill();
      });
      for (const gate of early ?? []) arrive(gate);
      early = undefined;
    }
  };
  const onAbort = () => giveUp(cancelled(`The start of "${process.id}" was cancelled`));
  const { limitMs } = launch;
  // Not AbortSignal.timeout: that would live on for the whole limit after each start.
  const timer = setTimeout(
    () => giveUp(deadlineExceeded(`Cannot start "${process.id}": not within ${limitMs} ms`)),
    limitMs,
  );

  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const starting = client.start({
      id: process.id,
      program,
      cloneFlags,
      held: pipes.held(),
      second,
      onReport,
    });
    // It has been sent by now: the child is made by others while we do this.
    try {
      launch.meanwhile?.();
    } catch (error) {
      giveUp(error);
    }
    const started = await starting;
    pipes.sent();
    // One that died at once is told by its outcome.
    process.identify(started.pid, client.pid);
    if (signal.aborted) onAbort();
    if (failure !== undefined) process.kill();
    born.resolve();
    const outcome = await started.outcome;
    await tail;
    if (failure !== undefined) throw failure;
    if (outcome.failed !== undefined || passed < gates.length) throw launch.explain(outcome);
  } finally {
    born.resolve();
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

/** False for a child that has ended at its gate: its outcome says why. */
function passGate(fd: number): boolean {
  try {
    write(fd, Uint8Array.of(1));
    return true;
  } catch (error) {
    if (!isErrno(error, 'EPIPE')) throw error;
    return false;
  }
}

function identifySecond(client: MonitorClient, process: NativeProcess, pid: number): void {
  client.adopt(process.id, pid);
  process.identify(pid, client.pid);
}
