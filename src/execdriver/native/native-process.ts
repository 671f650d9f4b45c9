/** A process of the native driver, from the moment before it is asked for until its release. */
import { notFound } from '#errdefs/errors.ts';
import type { Cgroup } from '#libcontainer/cgroups/cgroup.ts';
import { resizeTerminal } from '#libcontainer/terminal.ts';
import { log } from '#pkg/log/log.ts';
import { isErrno } from '#sys/errno.ts';
import { close } from '#sys/files.ts';
import { SIG } from '#sys/numbers.ts';
import { killByPidfd, pidfdOpen, pidfdSendSignal, processStat } from '#sys/processes.ts';
import type { ProcessExit, ProcessStdio, RunningProcess } from '../driver.ts';
import type { ProcessFacts } from './process-files.ts';

export interface NativeProcessOptions {
  readonly id: string;
  /** The container's; an exec has none of its own. */
  readonly cgroup: Cgroup | undefined;
  readonly closeStdin: () => void;
}

export class NativeProcess implements RunningProcess {
  readonly id: string;
  readonly cgroup: Cgroup | undefined;
  readonly exited: Promise<ProcessExit>;
  pid = 0;
  startTicks = 0n;
  startedAt = new Date(0);
  stdio: ProcessStdio = { tty: false };
  readonly #exit = Promise.withResolvers<ProcessExit>();
  readonly #closeStdin: () => void;
  #pidfd: number | undefined;
  #ended = false;

  constructor({ id, cgroup, closeStdin }: NativeProcessOptions) {
    this.id = id;
    this.cgroup = cgroup;
    this.exited = this.#exit.promise;
    this.#closeStdin = closeStdin;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Its pid is known: holds on to the process itself. False when it has ended and been reaped already. */
  identify(pid: number, parent: number): boolean {
    this.#letGo();
    try {
      this.#pidfd = pidfdOpen(pid);
    } catch (error) {
      if (isErrno(error, 'ESRCH')) return false;
      throw error;
    }
    const stat = processStat(pid);
    // Opened late, the pid could be another's: only the monitor's child is ours.
    if (stat?.ppid !== parent) {
      this.#letGo();
      return false;
    }
    this.pid = pid;
    this.startTicks = stat.startTicks;
    return true;
  }

  /** After a restart of the daemon. */
  restoreFacts(facts: ProcessFacts, stdio: ProcessStdio): void {
    this.startTicks = facts.startTicks;
    this.pid = facts.pid;
    this.startedAt = facts.startedAt;
    this.stdio = stdio;
  }

  /** Of this process; only until it has ended. */
  get pidfd(): number {
    if (this.#pidfd === undefined) throw notFound(`process ${this.id} has ended`);
    return this.#pidfd;
  }

  /** Settles `exited`; only the first end counts. */
  end(exit: ProcessExit): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#letGo();
    this.#exit.resolve(exit);
  }

  /** Ends it at once; it may have ended. */
  kill(): void {
    if (this.#pidfd !== undefined) killByPidfd(this.#pidfd);
  }

  async signal(signal: number): Promise<void> {
    try {
      pidfdSendSignal(this.pidfd, signal);
    } catch (error) {
      if (isErrno(error, 'ESRCH')) throw notFound(`process ${this.id} has ended`, { cause: error });
      throw error;
    }
    // A frozen group of v1 keeps even SIGKILL waiting.
    if (signal === SIG.KILL && this.cgroup?.frozen() === true) await this.cgroup.thaw();
  }

  resize(height: number, width: number): void {
    if (!this.stdio.tty || this.stdio.stdout === undefined) return;
    try {
      resizeTerminal(this.stdio.stdout, { height, width });
    } catch (error) {
      // The master may be closed already: the process is ending.
      log.debug('a terminal cannot be resized', { process: this.id, err: error });
    }
  }

  async closeStdin(): Promise<void> {
    this.#closeStdin();
  }

  #letGo(): void {
    if (this.#pidfd !== undefined) close(this.#pidfd);
    this.#pidfd = undefined;
  }
}
