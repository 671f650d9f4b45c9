/**
 * Launches a program and leads it through its gates, without an event loop: `berth oci` does one thing at a time, and a
 * poll(2) is all it waits in. The zygote is this process's own and dies with it.
 */
import { deadlineExceeded, systemError } from '#errdefs/errors.ts';
import { must } from '#sys/call.ts';
import { isErrno } from '#sys/errno.ts';
import { close, dup, ownedFd, pipe2, read, setNonBlocking, tryRead } from '#sys/files.ts';
import { NR, W } from '#sys/numbers.ts';
import { killByPidfd, pidfdOpen, waitid } from '#sys/processes.ts';
import { Program, type ProgramReport, type SerializedProgram, STEP_BYTES, type StepFailure } from '#sys/program.ts';
import { patchSources } from '#sys/zygote/launch.ts';
import { ARENA_BYTES, listMemfd, Zygote, type ZygoteAnswer } from '#sys/zygote/zygote.ts';
import type { ProgramOutcome } from '../explain.ts';
import type { EndStep } from './state.ts';

const POLLIN = 1;
const RECORD_BYTES = 16;
const DEADLINE_MS = 120_000;
const ABOVE_CHILD_NUMBERS = 256;

/** Waits until one of `fds` is readable or at its end; false when `timeoutMs` has passed. */
export function pollReadable(fds: readonly number[], timeoutMs: number): boolean {
  const bytes = new Uint8Array(8 * fds.length);
  const view = new DataView(bytes.buffer);
  for (const [i, fd] of fds.entries()) {
    view.setInt32(8 * i, fd, true);
    view.setInt16(8 * i + 4, POLLIN, true);
  }
  const seconds = BigInt(Math.floor(timeoutMs / 1000));
  const timeout = BigInt64Array.of(seconds, BigInt(Math.floor(timeoutMs % 1000)) * 1_000_000n);
  return ppoll(bytes, fds.length, new Uint8Array(timeout.buffer)) > 0;
}

function ppoll(fds: Uint8Array, count: number, timeout: Uint8Array): number {
  return must('ppoll', NR.ppoll, fds, count, timeout, 0, 8);
}

export interface LaunchedProcess extends ProgramOutcome {
  readonly pid: number;
  /** The caller's to close. */
  readonly pidfd: number;
  /** Pid of the second clone. */
  readonly second?: number;
}

export interface LaunchRequest {
  readonly program: Program;
  readonly cloneFlags: number;
  /** A FIFO in place of the outcome pipe: then the launch ends when the child is through its gate "exec". */
  readonly outcome?: number;
  /** Work at each gate; the gate is opened afterwards. */
  readonly onGate: (name: string, pid: number) => void;
}

/** Collects the records of one child. */
class Records {
  readonly notes: StepFailure[] = [];
  failed: StepFailure | undefined;
  second: number | undefined;
  readonly #program: Program;
  readonly #firstStep: number;

  constructor(program: Program, firstStep: number) {
    this.#program = program;
    this.#firstStep = firstStep;
  }

  take(bytes: Uint8Array, length: number): ProgramReport[] {
    const reports: ProgramReport[] = [];
    for (let at = 0; at + RECORD_BYTES <= length; at += RECORD_BYTES) {
      const report = this.#program.report(new DataView(bytes.buffer, at, RECORD_BYTES), this.#firstStep);
      if (report.kind === 'note') this.notes.push(report.failure);
      else if (report.kind === 'failed') this.failed = report.failure;
      else if (report.kind === 'second') this.second = report.pid;
      reports.push(report);
    }
    return reports;
  }
}

/**
 * Ends and reaps the children of a start that failed: left as zombies, they would keep the init of a joined pid namespace
 * from ending.
 */
export function endLaunched(launched: Pick<LaunchedProcess, 'pidfd' | 'second'>): void {
  killByPidfd(launched.pidfd);
  waitid(W.P_PIDFD, launched.pidfd, 0);
  close(launched.pidfd);
  const { second } = launched;
  if (second === undefined) return;
  // Our child and not reaped yet, so the pid is still its own.
  using pidfd = ownedFd(pidfdOpen(second));
  killByPidfd(pidfd.fd);
  waitid(W.P_PIDFD, pidfd.fd, 0);
}

/** One zygote and the children it clones, one after the other. */
export class OciLauncher implements Disposable {
  readonly #zygote = new Zygote({ eager: false });

