/**
 * berthd's end of the protocol. Frames come in on Bun's event loop; they go out by one sendmsg with their descriptors.
 * The outcome pipe, the gates and the stdio pipes are made here and only sent along, so that the death of this process
 * closes every gate that was not opened, without any help of the monitor.
 */
import { ok } from 'node:assert/strict';
import { unavailable } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { errnoNumber, isErrno, SysError } from '#sys/errno.ts';
import { close, pipe2 } from '#sys/files.ts';
import { pidfdGetfd, pidfdOpen } from '#sys/processes.ts';
import { Program } from '#sys/program.ts';
import { recvmsg, sendWhole, setSocketTimeout, unixConnect } from '#sys/sockets.ts';
import { listMemfd } from '#sys/zygote/zygote.ts';
import { type LaunchOptions, type Outcome, readOutcome } from '#sys/zygote/launch.ts';
import {
  type DaemonMessage,
  decodeMonitorMessage,
  encodeFrame,
  type ExitRecord,
  FrameReader,
  type ListedProcess,
  type MonitorMessage,
  PROTOCOL_VERSION,
} from './protocol.ts';

const ESTALE = errnoNumber('ESTALE');
const TAKE_LIMIT_MS = 2000;
/** Of starts in one message: it holds 253 descriptors, and each start has some eight. */
const BATCH_MAX = 16;

export interface MonitorEvents {
  /** `reports`: what the outcome pipe held, of a start from a ready list that passes. */
  readonly onExit: (exit: ExitRecord, reports?: Uint8Array) => void;
  /** The monitor has gone (it died, or ended since nothing ran). Told once. */
  readonly onClosed: () => void;
}

export interface MonitorStart extends LaunchOptions {
  readonly id: string;
  readonly program: Program;
  /** CLONE_NEW* */
  readonly cloneFlags: number | bigint;
  /** The monitor keeps duplicates of these by name. They stay the caller's. */
  readonly held: Readonly<Record<string, number>>;
  /** The program clones again: `adopt` must follow when its report 'second' comes. */
  readonly second: boolean;
}

export interface MonitorStarted {
  readonly pid: number;
  /** Settles when the child has executed, failed or left. Never rejects. */
  readonly outcome: Promise<Outcome>;
}

/** A list that is launched more than once: the same bytes each time, with other descriptors. */
export interface ReadyList {
  readonly memfd: number;
  readonly lengthBytes: number;
  /** Of the arena that it was made for. */
  readonly base: number;
  readonly firstSourceAt: number;
  readonly cgroup: number | undefined;
  readonly second: boolean;
  /**
   * Read end of the outcome pipe, not blocking, where the monitor `passes`: it adopts, tells the reports with the exit
   * and keeps nothing that had to be forgotten.
   */
  readonly reports?: number;
}

interface Waiting {
  readonly resolve: (pid: number) => void;
  readonly reject: (error: unknown) => void;
}

type Socket = Awaited<ReturnType<typeof Bun.connect>>;

export class MonitorClient {
  readonly #path: string;
  readonly #events: MonitorEvents;
  readonly #waiting = new Map<number, Waiting>();
  readonly #reader = new FrameReader();
  readonly #hello = Promise.withResolvers<void>();
  #socket: Socket | undefined;
  #fd = -1;
  #arena = { base: 0, bytes: 0 };
  #pid = 0;
  #pidfd = -1;
  #processes: readonly ListedProcess[] = [];
  #nextKey = 1;
  #takesByMessage = false;
  #passes = false;
  /** Starts from ready lists that were asked for in this turn: they go together. */
  #batch: { frames: Uint8Array[]; descriptors: number[]; keys: number[] } = { frames: [], descriptors: [], keys: [] };
  #closed = false;

  private constructor(path: string, events: MonitorEvents) {
    this.#path = path;
    this.#events = events;
  }

