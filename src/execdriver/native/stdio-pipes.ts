/**
 * Standard streams of a process: pipes, or /dev/null where nothing was asked for. Output pipes are 1 MiB: while no daemon
 * reads, a container that fills them blocks and loses nothing.
 */
import { log } from '#pkg/log/log.ts';
import { isErrno } from '#sys/errno.ts';
import { close, fcntl, open, pipe2 } from '#sys/files.ts';
import { F, O } from '#sys/numbers.ts';
import type { ProcessStdio, StdioRequest } from '../driver.ts';

const OUTPUT_PIPE_BYTES = 1 << 20;

export interface ChildEnds {
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** Both sides of one process's streams until they are handed over. Disposing closes what was not. */
export class StdioPipes implements Disposable {
  /** Undefined with a terminal: the child's end is its slave. */
  readonly child: ChildEnds | undefined;
  readonly #childFds: number[] = [];
  #ours: { stdin?: number; stdout?: number; stderr?: number };
  readonly #tty: boolean;

  constructor(request: StdioRequest) {
    this.#tty = request.tty;
    this.#ours = {};
    if (request.tty) return;
    try {
      const ours: { stdin?: number; stdout?: number; stderr?: number } = this.#ours;
      const stdin = this.#childEnd(request.stdin ? 'in' : 'none', (fd) => (ours.stdin = fd));
      const stdout = this.#childEnd(request.stdout ? 'out' : 'none', (fd) => (ours.stdout = fd));
      const stderr = this.#childEnd(request.stderr ? 'out' : 'none', (fd) => (ours.stderr = fd));
      this.child = { stdin, stdout, stderr };
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #childEnd(direction: 'in' | 'out' | 'none', keep: (fd: number) => void): number {
    if (direction === 'none') {
      const nothing = open('/dev/null', O.RDWR);
      this.#childFds.push(nothing);
      return nothing;
    }
    const pipe = pipe2();
    const [mine, childs] = direction === 'in' ? [pipe.write, pipe.read] : [pipe.read, pipe.write];
    keep(mine);
    this.#childFds.push(childs);
    if (direction === 'out') enlarge(mine);
    return childs;
  }

  /** With a terminal: its master is our only stream. */
  setMaster(master: number): void {
    this.#ours = { stdin: master, stdout: master };
  }

  /** What the monitor keeps duplicates of, by name. */
  held(): Record<string, number> {
    const { stdin, stdout, stderr } = this.#ours;
    if (this.#tty) return stdin === undefined ? {} : { tty: stdin };
    return {
      ...(stdin === undefined ? {} : { stdin }),
      ...(stdout === undefined ? {} : { stdout }),
      ...(stderr === undefined ? {} : { stderr }),
    };
  }

  /** The child has its ends: ours are closed, or the output would never end. */
  sent(): void {
    for (const fd of this.#childFds.splice(0)) close(fd);
  }

  /** Hands our side over. */
  take(): ProcessStdio {
    const stdio = { ...this.#ours, tty: this.#tty };
    this.#ours = {};
    return stdio;
  }

  [Symbol.dispose](): void {
    this.sent();
    const { stdin, stdout, stderr } = this.#ours;
    for (const fd of new Set([stdin, stdout, stderr])) if (fd !== undefined) close(fd);
    this.#ours = {};
  }
}

function enlarge(fd: number): void {
  try {
    fcntl(fd, F.SETPIPE_SZ, OUTPUT_PIPE_BYTES);
  } catch (error) {
    // EPERM: pipe-user-pages-soft is used up and CAP_SYS_RESOURCE missing. A smaller pipe only blocks sooner.
    if (!isErrno(error, 'EPERM')) throw error;
    log.debug('an output pipe keeps its size', { err: error });
  }
}