  /**
   * Runs `program` up to its execve (or, with a FIFO, up to its last gate). Errors: deadline-exceeded, system; a program
   * that failed is a result.
   */
  launch(request: LaunchRequest): LaunchedProcess {
    const { program } = request;
    const list = program.serialize(this.#zygote.base, ARENA_BYTES, request.cloneFlags);
    const pipe = request.outcome === undefined ? pipe2() : undefined;
    const outcome = pipe?.write ?? request.outcome ?? -1;
    const answer = this.#clone(list, [outcome, ...list.descriptors]);
    if (pipe !== undefined) close(pipe.write);
    if (answer === undefined || answer.pid < 0) {
      if (pipe !== undefined) close(pipe.read);
      throw systemError(`Cannot clone the container: errno ${-(answer?.pid ?? 0)}`);
    }
    program.sent();
    const { pid, pidfd } = answer;
    const records = new Records(program, Program.firstStepAddress(list, this.#zygote.base));
    try {
      follow(records, { request, pid, pidfd, from: pipe?.read ?? outcome });
    } catch (error) {
      endLaunched({ pidfd, ...(records.second === undefined ? {} : { second: records.second }) });
      throw error;
    } finally {
      if (pipe !== undefined) close(pipe.read);
    }
    const { notes, failed, second } = records;
    return {
      pid,
      pidfd,
      notes,
      ...(failed === undefined ? {} : { failed }),
      ...(second === undefined ? {} : { second }),
    };
  }

  /**
   * The child puts what it is given on the numbers from 3 on, one after the other; so what it is given must lie above all
   * of those.
   */
  #clone(list: SerializedProgram, descriptors: readonly number[]): ZygoteAnswer | undefined {
    const high = descriptors.map((fd) => dup(fd, ABOVE_CHILD_NUMBERS));
    patchSources(list.bytes, list, high);
    const memfd = listMemfd(list.bytes);
    try {
      this.#zygote.request(memfd, list.bytes.length);
      if (!pollReadable([this.#zygote.answers], DEADLINE_MS)) throw systemError('The zygote does not answer');
      return this.#zygote.answer();
    } finally {
      close(memfd);
      for (const fd of high) close(fd);
    }
  }

  /** What steps of `program` from `first` on are called when they fail: for whoever reads the FIFO later. */
  endSteps(program: Program, first: number): EndStep[] {
    const list = program.serialize(this.#zygote.base, ARENA_BYTES, 0);
    const firstStep = Program.firstStepAddress(list, this.#zygote.base);
    const steps: EndStep[] = [];
    // Each step takes its own bytes and eight for its result.
    const table = list.firstSourceAt - 8;
    const count = (list.bytes.length - table) / (STEP_BYTES + 8);
    const prologue = count - program.steps.length;
    for (let i = first; i < program.steps.length; i++) {
      const at = firstStep + (prologue + i) * STEP_BYTES;
      const record = new DataView(BigInt64Array.of(-1n, BigInt(at)).buffer);
      const report = program.report(record, firstStep);
      if (report.kind !== 'note' && report.kind !== 'failed') continue;
      const { step, path } = report.failure;
      steps.push({ at, name: step, note: report.kind === 'note', ...(path === undefined ? {} : { path }) });
    }
    return steps;
  }

  /** No more launches: it dies while the container runs, so that nobody waits for it at the end. */
  end(): void {
    this.#zygote.end();
  }

  [Symbol.dispose](): void {
    this.#zygote[Symbol.dispose]();
  }
}

/** A child that has ended at its gate reads no more: what it told, or that it told nothing, says why. */
function passGate(request: LaunchRequest, name: string, pid: number): void {
  try {
    request.onGate(name, pid);
  } catch (error) {
    if (!isErrno(error, 'EPIPE')) throw error;
  }
}

/** Reads records and opens gates until the child has executed, failed, ended or (FIFO) is through its gates. */
function follow(records: Records, child: { request: LaunchRequest; pid: number; pidfd: number; from: number }): void {
  const { request, pid, pidfd, from } = child;
  const buffer = new Uint8Array(4096);
  const deadline = performance.now() + DEADLINE_MS;
  setNonBlocking(from);
  for (;;) {
    const left = deadline - performance.now();
    if (left <= 0 || !pollReadable([from, pidfd], left)) throw deadlineExceeded('The start took too long');
    const length = tryRead(from, buffer);
    if (length === 0) return;
    if (length === undefined) {
      // Ended without a word: killed. A second clone lives on when the first has ended.
      if (records.second === undefined) return;
      pollReadable([from], left);
      continue;
    }
    for (const report of records.take(buffer, length)) {
      if (report.kind === 'failed') {
        // A second clone may fail before the first has told its pid, and unknown it would never be reaped: the first
        // ends when it has told it.
        pollReadable([pidfd], Math.max(0, left));
        const rest = tryRead(from, buffer);
        if (rest !== undefined && rest > 0) records.take(buffer, rest);
        return;
      }
      if (report.kind !== 'arrived') continue;
      passGate(request, report.gate, records.second ?? pid);
      if (request.outcome !== undefined && report.gate === 'exec') return;
    }
  }
}

/** Reads a FIFO (blocking) to its end and says what went wrong, by the stored names of the steps. */
export function readOutcomeFifo(
  fd: number,
  steps: readonly EndStep[],
  errnoName: (n: number) => string,
): ProgramOutcome {
  const notes: StepFailure[] = [];
  let failed: StepFailure | undefined;
  const buffer = new Uint8Array(4096);
  for (let length = read(fd, buffer); length > 0; length = read(fd, buffer)) {
    const view = new DataView(buffer.buffer, 0, length);
    for (let at = 0; at + RECORD_BYTES <= length; at += RECORD_BYTES) {
      const errno = -Number(view.getBigInt64(at, true));
      const step = steps.find((s) => s.at === Number(view.getBigInt64(at + 8, true)));
      if (step === undefined || errno < 0) continue;
      const { name, path, note } = step;
      const failure = { step: name, errno, code: errnoName(errno), ...(path === undefined ? {} : { path }) };
      if (note) notes.push(failure);
      else failed = failure;
    }
  }
  return { notes, ...(failed === undefined ? {} : { failed }) };
}
