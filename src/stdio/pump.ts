/**
 * The output of processes on its way to their logs and to attached clients: the main thread's side. One Worker (see
 * pump-loop.ts) serves all containers and execs; what is called here only sends it commands.
 *
 * An output is made before its process runs, so that attachments made before the start miss nothing. It ends (`drained`)
 * when every stream has ended and is in the log; attachments end on their own when they have got all of it.
 */
import type { Connection } from '#api/jobs/streams.ts';
import { systemError, unavailable } from '#errdefs/errors.ts';
import { type LogFileTarget, type PackedFile, plainTarget } from '#logger/log-file.ts';
import type { LogLoss } from './log-sink.ts';
import { log } from '#pkg/log/log.ts';
import { close, dup, pipe2, setNonBlocking, tryWrite } from '#sys/files.ts';
import { bytesUnread } from '#sys/sockets.ts';
import { F, NR, O } from '#sys/numbers.ts';
import { call } from '#sys/call.ts';
import { journalPath } from './journal-path.ts';
import type { AttachmentEnd, Command, HeldPosition, PumpEvent, PumpOptions, Selection } from './protocol.ts';

export type { AttachmentEnd, HeldPosition, Selection } from './protocol.ts';

/** A logged container's client that takes nothing for so long is let go. */
export const ATTACH_STALL_MS = 120_000;
/** Longer than any client that means to read takes, short for one that does not. */
const HEAD_LIMIT_MS = 1000;
const COMMAND_PIPE_BYTES = 1 << 20;
const COMMAND_RETRY_MS = 2;

export interface OutputOptions {
  readonly tty: boolean;
  /** Undefined: not logged. */
  readonly log: LogFileTarget | undefined;
}

export interface AttachRequest extends Selection {
  /** Accepted already; nobody writes to it until the attachment is done. */
  readonly connection: Connection;
}

export interface Attachment {
  /** Settles when the client has got everything, has gone, or was let go; the connection is the caller's again. */
  readonly done: Promise<AttachmentEnd>;
  /** Stops sending; `done` settles soon. */
  detach(): void;
}

/** An output that stands still for a client, so that it can be given what was logged so far. */
export interface HeldAttachment {
  /** Where the log stands; undefined when there is none, or the output has ended. */
  readonly position: HeldPosition | undefined;
  /** Goes on, with this client. */
  resume(connection: Connection): Promise<Attachment>;
  /** Goes on without it. */
  cancel(): void;
}

export interface ProcessOutput {
  readonly id: string;
  /** Resolves when the client is on its way to the Worker: after it, `start` misses nothing for it. */
  attach(request: AttachRequest): Promise<Attachment>;
  hold(select: Selection): Promise<HeldAttachment>;
  /** The process exists. Its descriptors are duplicated; they stay the caller's to close. */
  start(source: { readonly stdout?: number; readonly stderr?: number }): void;
  /** While it is on nothing is read; the end of the process ends it. */
  pause(on: boolean): void;
  /** Logs otherwise from now on; undefined: not at all. */
  relog(log: LogFileTarget | undefined): void;
  /** Every stream has ended and is in the log. Also settles after `close`. */
  readonly drained: Promise<void>;
  /** The process has ended: takes what is in its pipes and ends, although somebody may hold their other ends. */
  finish(): void;
  /** Lets go at once, without reading on (the daemon stops, containers go on). */
  close(): void;
}

interface OutputState {
  readonly drained: PromiseWithResolvers<void>;
  readonly name: string;
}

interface AttachmentState {
  readonly attached: PromiseWithResolvers<HeldPosition | undefined>;
  readonly done: PromiseWithResolvers<AttachmentEnd>;
}

/**
 * Where the Worker's file is: beside this one, or, in an executable made by `bun build --compile --splitting` with
 * `src/stdio/pump-worker.ts` as an entry point of its own, under the common folder of all entry points.
 */
function workerUrl(): string | URL {
  return import.meta.url.includes('/$bunfs/')
    ? '/$bunfs/root/stdio/pump-worker.js'
    : new URL('./pump-worker.ts', import.meta.url);
}

/** What somebody may want to be told. */
export interface PumpHooks {
  logFailed?: (loss: LogLoss) => void;
  /** A log that is to be compressed was rotated; `packed` puts the result in its place. */
  rotated?: (file: Omit<PackedFile, 'packed' | 'key'>) => void;
}

export class Pump {
  readonly #hooks: PumpHooks = {};
  readonly #worker: Worker;
  readonly #commands: number;
  readonly #outputs = new Map<number, OutputState>();
  readonly #attachments = new Map<number, AttachmentState>();
  readonly #writable = new Map<number, () => void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();
  #unsent: Uint8Array[] = [];
  #next = 1;
  #failed: string | undefined;

