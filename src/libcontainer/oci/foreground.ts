/**
 * A container or exec in the foreground: signals we get are its signals, a terminal is copied both ways, and its end is
 * ours. Everything else of `berth oci` runs without an event loop; this is where one is needed.
 */
import { close, setNonBlocking, write } from '#sys/files.ts';
import { IOCTL, NR, W } from '#sys/numbers.ts';
import { must, call } from '#sys/call.ts';
import { type Ended, exitCodeOf, waitid } from '#sys/processes.ts';

const forwarded = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGTERM', 'SIGCONT', 'SIGTSTP'] as const;
const numbers: Readonly<Record<(typeof forwarded)[number], number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGTERM: 15,
  SIGCONT: 18,
  SIGTSTP: 20,
};
const WINDOW_BYTES = 8;
const POLL_MS = 200;

/** Made before the container, so that a signal in between is not our end but, a moment later, the container's. */
export class Foreground implements Disposable {
  readonly #early: number[] = [];
  readonly #listeners = new Map<(typeof forwarded)[number], () => void>();
  #pidfd: number | undefined;

  constructor() {
    for (const name of forwarded) {
      const listener = () => this.#forward(numbers[name]);
      this.#listeners.set(name, listener);
      process.on(name, listener);
    }
  }

  #forward(signal: number): void {
    if (this.#pidfd === undefined) this.#early.push(signal);
    // One that has ended is about to be reaped.
    else call(NR.pidfd_send_signal, this.#pidfd, signal, 0, 0);
  }

  /** Waits for a child of ours and returns its exit code. `master`: its terminal, closed at the end. */
  async wait(pidfd: number, master: number | undefined): Promise<number> {
    const terminal = master === undefined ? undefined : copyTerminal(master);
    this.#pidfd = pidfd;
    for (const signal of this.#early) this.#forward(signal);
    try {
      const ended = await childEnd(pidfd);
      await terminal?.drained();
      return exitCodeOf(ended);
    } finally {
      terminal?.restore();
    }
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.removeListener(name, listener);
  }
}

/** SIGCHLD tells; the slow poll is for one that came before the handler. */
function childEnd(pidfd: number): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const look = () => {
    const ended = waitid(W.P_PIDFD, pidfd, W.NOHANG);
    if (ended === undefined) return;
    process.removeListener('SIGCHLD', look);
    clearInterval(timer);
    resolve(ended);
  };
  process.on('SIGCHLD', look);
  const timer = setInterval(look, POLL_MS);
  look();
  return promise;
}

interface CopiedTerminal {
  drained(): Promise<void>;
  restore(): void;
}

function copyTerminal(master: number): CopiedTerminal {
  const resize = () => {
    const window = new Uint8Array(WINDOW_BYTES);
    if (call(NR.ioctl, 0, IOCTL.TIOCGWINSZ, window) >= 0) must('ioctl', NR.ioctl, master, IOCTL.TIOCSWINSZ, window);
  };
  resize();
  process.on('SIGWINCH', resize);
  const raw = process.stdin.isTTY;
  if (raw) process.stdin.setRawMode(true);
  process.stdin.on('data', (chunk: Buffer) => writeSlowly(master, chunk));
  const output = copyOut(master);
  return {
    drained: () => output,
    restore: () => {
      process.removeListener('SIGWINCH', resize);
      if (raw) process.stdin.setRawMode(false);
      process.stdin.pause();
      close(master);
    },
  };
}

/** Ends when the last slave is closed (EIO). */
async function copyOut(master: number): Promise<void> {
  setNonBlocking(master);
  try {
    for await (const chunk of Bun.file(master).stream()) process.stdout.write(chunk);
  } catch {
    // EIO is the end of a terminal.
  }
  // We end by exit_group, which flushes nothing.
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
}

function writeSlowly(master: number, chunk: Uint8Array): void {
  try {
    const written = write(master, chunk);
    if (written < chunk.length) setTimeout(() => writeSlowly(master, chunk.subarray(written)), 1);
  } catch {
    // Full (EAGAIN): the program does not read; later.
    setTimeout(() => writeSlowly(master, chunk), 5);
  }
}
