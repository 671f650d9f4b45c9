/**
 * A client's input on its way to a process: its stdin pipe, or the master of its terminal. Nothing here blocks the event
 * loop: the descriptor is set non-blocking, and what does not fit waits for room, while the client is not read.
 * What the end of input means (StdinOnce) is the daemon's to decide.
 */
import { close, dup, setNonBlocking, tryWrite } from '#sys/files.ts';
import { call } from '#sys/call.ts';
import { isErrno } from '#sys/errno.ts';
import { F, NR } from '#sys/numbers.ts';
import { DetachMatcher } from '#pkg/detach-keys/detach-keys.ts';

/** A pty master may say that there is room and take nothing (a full line buffer): then it is asked again after a while. */
const NO_PROGRESS_MS = 20;
const INPUT_PIPE_BYTES = 1 << 20;

export interface InputRequest {
  readonly source: AsyncIterable<Uint8Array>;
  /** Stays the caller's to close; a duplicate is written to. */
  readonly fd: number;
  /** Set for a terminal only: input of others may hold any bytes. */
  readonly detachKeys: Uint8Array | undefined;
  /** Pump.whenWritable. */
  readonly whenWritable: (fd: number) => Promise<void>;
  /** The process has ended, or the attachment was given up. */
  readonly signal: AbortSignal;
}

/** 'ended': the client has closed its direction or has gone; 'detached': it typed the keys; 'stopped': the signal. */
export type InputEnd = 'ended' | 'detached' | 'stopped';

/** Copies until one of the ends. A process that has closed its stdin is no end: the keys go on to be looked for. */
export async function copyInput(request: InputRequest): Promise<InputEnd> {
  const fd = dup(request.fd, 3);
  setNonBlocking(fd);
  const stopped = Promise.withResolvers<'stopped'>();
  const onAbort = () => stopped.resolve('stopped');
  request.signal.addEventListener('abort', onAbort, { once: true });
  if (request.signal.aborted) onAbort();
  const copied = copy(request, fd);
  try {
    return await Promise.race([copied, stopped.promise]);
  } finally {
    request.signal.removeEventListener('abort', onAbort);
    // A copy that is still under way sees the signal before it writes again.
    void copied.catch(() => {}).finally(() => close(fd));
  }
}

async function copy(request: InputRequest, fd: number): Promise<InputEnd> {
  const matcher = request.detachKeys === undefined ? undefined : new DetachMatcher(request.detachKeys);
  const writer = new Writer(fd, request);
  for await (const chunk of request.source) {
    if (request.signal.aborted) return 'stopped';
    const step = matcher?.push(chunk) ?? { forward: chunk, detached: false };
    await writer.write(step.forward);
    if (step.detached) return 'detached';
  }
  if (matcher !== undefined) await writer.write(matcher.flush());
  return 'ended';
}

class Writer {
  readonly #fd: number;
  readonly #request: InputRequest;
  /** The process has closed its stdin: the rest is thrown away. */
  #broken = false;
  #enlarged = false;

  constructor(fd: number, request: InputRequest) {
    this.#fd = fd;
    this.#request = request;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let fruitless = 0;
    for (let rest = bytes; rest.length > 0 && !this.#broken && !this.#request.signal.aborted; ) {
      const written = this.#tryWrite(rest);
      if (written > 0) {
        rest = rest.subarray(written);
        fruitless = 0;
        continue;
      }
      await this.#room(fruitless++ > 1);
    }
  }

  #tryWrite(bytes: Uint8Array): number {
    try {
      return tryWrite(this.#fd, bytes) ?? 0;
    } catch (error) {
      // EIO: the terminal has hung up.
      if (!isErrno(error, 'EPIPE', 'EIO')) throw error;
      this.#broken = true;
      return 0;
    }
  }

  async #room(again: boolean): Promise<void> {
    if (this.#broken) return;
    if (!this.#enlarged) {
      // Somebody sends more than a little: fewer, larger turns. A terminal refuses, and so may the user's pipe limit.
      this.#enlarged = true;
      if (call(NR.fcntl, this.#fd, F.SETPIPE_SZ, INPUT_PIPE_BYTES) > 0) return;
    }
    if (again) await new Promise((resolve) => setTimeout(resolve, NO_PROGRESS_MS));
    const gone = Promise.withResolvers<void>();
    const onAbort = () => gone.resolve();
    this.#request.signal.addEventListener('abort', onAbort, { once: true });
    await Promise.race([this.#request.whenWritable(this.#fd), gone.promise]);
    this.#request.signal.removeEventListener('abort', onAbort);
  }
}
