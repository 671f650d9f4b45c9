/**
 * The pump's own loop: epoll over the output pipes and pty masters of all processes, and over the attached clients that
 * do not take bytes just now. Output is read here, logged, and sent to whoever is attached; where one client only wants
 * the bytes they are spliced without being read.
 *
 * Back-pressure is not reading. A client that takes nothing holds its container back, as with dockerd (which buffers one
 * megabyte and then blocks the container's writes for as long as the client stands still); different from dockerd, where
 * there is a log a client that has taken nothing for `stallMs` is let go, so that it cannot stop the log for ever.
 *
 * A source leaves the epoll set while it is not read: a hung-up pipe reports itself for ever. Descriptors are closed at
 * the end of a turn, so that a number in a batch of events never means a new descriptor.
 */
import { call, transfer } from '#sys/call.ts';
import { Epoll } from '#sys/epoll.ts';
import { close, fstat, setNonBlocking } from '#sys/files.ts';
import { Arena } from '#sys/arena.ts';
import { EPOLL, IOCTL, NR, S_IF } from '#sys/numbers.ts';
import { messageOf } from '#errdefs/errors.ts';
import { frame, FRAME_HEADER_BYTES, putFrameHeader } from '#pkg/stdcopy/stdcopy.ts';
import { type LogFileTarget, type PackedFile, replaceByPacked } from '#logger/log-file.ts';
import { CHUNK_BYTES, TERMINAL_READ_BYTES } from './journal.ts';
import { ContainerLog, type LogServices, LogSink } from './log-sink.ts';
import { closeDescriptorsOf, type Output, type Source } from './output-state.ts';
import { CommandReader } from './command-reader.ts';
import type { AttachmentEnd, Command, PumpEvent } from './protocol.ts';
import { KeptBuffers, type Sent, Target } from './target.ts';

/** Reads of one source in a turn: few when others wait. */
const READS_ALONE = 8;
const READS_AMONG_OTHERS = 2;
const EVENTS_MAX = 64;
const TERMINAL_DRAIN_BYTES_MAX = 1 << 20;
const EAGAIN = -11;
/**
 * Outputs between two collections. The engine counts the mapped journal (170 MB of address space) as part of this thread's
 * heap, so by itself it would let as much garbage gather before it collects; and this loop is never idle in its eyes.
 */
const COLLECT_EVERY = 64;
/** And reads: the views of one are some hundred bytes, and there may be tens of thousands of them in a second. */
const COLLECT_EVERY_READS = 4096;

export class PumpLoop {
  readonly #epoll = new Epoll(EVENTS_MAX);
  readonly #services: LogServices;
  readonly #emit: (event: PumpEvent) => void;
  readonly #stallMs: number;
  readonly #commands: CommandReader;
  readonly #outputs = new Map<number, Output>();
  /** Ended outputs that still owe bytes to a client. */
  readonly #lingering = new Map<number, Output>();
  readonly #sources = new Map<number, Source>();
  readonly #waiting = new Map<number, { readonly output: Output; readonly target: Target }>();
  readonly #writable = new Map<number, number>();
  readonly #buffers = new KeptBuffers();
  readonly #scratch = new Arena(4096);
  #closing: number[] = [];
  #made = 0;
  #reads = 0;
  #running = true;
  #readsMax = READS_ALONE;

  constructor(options: {
    services: LogServices;
    commands: number;
    stallMs: number;
    emit: (event: PumpEvent) => void;
  }) {
    this.#services = options.services;
    this.#emit = options.emit;
    this.#stallMs = options.stallMs;
    this.#commands = new CommandReader(options.commands);
    this.#epoll.add(this.#commands.fd);
  }

