/**
 * The write end of a process's input, shared by its clients. Closed once: when a client's end of input is the process's,
 * or when the process is over; whoever is still copying into it hears of it before the number is free again.
 */
import type { RunningProcess } from '#execdriver/driver.ts';
import { close } from '#sys/files.ts';

export class Stdin {
  readonly fd: number;
  readonly #process: RunningProcess;
  readonly #closed = new AbortController();
  #copying = 0;

  constructor(process: RunningProcess, fd: number) {
    this.#process = process;
    this.fd = fd;
  }

  /** Aborted when it is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Runs a copier; the descriptor stays open until it has returned. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    this.#copying += 1;
    try {
      return await work();
    } finally {
      this.#copying -= 1;
      this.#closeWhenUnused();
    }
  }

  /** The process sees the end of its input. */
  async end(): Promise<void> {
    this.close();
    await this.#process.closeStdin();
  }

  /** Lets go of our descriptor. Idempotent. */
  close(): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(new Error('the input is closed'));
    this.#closeWhenUnused();
  }

  #open = true;

  #closeWhenUnused(): void {
    if (!this.#open || this.#copying > 0 || !this.#closed.signal.aborted) return;
    this.#open = false;
    close(this.fd);
  }
}

export function stdinOf(process: RunningProcess): Stdin | undefined {
  const { stdin } = process.stdio;
  return stdin === undefined ? undefined : new Stdin(process, stdin);
}
