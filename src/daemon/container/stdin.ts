/**
 * The write end of a process's input, shared by its clients. Closed once: when a client's end of input is the process's,
 * or when the process is over; whoever copies into it has a duplicate and hears of it.
 */
import type { RunningProcess } from '#execdriver/driver.ts';
import { close } from '#sys/files.ts';

export class Stdin {
  readonly fd: number;
  readonly #process: RunningProcess;
  readonly #closed = new AbortController();

  constructor(process: RunningProcess, fd: number) {
    this.#process = process;
    this.fd = fd;
  }

  /** Aborted when it is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** The process sees the end of its input. */
  async end(): Promise<void> {
    this.close();
    await this.#process.closeStdin();
  }

  /** Lets go of our descriptor. Idempotent. */
  close(): void {
    if (this.closed.aborted) return;
    this.#closed.abort(new Error('the input is closed'));
    close(this.fd);
  }
}

export function stdinOf(process: RunningProcess): Stdin | undefined {
  const { stdin } = process.stdio;
  return stdin === undefined ? undefined : new Stdin(process, stdin);
}