  /** Returns when a `stop` command came. */
  run(): void {
    while (this.#running) {
      const ready = this.#epoll.wait(this.#waiting.size > 0 ? this.#stallCheckMs() : -1);
      this.#readsMax = ready.length > 1 ? READS_AMONG_OTHERS : READS_ALONE;
      for (const { fd, events } of ready) this.#dispatch(fd, events);
      this.#dropStalled();
      for (const fd of this.#closing) close(fd);
      this.#closing = [];
    }
    for (const output of this.#outputs.values()) this.#letGo(output);
    for (const fd of this.#closing) close(fd);
    close(this.#commands.fd);
    this.#epoll[Symbol.dispose]();
  }

  #dispatch(fd: number, events: number): void {
    if (fd === this.#commands.fd) {
      for (const command of this.#commands.read()) this.#obey(command);
      if (this.#commands.ended) this.#running = false;
      return;
    }
    const source = this.#sources.get(fd);
    if (source !== undefined) return this.#guard(source.output, () => this.#pump(source, events));
    const waiting = this.#waiting.get(fd);
    if (waiting !== undefined) return this.#guard(waiting.output, () => this.#flush(waiting.output, waiting.target));
    const token = this.#writable.get(fd);
    if (token !== undefined) {
      this.#writable.delete(fd);
      this.#drop(fd);
      this.#emit({ type: 'writable', token });
    }
  }

  /** One container's failure must not end the others' output. */
  #guard(output: Output, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#emit({ type: 'output-failed', output: output.id, error: messageOf(error) });
      this.#letGo(output);
    }
  }

  /** Takes a descriptor out of the set; it is closed when the turn is over. */
  #drop(fd: number): void {
    this.#epoll.remove(fd);
    this.#closing.push(fd);
  }

  // --- commands

  #obey(command: Command): void {
    switch (command.op) {
      case 'create':
        return this.#create(command);
      case 'writable':
        this.#writable.set(command.fd, command.token);
        this.#epoll.add(command.fd, EPOLL.OUT | EPOLL.ONESHOT);
        return;
      case 'forget-unclaimed':
        this.#services.journal.releaseUnclaimed();
        return;
      case 'packed':
        return this.#pack(command.file);
      case 'stop':
        this.#running = false;
        return;
      case 'start':
      case 'attach':
      case 'hold':
      case 'resume':
      case 'detach':
      case 'pause':
      case 'relog':
      case 'finish':
      case 'close': {
        // Clients of an ended output may still be on their way through what is kept for them; `close` leaves them to it.
        const late = command.op === 'detach' || command.op === 'resume';
        const output = this.#outputs.get(command.output) ?? (late ? this.#lingering.get(command.output) : undefined);
        // It ended while the command was on its way.
        if (output === undefined) return this.#refuse(command);
        this.#guard(output, () => this.#obeyFor(output, command));
      }
    }
  }

  #pack(file: PackedFile): void {
    try {
      replaceByPacked(file);
    } catch (error) {
      this.#logFailed(file.path, error);
    }
  }

