/**
 * Output and input of each container's first process, from before its start (clients attach to a created container) to
 * its end. One output per run: an attachment made while nothing runs belongs to the next run.
 */
import assert from 'node:assert/strict';
import type { RunningProcess } from '#execdriver/driver.ts';
import type { ContainerRecord } from '#container/record.ts';
import type { LogTarget } from '#logger/log-target.ts';
import type { Shipping } from '#logger/ship/shipping.ts';
import type { ProcessOutput, Pump } from '#stdio/pump.ts';
import { close } from '#sys/files.ts';
import { logTargetOf } from './log-target.ts';
import { type Stdin, stdinOf } from './stdin.ts';

export interface Console {
  readonly output: ProcessOutput;
  /** A client is being attached: output is not read before it is. */
  expect(attaching: Promise<unknown>): void;
  /** Input of this run's process; undefined when it has none, or there will be no process. */
  readonly stdin: Promise<Stdin | undefined>;
  /** Settles when the run is over. */
  readonly over: Promise<void>;
}

interface State extends Console {
  readonly attaching: Promise<unknown>[];
  readonly started: PromiseWithResolvers<Stdin | undefined>;
  readonly ended: PromiseWithResolvers<void>;
  running: Stdin | undefined;
  log: LogTarget | undefined;
  /** Its process runs. */
  begun: boolean;
}

export class Consoles {
  readonly #pump: Pump;
  readonly #shipping: Shipping;
  readonly #containersDirectory: string;
  readonly #states = new Map<string, State>();

  constructor(pump: Pump, shipping: Shipping, containersDirectory: string) {
    this.#pump = pump;
    this.#shipping = shipping;
    this.#containersDirectory = containersDirectory;
  }

  /** The console of the current run, or of the next one. */
  of(record: ContainerRecord): Console {
    let state = this.#states.get(record.id);
    if (state === undefined) {
      const log = logTargetOf(this.#containersDirectory, record);
      const started = Promise.withResolvers<Stdin | undefined>();
      const ended = Promise.withResolvers<void>();
      const attaching: Promise<unknown>[] = [];
      state = {
        attaching,
        expect: (promise) => void attaching.push(promise),
        output: this.#pump.open(record.id, { tty: record.config.Tty, log }),
        stdin: started.promise,
        over: ended.promise,
        started,
        ended,
        running: undefined,
        log,
        begun: false,
      };
      this.#states.set(record.id, state);
    }
    return state;
  }

  /** The process runs: its output is read from now on. Takes its descriptors over. */
  begin(record: ContainerRecord, process: RunningProcess): RunOutput {
    this.of(record);
    const state = this.#states.get(record.id);
    assert(state !== undefined, 'a console that was just made');
    state.running = stdinOf(process);
    state.begun = true;
    state.started.resolve(state.running);
    this.#shipping.open(record.id, state.log);
    return new RunOutput(state.output, process, state.attaching.splice(0));
  }

  /** Whoever the log is sent to is behind, or not any more. */
  pause(id: string, on: boolean): void {
    this.#states.get(id)?.output.pause(on);
  }

  /** The log options of a container have changed: what it writes from now on is logged by them. */
  relog(record: ContainerRecord): void {
    const state = this.#states.get(record.id);
    if (state === undefined) return;
    state.log = logTargetOf(this.#containersDirectory, record);
    state.output.relog(state.log);
    state.output.pause(false);
    if (!state.begun) return;
    if (state.log?.remote === undefined) this.#shipping.end(record.id);
    else this.#shipping.open(record.id, state.log);
  }

  /** The run is over, or will not be: attached clients have got or get what there was. Idempotent. */
  end(id: string): void {
    const state = this.#states.get(id);
    if (state === undefined) return;
    this.#states.delete(id);
    state.running?.close();
    state.output.close();
    this.#shipping.end(id);
    state.started.resolve(undefined);
    state.ended.resolve();
  }
}

/** The output of a running process. Reading begins when the clients that came before the start are served. */
export class RunOutput {
  readonly #output: ProcessOutput;
  readonly #begun: Promise<void>;

  constructor(output: ProcessOutput, process: RunningProcess, attaching: readonly Promise<unknown>[]) {
    this.#output = output;
    const { stdin, stdout, stderr } = process.stdio;
    const start = (): void => {
      output.start({ ...(stdout === undefined ? {} : { stdout }), ...(stderr === undefined ? {} : { stderr }) });
      // The pump has duplicates. A terminal's master stays open, for input and resize.
      if (stdout !== undefined && stdout !== stdin) close(stdout);
      if (stderr !== undefined) close(stderr);
    };
    if (attaching.length > 0) this.#begun = Promise.allSettled(attaching).then(start);
    else {
      start();
      this.#begun = Promise.resolve();
    }
  }

  /** After the end of the process: everything it wrote is in the log and with the clients. */
  async drain(): Promise<void> {
    await this.#begun;
    // A process with the host's pid namespace may leave others behind that hold its output: they are not waited for.
    this.#output.finish();
    await this.#output.drained;
  }
}
