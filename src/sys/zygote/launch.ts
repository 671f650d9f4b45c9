/**
 * Launches programs from the process that owns the zygote (the monitor, `berth oci`, tests): takes the place of the
 * daemon-to-monitor protocol when both ends are one process. The answers and outcomes are read on Bun's event loop.
 */
import { close, pipe2 } from '../files.ts';
import { SysError } from '../errno.ts';
import { Program, type ProgramReport, type SerializedProgram, STEP_BYTES, type StepFailure } from '../program.ts';
import { ARENA_BYTES, listMemfd, Zygote } from './zygote.ts';

/** How a program went: no `failed` means it executed (or was killed before: the exit status tells). */
export interface Outcome {
  readonly failed?: StepFailure;
  /** Pid of the second clone. */
  readonly second?: number;
  /** Failures of `attempt` steps. */
  readonly notes: readonly StepFailure[];
}

export interface Launched {
  readonly pid: number;
  /** The caller's: close it. */
  readonly pidfd: number;
  /** Settles when the child has executed, failed or left. Rejects never. */
  readonly outcome: Promise<Outcome>;
}

export interface LaunchOptions {
  /** Told of gates that are reached and of the second clone, before the outcome. */
  readonly onReport?: (report: ProgramReport) => void;
}

/** Writes the numbers of received descriptors into a list: source i of step i + 1, and the outcome pipe into step 0. */
export function patchSources(
  bytes: Uint8Array,
  at: Pick<SerializedProgram, 'firstSourceAt' | 'cgroup'>,
  sources: readonly number[],
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (const [i, fd] of sources.entries()) view.setBigInt64(at.firstSourceAt + i * STEP_BYTES, BigInt(fd), true);
  const cgroup = at.cgroup === undefined ? undefined : sources[at.cgroup + 1];
  if (cgroup !== undefined) view.setBigInt64(80, BigInt(cgroup), true);
}

/** Collects records of an outcome pipe until its end. */
export async function readOutcome(
  fd: number,
  program: Program,
  firstStep: number,
  options: LaunchOptions,
): Promise<Outcome> {
  const notes: StepFailure[] = [];
  let failed: StepFailure | undefined;
  let second: number | undefined;
  let rest = new Uint8Array(0);
  for await (const chunk of Bun.file(fd).stream()) {
    const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (; at + 16 <= all.length; at += 16) {
      const report = program.report(new DataView(all.buffer, all.byteOffset + at, 16), firstStep);
      if (report.kind === 'note') notes.push(report.failure);
      else if (report.kind === 'failed') failed = report.failure;
      else if (report.kind === 'second') second = report.pid;
      options.onReport?.(report);
    }
    rest = all.slice(at);
  }
  close(fd);
  return { notes, ...(failed === undefined ? {} : { failed }), ...(second === undefined ? {} : { second }) };
}

export class Launcher implements Disposable {
  readonly zygote = new Zygote();
  readonly #waiting = new Map<number, (answer: { pid: number; pidfd: number }) => void>();

  constructor() {
    void this.#readAnswers();
  }

  async #readAnswers(): Promise<void> {
    // The zygote writes 24 bytes at once, so a chunk never ends within an answer.
    for await (const chunk of Bun.file(this.zygote.answers).stream()) {
      const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      for (let at = 0; at + 24 <= chunk.length; at += 24) {
        const request = Number(view.getBigInt64(at, true));
        this.#waiting.get(request)?.({
          pid: Number(view.getBigInt64(at + 8, true)),
          pidfd: view.getInt32(at + 16, true),
        });
        this.#waiting.delete(request);
      }
    }
  }

  /** `flags`: CLONE_NEW*. Throws SysError when the clone fails. Gates' read ends are closed here. */
  async launch(program: Program, flags: number, options: LaunchOptions = {}): Promise<Launched> {
    const { base } = this.zygote;
    const list = program.serialize(base, ARENA_BYTES, flags);
    const outcome = pipe2();
    patchSources(list.bytes, list, [outcome.write, ...list.descriptors]);
    const memfd = listMemfd(list.bytes);
    const born = new Promise<{ pid: number; pidfd: number }>((resolve) => this.#waiting.set(memfd, resolve));
    this.zygote.request(memfd, list.bytes.length);
    const { pid, pidfd } = await born;
    close(memfd);
    close(outcome.write);
    if (pid < 0) {
      close(outcome.read);
      throw new SysError('clone3', -pid);
    }
    program.sent();
    return { pid, pidfd, outcome: readOutcome(outcome.read, program, Program.firstStepAddress(list, base), options) };
  }

  [Symbol.dispose](): void {
    this.zygote[Symbol.dispose]();
  }
}