  private constructor(journal: string, stallMs: number) {
    const pipe = pipe2();
    call(NR.fcntl, pipe.write, F.SETPIPE_SZ, COMMAND_PIPE_BYTES);
    setNonBlocking(pipe.write);
    this.#commands = pipe.write;
    this.#worker = new Worker(workerUrl());
    this.#worker.onmessage = (event: MessageEvent<PumpEvent>) => this.#take(event.data);
    this.#worker.onerror = (event) => this.#fail(event.message);
    const options: PumpOptions = { commands: pipe.read, journal, stallMs };
    this.#worker.postMessage(options);
    this.#worker.unref();
  }

  /** Starts the Worker, which first finishes what an earlier daemon with this exec root was killed over. */
  static async start(options: { readonly execRoot: string; readonly stallMs?: number }): Promise<Pump> {
    const pump = new Pump(journalPath(options.execRoot), options.stallMs ?? ATTACH_STALL_MS);
    await pump.#ready.promise;
    return pump;
  }

  /**
   * An output that has no process yet. `id` names it across restarts of the daemon: a container's id; output of the same
   * id that was read but not logged when a daemon was killed goes on here.
   */
  open(id: string, options: OutputOptions): ProcessOutput {
    const output = this.#next++;
    const state: OutputState = { drained: Promise.withResolvers(), name: id };
    state.drained.promise.catch(() => {});
    this.#outputs.set(output, state);
    this.#send({ op: 'create', output, key: id, tty: options.tty, log: plainTarget(options.log) });
    return {
      id,
      attach: (request) => this.#attach(output, request),
      hold: (select) => this.#hold(output, select),
      start: ({ stdout, stderr }) =>
        this.#send({
          op: 'start',
          output,
          stdout: stdout === undefined ? -1 : dup(stdout, 3),
          stderr: stderr === undefined ? -1 : dup(stderr, 3),
        }),
      drained: state.drained.promise,
      pause: (on) => this.#send({ op: 'pause', output, on }),
      relog: (log) => this.#send({ op: 'relog', output, log: plainTarget(log) }),
      finish: () => this.#send({ op: 'finish', output }),
      close: () => this.#send({ op: 'close', output }),
    };
  }

  setHooks(hooks: PumpHooks): void {
    Object.assign(this.#hooks, hooks);
  }

  /** Puts a compressed file in the place of the rotated one. */
  packed(file: PackedFile): void {
    this.#send({ op: 'packed', file });
  }

  /** Resolves when the descriptor takes bytes again, or is broken. */
  whenWritable(fd: number): Promise<void> {
    const token = this.#next++;
    return new Promise((resolve) => {
      this.#writable.set(token, resolve);
      this.#send({ op: 'writable', token, fd: dup(fd, 3) });
    });
  }

  /** After restore: what the journal keeps for containers that were not opened again is given up. */
  forgetUnclaimed(): void {
    this.#send({ op: 'forget-unclaimed' });
  }

  /** Finishes the chunk at hand and ends the Worker; containers' output stays in their pipes. */
  async close(): Promise<void> {
    if (this.#failed === undefined) {
      this.#send({ op: 'stop' });
      await this.#stopped.promise;
    }
    this.#worker.terminate();
    close(this.#commands);
  }

  // --- attachments

  async #attach(output: number, request: AttachRequest): Promise<Attachment> {
    const lent = await lend(request.connection);
    const attachment = this.#next++;
    const state: AttachmentState = { attached: Promise.withResolvers(), done: Promise.withResolvers() };
    this.#attachments.set(attachment, state);
    const select = { stdout: request.stdout, stderr: request.stderr };
    // Commands are obeyed in order: a `start` that follows finds the client there, no answer has to be awaited.
    this.#send({ op: 'attach', output, attachment, select, fd: lent.fd });
    return this.#served(output, attachment, state, request.connection, lent);
  }

  #served(output: number, attachment: number, state: AttachmentState, connection: Connection, lent: Lent): Attachment {
    const detach = () => {
      if (this.#attachments.has(attachment)) this.#send({ op: 'detach', output, attachment });
    };
    connection.closed.addEventListener('abort', detach, { once: true });
    if (connection.closed.aborted) detach();
    const done = state.done.promise.then(async (end) => {
      connection.closed.removeEventListener('abort', detach);
      await lent.forwarded;
      return end;
    });
    return { done, detach };
  }

  async #hold(output: number, select: Selection): Promise<HeldAttachment> {
    const attachment = this.#next++;
    const state: AttachmentState = { attached: Promise.withResolvers(), done: Promise.withResolvers() };
    this.#attachments.set(attachment, state);
    this.#send({ op: 'hold', output, attachment, select });
    const position = await state.attached.promise;
    return {
      position,
      resume: async (connection) => {
        const lent = await lend(connection);
        this.#send({ op: 'resume', output, attachment, fd: lent.fd });
        return this.#served(output, attachment, state, connection, lent);
      },
      cancel: () => this.#send({ op: 'detach', output, attachment }),
    };
  }

  // --- the Worker

  #send(command: Command): void {
    if (this.#failed !== undefined) throw unavailable(`the output pump has failed: ${this.#failed}`);
    this.#unsent.push(Buffer.from(`${JSON.stringify(command)}\n`));
    if (this.#unsent.length === 1) this.#flush();
  }

  /** The pipe holds thousands of commands; it is full only while the Worker waits for a slow disk. */
  #flush(): void {
    for (let bytes = this.#unsent[0]; bytes !== undefined; bytes = this.#unsent[0]) {
      const written = tryWrite(this.#commands, bytes) ?? 0;
      if (written < bytes.length) {
        this.#unsent[0] = bytes.subarray(written);
        setTimeout(() => this.#flush(), COMMAND_RETRY_MS);
        return;
      }
      this.#unsent.shift();
    }
  }

  #take(event: PumpEvent): void {
    switch (event.type) {
      case 'ready':
        if (event.recovered !== undefined)
          log.info('finished an interrupted write to a log', { path: event.recovered });
        return this.#ready.resolve();
      case 'attached':
        return this.#attachments.get(event.attachment)?.attached.resolve(event.position);
      case 'detached': {
        const state = this.#attachments.get(event.attachment);
        this.#attachments.delete(event.attachment);
        return state?.done.resolve(event.end);
      }
      case 'drained':
      case 'closed': {
        const state = this.#outputs.get(event.output);
        this.#outputs.delete(event.output);
        return state?.drained.resolve();
      }
      case 'writable': {
        const resolve = this.#writable.get(event.token);
        this.#writable.delete(event.token);
        return resolve?.();
      }
      case 'log-failed': {
        const { path, error: err, lines, bytes } = event;
        if (err === undefined) log.info('a log is written again', { path, lines, bytes });
        else log.error('cannot write to a log, its lines are lost', { path, err, lines, bytes });
        return this.#hooks.logFailed?.(event);
      }
      case 'rotated':
        return this.#hooks.rotated?.(event);
      case 'output-failed':
        log.error('the output of a process is no longer read', {
          id: this.#outputs.get(event.output)?.name,
          err: event.error,
        });
        return;
      case 'stopped':
        return this.#stopped.resolve();
      case 'failed':
        return this.#fail(event.error);
    }
  }

  #fail(message: string): void {
    this.#failed = message;
    log.error('the output pump has failed', { err: message });
    const error = systemError(`the output pump has failed: ${message}`);
    this.#ready.reject(error);
    this.#stopped.resolve();
    for (const { drained } of this.#outputs.values()) drained.reject(error);
    for (const { attached, done } of this.#attachments.values()) {
      attached.resolve(undefined);
      done.resolve('gone');
    }
    for (const resolve of this.#writable.values()) resolve();
  }
}

/** A descriptor for the Worker, which closes it. `forwarded` settles when the connection has taken everything. */
interface Lent {
  readonly fd: number;
  readonly forwarded: Promise<void>;
}

async function lend(connection: Connection): Promise<Lent> {
  const fd = await connection.descriptor();
  if (fd >= 0) await headTaken(fd);
  if (fd >= 0) return { fd: dup(fd, 3), forwarded: Promise.resolve() };
  // TLS: the Worker writes into a pipe, the main thread carries it on.
  const pipe = pipe2(O.CLOEXEC);
  setNonBlocking(pipe.write);
  return { fd: pipe.write, forwarded: forward(pipe.read, connection) };
}

/**
 * docker-py reads the head through a buffer and the stream past it: what arrives together with the head is lost to it. So
 * output waits a moment until a client on a unix socket has read the head.
 */
async function headTaken(fd: number): Promise<void> {
  const giveUpAt = performance.now() + HEAD_LIMIT_MS;
  while (bytesUnread(fd) > 0 && performance.now() < giveUpAt) await Bun.sleep(1);
}

async function forward(fd: number, connection: Connection): Promise<void> {
  try {
    for await (const bytes of Bun.file(fd).stream()) await connection.write(bytes);
  } finally {
    close(fd);
  }
}