  /** Undefined when no monitor listens at `path`. */
  static async connect(path: string, events: MonitorEvents): Promise<MonitorClient | undefined> {
    const client = new MonitorClient(path, events);
    try {
      client.#socket = await Bun.connect({
        unix: path,
        socket: {
          data: (_, bytes) => client.#receive(bytes),
          close: () => client.#lost(),
          error: (_, error) => log.warn('the connection to the monitor failed', { err: error }),
        },
      });
    } catch (error) {
      log.debug('no monitor listens', { path, err: error });
      return undefined;
    }
    client.#fd = descriptorOf(client.#socket);
    // When `attach` itself fails nobody waits for the hello any more, and its rejection is nobody's.
    client.#hello.promise.catch(() => undefined);
    try {
      client.#send({ t: 'attach' });
      await client.#hello.promise;
    } catch (error) {
      // It was just ending: as good as none.
      log.debug('the monitor left at once', { path, err: error });
      return undefined;
    }
    client.#pidfd = pidfdOpen(client.#pid);
    return client;
  }

  get pid(): number {
    return this.#pid;
  }

  /** Whether it takes ready lists with `reports`; an older one does not. */
  get passes(): boolean {
    return this.#passes;
  }

  /** What it knew when we connected. */
  get processes(): readonly ListedProcess[] {
    return this.#processes;
  }

  /** Starts one child. Errors: SysError of clone3; unavailable when the monitor or its zygote died. */
  async start(request: MonitorStart): Promise<MonitorStarted> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#startOnce(request);
      } catch (error) {
        // The zygote is another by now, and with it the address of the arena.
        if (!(error instanceof SysError && error.errno === ESTALE) || attempt === 3) throw error;
      }
    }
  }

  async #startOnce(request: MonitorStart): Promise<MonitorStarted> {
    const { id, program, cloneFlags, held, second } = request;
    const { base, bytes } = this.#arena;
    const list = program.serialize(base, bytes, cloneFlags);
    const outcome = pipe2();
    const key = this.#nextKey++;
    let memfd = -1;
    try {
      const names = Object.keys(held);
      const born = new Promise<number>((resolve, reject) => this.#waiting.set(key, { resolve, reject }));
      try {
        memfd = listMemfd(list.bytes);
        const sources = [...list.descriptors];
        this.#send(
          {
            t: 'start',
            key,
            id,
            base,
            length: list.bytes.length,
            firstSourceAt: list.firstSourceAt,
            sources: sources.length,
            held: names,
            second,
            ...(list.cgroup === undefined ? {} : { cgroup: list.cgroup }),
          },
          [memfd, outcome.write, ...sources, ...Object.values(held)],
        );
      } finally {
        if (memfd >= 0) close(memfd);
        close(outcome.write);
      }
      const pid = await born;
      program.sent();
      return { pid, outcome: readOutcome(outcome.read, program, Program.firstStepAddress(list, base), request) };
    } catch (error) {
      this.#waiting.delete(key);
      close(outcome.read);
      throw error;
    }
  }

  /** Of the zygote that runs now. */
  get arena(): { readonly base: number; readonly bytes: number } {
    return this.#arena;
  }

  /**
   * Starts one child from a ready list; nothing of it is held. `descriptors`: the write end of the outcome pipe, then
   * the list's sources. They stay the caller's. Errors: as `start`, and ESTALE when the list is for another arena.
   */
  async startReady(id: string, list: ReadyList, descriptors: readonly number[]): Promise<number> {
    const key = this.#nextKey++;
    const born = new Promise<number>((resolve, reject) => this.#waiting.set(key, { resolve, reject }));
    try {
      const { memfd, lengthBytes: length, base, firstSourceAt, cgroup, second, reports } = list;
      const sources = descriptors.length - 1;
      const frame = encodeFrame({
        ...{ t: 'start', key, id, base, length, firstSourceAt, sources, held: [], second },
        ...(cgroup === undefined ? {} : { cgroup }),
        ...(reports === undefined ? {} : { passing: true }),
      });
      this.#later(key, frame, reports === undefined ? [memfd, ...descriptors] : [memfd, ...descriptors, reports]);
      return await born;
    } finally {
      this.#waiting.delete(key);
    }
  }

  #later(key: number, frame: Uint8Array, descriptors: readonly number[]): void {
    if (this.#batch.keys.length >= BATCH_MAX) this.flush();
    if (this.#batch.keys.length === 0) queueMicrotask(() => this.flush());
    this.#batch.keys.push(key);
    this.#batch.frames.push(frame);
    this.#batch.descriptors.push(...descriptors);
  }

  /** Sends the starts from ready lists that wait for the end of this turn: their descriptors may be closed afterwards. */
  flush(): void {
    const { frames, descriptors, keys } = this.#batch;
    if (keys.length === 0) return;
    this.#batch = { frames: [], descriptors: [], keys: [] };
    try {
      if (this.#closed) throw unavailable('The monitor is gone');
      sendWhole(this.#fd, Buffer.concat(frames), descriptors);
    } catch (error) {
      for (const key of keys) this.#settle(key)?.reject(error);
    }
  }

  /** `pid` of the second clone is the process of `id`. Must be sent before the gate of that child is opened. */
  adopt(id: string, pid: number): void {
    this.#send({ t: 'adopt', id, pid });
  }

  /** The monitor closes its duplicate `name` of `id`. */
  drop(id: string, name: string): void {
    this.#send({ t: 'drop', id, name });
  }

  /** Exit record and descriptors of an ended process go. */
  forget(id: string): void {
    this.#send({ t: 'forget', id });
  }

  /** A duplicate of a held descriptor; the caller's. Errors: not-found when it is not held. */
  take(id: string, name: string, number: number): number {
    if (!this.#takesByMessage) {
      try {
        return pidfdGetfd(this.#pidfd, number);
      } catch (error) {
        if (!isErrno(error, 'EPERM', 'ENOSYS')) throw error;
        log.info('pidfd_getfd is refused, descriptors travel by messages');
        this.#takesByMessage = true;
      }
    }
    return takeByMessage(this.#path, id, name);
  }

  /** Lets go; processes and monitor stay. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket?.end();
    if (this.#pidfd >= 0) close(this.#pidfd);
  }

  #send(message: DaemonMessage, descriptors: readonly number[] = []): void {
    if (this.#closed) throw unavailable('The monitor is gone');
    this.flush();
    sendWhole(this.#fd, encodeFrame(message), descriptors);
  }

  #receive(bytes: Uint8Array): void {
    try {
      for (const value of this.#reader.push(bytes)) {
        const message = decodeMonitorMessage(value);
        if (message !== undefined) this.#handle(message);
      }
    } catch (error) {
      log.error('the monitor speaks nonsense', { err: error });
      this.#socket?.terminate();
    }
  }

  #handle(message: MonitorMessage): void {
    switch (message.t) {
      case 'hello':
        ok(message.version >= PROTOCOL_VERSION, 'the monitor is older than this daemon understands');
        this.#arena = { base: message.base, bytes: message.arenaBytes };
        this.#pid = message.pid;
        this.#passes = message.passing === true;
        this.#processes = message.processes;
        return this.#hello.resolve();
      case 'arena':
        this.#arena = { base: message.base, bytes: message.arenaBytes };
        return;
      case 'started':
        return this.#settle(message.key)?.resolve(message.pid);
      case 'refused':
        return this.#settle(message.key)?.reject(new SysError(message.what, message.errno, [message.id]));
      case 'exit':
        if (message.reports === undefined) return this.#events.onExit(message.exit);
        return this.#events.onExit(message.exit, Buffer.from(message.reports, 'base64'));
      case 'unknown':
        return log.warn('the monitor does not know a message', { message: message.message });
      case 'taken':
        return;
    }
  }

  #settle(key: number): Waiting | undefined {
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    return waiting;
  }

  #lost(): void {
    // Before its hello it was no monitor of ours: connect() says so.
    const wanted = this.#closed || this.#pid === 0;
    this.close();
    this.#hello.reject(unavailable('The monitor is gone'));
    for (const waiting of this.#waiting.values()) waiting.reject(unavailable('The monitor died'));
    this.#waiting.clear();
    if (!wanted) this.#events.onClosed();
  }
}

/** Bun types `fd` of TCP and unix sockets alike as number, at run time as well (tested in test/runtime). */
function descriptorOf(socket: Socket): number {
  const { fd } = socket as Socket & { readonly fd: number };
  ok(Number.isSafeInteger(fd) && fd >= 0, 'a connected socket has a descriptor');
  return fd;
}

/** Asks on a connection of its own, where SCM_RIGHTS is not lost to the runtime's reads. */
function takeByMessage(path: string, id: string, name: string): number {
  const fd = unixConnect(path);
  try {
    setSocketTimeout(fd, TAKE_LIMIT_MS);
    sendWhole(fd, encodeFrame({ t: 'take', id, name }));
    const received = recvmsg(fd, 4096);
    const [descriptor] = received?.descriptors ?? [];
    if (descriptor === undefined) throw new SysError('take', errnoNumber('EBADF'), [id, name]);
    return descriptor;
  } finally {
    close(fd);
  }
}
