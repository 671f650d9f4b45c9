/**
 * Output and input of each container's first process, from before its start (clients attach to a created container) to
 * its end. One output per run: an attachment made while nothing runs belongs to the next run.
 */
import assert from 'node:assert/strict';
import type { RunningProcess } from '#execdriver/driver.ts';
import type { ContainerRecord } from '#container/record.ts';
import type { ProcessOutput, Pump } from '#stdio/pump.ts';
import { close } from '#sys/files.ts';
import { logTargetOf } from './log-target.ts';
import { type Stdin, stdinOf } from './stdin.ts';

export interface Console {
  readonly output: ProcessOutput;
  /** Input of this run's process; undefined when it has none, or there will be no process. */
  readonly stdin: Promise<Stdin | undefined>;
  /** Settles when the run is over. */
  readonly over: Promise<void>;
}

interface State extends Console {
  readonly started: PromiseWithResolvers<Stdin | undefined>;
  readonly ended: PromiseWithResolvers<void>;
  running: Stdin | undefined;
}

export class Consoles {
  readonly #pump: Pump;
  readonly #containersDirectory: string;
  readonly #states = new Map<string, State>();

  constructor(pump: Pump, containersDirectory: string) {
    this.#pump = pump;
    this.#containersDirectory = containersDirectory;
  }

  /** The console of the current run, or of the next one. */
  of(record: ContainerRecord): Console {
    let state = this.#states.get(record.id);
    if (state === undefined) {
      const log = logTargetOf(this.#containersDirectory, record);
      const started = Promise.withResolvers<Stdin | undefined>();
      const ended = Promise.withResolvers<void>();
      state = {
        output: this.#pump.open(record.id, { tty: record.config.Tty, log }),
        stdin: started.promise,
        over: ended.promise,
        started,
        ended,
        running: undefined,
      };
      this.#states.set(record.id, state);
    }
    return state;
  }

  /** The process runs: its output is read from now on. Takes its descriptors over. */
  begin(record: ContainerRecord, process: RunningProcess): ProcessOutput {
    this.of(record);
    const state = this.#states.get(record.id);
    assert(state !== undefined, 'a console that was just made');
    startOutput(state.output, process);
    state.running = stdinOf(process);
    state.started.resolve(state.running);
    return state.output;
  }

  /** The run is over, or will not be: attached clients have got or get what there was. Idempotent. */
  end(id: string): void {
    const state = this.#states.get(id);
    if (state === undefined) return;
    this.#states.delete(id);
    state.running?.close();
    state.output.close();
    state.started.resolve(undefined);
    state.ended.resolve();
  }
}

/** Hands a process's output to the pump, which duplicates it. A terminal's master stays open, for input and resize. */
export function startOutput(output: ProcessOutput, process: RunningProcess): void {
  const { stdin, stdout, stderr } = process.stdio;
  output.start({ ...(stdout === undefined ? {} : { stdout }), ...(stderr === undefined ? {} : { stderr }) });
  if (stdout !== undefined && stdout !== stdin) close(stdout);
  if (stderr !== undefined) close(stderr);
}