  #refuse(command: Command): void {
    closeDescriptorsOf(command);
    if (command.op === 'hold' || command.op === 'attach') {
      this.#emit({ type: 'attached', attachment: command.attachment, position: undefined });
      this.#emit({ type: 'detached', attachment: command.attachment, end: 'ended' });
    }
  }

  #obeyFor(output: Output, command: Extract<Command, { output: number }>): void {
    switch (command.op) {
      case 'start':
        return this.#start(output, command.stdout, command.stderr);
      case 'attach':
      case 'hold': {
        const fd = command.op === 'attach' ? command.fd : -1;
        output.targets.set(command.attachment, new Target(command.attachment, command.select, fd, this.#buffers));
        const file = output.log?.file;
        const position = file === undefined ? undefined : { ino: String(file.ino), size: file.size };
        this.#emit({ type: 'attached', attachment: command.attachment, position });
        if (fd < 0) this.#watchAll(output);
        return;
      }
      case 'resume':
        return this.#resume(output, command.attachment, command.fd);
      case 'detach': {
        const target = output.targets.get(command.attachment);
        if (target !== undefined) this.#endTarget(output, target, 'detached');
        return;
      }
      case 'pause':
        output.paused = command.on;
        return this.#watchAll(output);
      case 'relog':
        return this.#relog(output, command.log);
      case 'finish':
        for (const source of output.sources) this.#drain(source);
        output.started = true;
        return this.#endIfDrained(output);
      case 'close':
        return this.#letGo(output);
      case 'create':
        return;
    }
  }

  #create(command: Extract<Command, { op: 'create' }>): void {
    const output: Output = {
      id: command.output,
      key: command.key,
      tty: command.tty,
      log: this.#openLog(command.log),
      paused: false,
      sources: new Set(),
      targets: new Map(),
      started: false,
    };
    this.#outputs.set(output.id, output);
    if (++this.#made % COLLECT_EVERY === 0) Bun.gc(true);
  }

  /** A log that cannot be opened does not keep the container from running. */
  #openLog(log: LogFileTarget | undefined): ContainerLog | undefined {
    if (log === undefined) return undefined;
    try {
      return new ContainerLog(log, this.#services);
    } catch (error) {
      this.#logFailed(log.path, error);
      return undefined;
    }
  }

  #logFailed(path: string, error: unknown): void {
    this.#services.logFailed({ path, error: messageOf(error), lines: 0, bytes: 0 });
  }

  /** The unfinished lines stay where they are, and are ended in the new log. */
  #relog(output: Output, log: LogFileTarget | undefined): void {
    output.log?.[Symbol.dispose]();
    output.log = this.#openLog(log);
    for (const source of output.sources) {
      if (log === undefined) this.#log(source, (sink) => sink.finish());
      source.sink = undefined;
      this.#openSink(source);
    }
  }

  #start(output: Output, stdout: number, stderr: number): void {
    output.started = true;
    for (const [fd, stream] of [
      [stdout, 1],
      [stderr, 2],
    ] as const) {
      if (fd < 0) continue;
      const pipe = (fstat(fd).mode & S_IF.MT) === S_IF.IFO;
      if (!pipe) setNonBlocking(fd);
      const source: Source = { fd, output, stream, pipe, sink: undefined, watched: false };
      this.#sources.set(fd, source);
      output.sources.add(source);
      this.#openSink(source);
    }
    this.#watchAll(output);
    this.#endIfDrained(output);
  }

  #openSink(source: Source): void {
    const { log, key } = source.output;
    if (log === undefined) return;
    const name = source.stream === 1 ? 'stdout' : 'stderr';
    try {
      source.sink = new LogSink(log, name, this.#services.journal.slot(`${key}.${name}`), this.#services);
    } catch (error) {
      this.#logFailed(log.file.target.path, error);
    }
  }

  // --- sources

  /** Puts each source in or out of the set by whether somebody holds it back. */
  #watchAll(output: Output): void {
    for (const source of output.sources) {
      const wanted = !this.#heldBack(source);
      if (wanted === source.watched) continue;
      if (wanted) this.#epoll.add(source.fd);
      else this.#epoll.remove(source.fd);
      source.watched = wanted;
    }
  }

  #heldBack(source: Source): boolean {
    if (source.output.paused) return true;
    for (const target of source.output.targets.values()) {
      if (target.held || (target.waiting && target.wants(source.stream))) return true;
      if (target.owedFrom === source.fd) return true;
    }
    return false;
  }

  #pump(source: Source, events: number): void {
    for (let reads = 0; reads < this.#readsMax; reads++) {
      if (this.#heldBack(source)) break;
      const length = source.pipe ? this.#available(source.fd) : TERMINAL_READ_BYTES;
      if (length === 0) {
        // The only end of a pipe is a hang-up without bytes: zero bytes alone are a pause.
        if ((events & EPOLL.HUP) !== 0) this.#endSource(source);
        break;
      }
      const moved = this.#move(source, Math.min(length, CHUNK_BYTES));
      if (moved === 'end') this.#endSource(source);
      if (moved !== 'more') break;
    }
    this.#watchAll(source.output);
  }

  #available(fd: number): number {
    const result = call(NR.ioctl, fd, IOCTL.FIONREAD, this.#scratch.base);
    return result < 0 ? 0 : this.#scratch.view.getInt32(0, true);
  }

  /** Reads or splices once. */
  #move(source: Source, length: number): 'more' | 'pause' | 'end' {
    const { output } = source;
    const targets = [...output.targets.values()].filter((target) => target.wants(source.stream));
    const only = targets.length === 1 ? targets[0] : undefined;
    if (only?.socket === true && source.sink === undefined && source.pipe && !output.tty) {
      this.#settle(output, only, only.splice(source.stream, source.fd, length));
      return 'more';
    }
    return this.#read(source, length, targets);
  }

  /** Reads a chunk into the log and to the clients. */
  #read(source: Source, length: number, targets: readonly Target[]): 'more' | 'pause' | 'end' {
    const { output } = source;
    const { journal } = this.#services;
    if (++this.#reads % COLLECT_EVERY_READS === 0) Bun.gc(true);
    const read = (bytes: number) => transfer(NR.read, source.fd, journal.chunk, bytes);
    const got =
      source.sink === undefined ? read(length) : this.#log(source, (sink) => sink.take(length, source.pipe, read));
    if (got === EAGAIN) return 'pause';
    // A terminal whose last slave has closed answers EIO.
    if (got <= 0) return 'end';
    if (!output.tty) putFrameHeader(journal.framed, 0, source.stream, got);
    const bytes = output.tty ? journal.chunk.subarray(0, got) : journal.framed.subarray(0, FRAME_HEADER_BYTES + got);
    for (const target of targets) this.#settle(output, target, target.send(bytes));
    return 'more';
  }

  /** A log whose journal fails (a full tmpfs) is given up; the container and its clients go on. EAGAIN then. */
  #log(source: Source, work: (sink: LogSink) => number): number {
    const { sink } = source;
    try {
      return sink === undefined ? EAGAIN : work(sink);
    } catch (error) {
      this.#logFailed(source.output.log?.file.target.path ?? '', error);
      source.sink = undefined;
      return EAGAIN;
    }
  }

  /**
   * The process has ended: takes what is in its pipe now (1 MiB at most) and ends the source. Clients that are behind hold
   * nothing back any more: what they have not taken is kept for them.
   */
  #drain(source: Source): void {
    const { output } = source;
    const targets = [...output.targets.values()].filter((target) => target.wants(source.stream));
    for (const target of targets) {
      target.keepOwed(source.fd);
      if (target.held) this.#giveRest(source, target);
    }
    let left = source.pipe ? this.#available(source.fd) : TERMINAL_DRAIN_BYTES_MAX;
    while (left > 0) {
      const length = Math.min(left, source.pipe ? CHUNK_BYTES : TERMINAL_READ_BYTES);
      if (this.#read(source, length, targets) !== 'more') break;
      left -= length;
    }
    this.#endSource(source);
  }

  #endSource(source: Source): void {
    if (!source.output.sources.delete(source)) return;
    this.#sources.delete(source.fd);
    if (source.watched) this.#epoll.remove(source.fd);
    source.watched = false;
    this.#closing.push(source.fd);
    this.#log(source, (sink) => sink.finish());
    this.#endIfDrained(source.output);
  }

  #endIfDrained(output: Output): void {
    if (!output.started || output.sources.size > 0) return;
    if (this.#outputs.delete(output.id)) {
      output.log?.[Symbol.dispose]();
      this.#emit({ type: 'drained', output: output.id });
    }
    for (const target of [...output.targets.values()]) {
      if (target.waiting || target.held) target.ending = 'ended';
      else this.#endTarget(output, target, 'ended');
    }
    if (output.targets.size > 0) this.#lingering.set(output.id, output);
  }

  #letGo(output: Output): void {
    for (const source of output.sources) {
      this.#sources.delete(source.fd);
      if (source.watched) this.#epoll.remove(source.fd);
      this.#closing.push(source.fd);
    }
    output.sources.clear();
    this.#outputs.delete(output.id);
    output.log?.[Symbol.dispose]();
    for (const target of [...output.targets.values()]) this.#endTarget(output, target, 'detached');
    this.#emit({ type: 'closed', output: output.id });
  }

  // --- targets

  /** After a send: waits for room, or lets a broken client go. */
  #settle(output: Output, target: Target, sent: Sent): void {
    if (sent === 'gone') return this.#endTarget(output, target, 'gone');
    if (sent === 'done' || target.waiting || target.held) return;
    target.waiting = true;
    target.stalledSince = performance.now();
    this.#waiting.set(target.fd, { output, target });
    this.#epoll.add(target.fd, EPOLL.OUT);
  }

  #flush(output: Output, target: Target): void {
    const sent = target.flush();
    if (sent === 'gone') return this.#endTarget(output, target, 'gone');
    if (sent === 'blocked') {
      // It took something; from now on it takes nothing.
      if (target.stalledSince === 0) target.stalledSince = performance.now();
      return;
    }
    target.waiting = false;
    target.stalledSince = 0;
    this.#waiting.delete(target.fd);
    this.#epoll.remove(target.fd);
    if (target.ending !== undefined) return this.#endTarget(output, target, target.ending);
    this.#watchAll(output);
  }

  #resume(output: Output, attachment: number, fd: number): void {
    const target = output.targets.get(attachment);
    if (target === undefined) return close(fd);
    target.open(fd);
    for (const source of output.sources) if (target.wants(source.stream)) this.#giveRest(source, target);
    if (target.behind) this.#settle(output, target, 'blocked');
    if (target.ending !== undefined && !target.waiting) this.#endTarget(output, target, target.ending);
    this.#watchAll(output);
  }

  /** The unfinished line is in no log yet: a client that was given the log gets it before what comes next. */
  #giveRest(source: Source, target: Target): void {
    const rest = source.sink?.rest;
    if (rest === undefined || rest.length === 0) return;
    this.#settle(source.output, target, target.send(source.output.tty ? rest : frame(source.stream, rest)));
  }

  #endTarget(output: Output, target: Target, end: AttachmentEnd): void {
    if (!output.targets.delete(target.attachment)) return;
    if (target.waiting) {
      this.#waiting.delete(target.fd);
      this.#epoll.remove(target.fd);
    }
    // Closed at once: the client sees its end only when no duplicate of the socket is left. No event of this turn names
    // it any more, since a waiting one has just left the map.
    target.close();
    if (output.targets.size === 0) this.#lingering.delete(output.id);
    this.#emit({ type: 'detached', attachment: target.attachment, end });
    this.#watchAll(output);
  }

  #stallCheckMs(): number {
    return Math.max(1, Math.ceil(this.#stallMs / 4));
  }

  #dropStalled(): void {
    if (this.#waiting.size === 0) return;
    const limit = performance.now() - this.#stallMs;
    for (const { output, target } of [...this.#waiting.values()]) {
      if (output.log === undefined || !this.#outputs.has(output.id)) continue;
      if (target.stalledSince !== 0 && target.stalledSince < limit) this.#endTarget(output, target, 'stalled');
    }
  }
}
