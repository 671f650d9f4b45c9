/**
 * The monitor's loop: parent of every container's first process and of everything exec'd. It blocks in epoll_wait on its
 * main thread and runs no promise and no timer, so an idle monitor makes no system call. It holds descriptors by name and
 * never reads them; it knows no spec, no image, no secret.
 *
 * Invariants: nobody else in this process waits for children; a child that no table knows is reaped only while no start
 * is unanswered; an exit is in the record file before any daemon hears of it.
 */
import { log } from '#pkg/log/log.ts';
import { Epoll } from '#sys/epoll.ts';
import { errnoNumber } from '#sys/errno.ts';
import { close, tryRead } from '#sys/files.ts';
import { EPOLL, SIG, W } from '#sys/numbers.ts';
import { dropText } from '#sys/own-text.ts';
import { type Ended, pidfdOpen, waitid } from '#sys/processes.ts';
import { accept, peerCredentials } from '#sys/sockets.ts';
import { ARENA_BYTES } from '#sys/zygote/zygote.ts';
import { Connection } from './connection.ts';
import type { ExitRecords } from './exit-records.ts';
import { type Launch, Launches, type StartMessage } from './launches.ts';
import {
  type DaemonMessage,
  decodeDaemonMessage,
  type ExitRecord,
  type ListedProcess,
  type MonitorMessage,
  PROTOCOL_VERSION,
} from './protocol.ts';

const SIGNALFD_SIGINFO_BYTES = 128;
/** The first word of a report is the second clone's pid, or 0 or -errno of a step. */
const REPORT_BYTES = 16;
const FAILURES_MAX = 20;
/** After so long without an event, what the last ones have left is given back, once. */
const REST_MS = 3_000;
const ESTALE = errnoNumber('ESTALE');
const EEXIST = errnoNumber('EEXIST');

function rest(): void {
  Bun.gc(true);
  dropText();
}

interface Held {
  readonly id: string;
  readonly held: Map<string, number>;
  pid: number;
  /** Undefined once it has ended. */
  pidfd: number | undefined;
  /** The second clone is not adopted yet; this daemon will. */
  awaitsAdoptionBy: Connection | undefined;
  ended: boolean;
  readonly passing: Passing | undefined;
}

/** Of a process that nothing is kept of. */
interface Passing {
  /** Read end of its outcome pipe; ours. */
  readonly pipe: number;
  reports: Buffer;
  /** Whom the pid of the process that counts is still to be told. */
  unanswered: { readonly to: Connection; readonly key: number } | undefined;
}

export interface MonitorOptions {
  /** Listening unix socket, non-blocking. */
  readonly listener: number;
  /** signalfd of SIGCHLD and SIGTERM, both blocked in every thread. */
  readonly signals: number;
  readonly records: ExitRecords;
  /** How long it waits for a daemon while nothing runs. */
  readonly lonelyMs: number;
  readonly now: () => number;
}

export class Monitor {
  readonly #options: MonitorOptions;
  readonly #epoll = new Epoll();
  readonly #connections = new Map<number, Connection>();
  readonly #processes = new Map<string, Held>();
  readonly #byPidfd = new Map<number, Held>();
  /** First children of execs whose second clone was adopted. */
  readonly #middles = new Set<number>();
  readonly #failures = new Map<number, number>();
  readonly #signalBytes = new Uint8Array(SIGNALFD_SIGINFO_BYTES * 8);
  readonly #reportBytes = new Uint8Array(REPORT_BYTES * 64);
  readonly #launches: Launches;
  #sweepWanted = false;
  #ending = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
    for (const fd of [options.listener, options.signals]) this.#epoll.add(fd);
    this.#launches = new Launches(this.#epoll, {
      onBorn: (launch, pid, pidfd) => this.#born(launch, pid, pidfd),
      onRefused: (launch, errno, what) => this.#refuse(launch, errno, what),
    });
  }

  get hasOwnExecutable(): boolean {
    return this.#launches.zygote.hasOwnExecutable;
  }

  /** Returns when nothing runs and no daemon has come for `lonelyMs`. */
  run(): void {
    let restless = true;
    while (!this.#ending) {
      const lonely = this.#isLonely();
      const ready = this.#epoll.wait(lonely ? this.#options.lonelyMs : restless ? REST_MS : -1);
      if (lonely && ready.length === 0) break;
      if (ready.length === 0) rest();
      restless = ready.length > 0;
      for (const { fd, events } of ready) this.#guarded(fd, () => this.#serve(fd, events));
      if (this.#sweepWanted) this.#guarded(-1, () => this.#sweep());
      for (const connection of this.#connections.values()) {
        this.#guarded(connection.fd, () => connection.sendLate());
      }
    }
    this.#launches[Symbol.dispose]();
    this.#epoll[Symbol.dispose]();
  }

  /**
   * Every container hangs on this loop: a failure of ours costs what it was about, not them. A descriptor that keeps
   * failing is no longer watched, or the loop would spin.
   */
  #guarded(fd: number, work: () => void): void {
    try {
      work();
    } catch (error) {
      const failures = (this.#failures.get(fd) ?? 0) + 1;
      this.#failures.set(fd, failures);
      log.error('the monitor goes on after a failure', { fd, failures, err: error });
      const connection = this.#connections.get(fd);
      if (connection !== undefined) this.#disconnect(connection);
      else if (failures >= FAILURES_MAX && fd >= 0) this.#epoll.remove(fd);
    }
  }

  #isLonely(): boolean {
    if (this.#connections.size > 0 || this.#launches.unanswered > 0) return false;
    for (const process of this.#processes.values()) if (!process.ended) return false;
    return true;
  }

  #serve(fd: number, events: number): void {
    if (fd === this.#options.listener) return this.#accept();
    if (fd === this.#options.signals) return this.#signalled();
    const { zygote } = this.#launches;
    if (this.#launches.serves(fd)) {
      if (this.#launches.zygote !== zygote) this.#zygoteReplaced();
      return;
    }
    if (this.#middles.has(fd)) return this.#middleEnded(fd);
    const process = this.#byPidfd.get(fd);
    if (process !== undefined) return this.#processEnded(process);
    const connection = this.#connections.get(fd);
    if (connection === undefined) return; // closed earlier in this turn
    if ((events & EPOLL.OUT) !== 0) connection.flush();
    if ((events & ~EPOLL.OUT) !== 0) this.#receive(connection);
  }

  #accept(): void {
    const fd = accept(this.#options.listener, true);
    if (fd === undefined) return;
    // Whoever may connect can start anything as root: root alone may.
    if (peerCredentials(fd).uid !== 0) return close(fd);
    this.#connections.set(fd, new Connection(fd, this.#epoll));
  }

  #receive(connection: Connection): void {
    const messages = connection.receive();
    if (messages === undefined) return this.#disconnect(connection);
    for (const value of messages) {
      const message = decodeDaemonMessage(value);
      if (message === undefined) connection.send({ t: 'unknown', message: JSON.stringify(value).slice(0, 200) });
      else this.#handle(connection, message);
    }
  }

  #disconnect(connection: Connection): void {
    if (!this.#connections.delete(connection.fd)) return;
    connection.close();
    for (const process of this.#processes.values()) {
      // Its second child stands at a gate of that daemon and ends by itself, as an orphan.
      if (process.awaitsAdoptionBy === connection) this.#settleAdoption(process);
    }
  }

  #handle(connection: Connection, message: DaemonMessage): void {
    switch (message.t) {
      case 'attach':
        connection.isDaemon = true;
        return connection.send(this.#hello());
      case 'start':
        return this.#start(connection, message);
      case 'adopt':
        return this.#adopt(message.id, message.pid);
      case 'drop':
        return this.#drop(message.id, message.name);
      case 'forget':
        return this.#forget(message.id);
      case 'take': {
        const fd = this.#processes.get(message.id)?.held.get(message.name);
        return connection.send({ t: 'taken', found: fd !== undefined }, fd === undefined ? [] : [fd]);
      }
    }
  }

  #hello(): MonitorMessage {
    const exits = new Map(this.#options.records.all().map((r) => [r.id, r]));
    const processes: ListedProcess[] = [];
    for (const { id, pid, held } of this.#processes.values()) {
      const exit = exits.get(id);
      exits.delete(id);
      processes.push({ id, pid, held: Object.fromEntries(held), ...(exit === undefined ? {} : { exit }) });
    }
    // Of an earlier monitor: nothing is held of these.
    for (const exit of exits.values()) processes.push({ id: exit.id, pid: exit.pid, held: {}, exit });
    const { base, hasOwnExecutable } = this.#launches.zygote;
    return {
      t: 'hello',
      version: PROTOCOL_VERSION,
      pid: process.pid,
      base,
      arenaBytes: ARENA_BYTES,
      ownExecutable: hasOwnExecutable,
      passing: true,
      processes,
    };
  }

  #start(from: Connection, message: StartMessage): void {
    const reports = message.passing === true ? 1 : 0;
    const descriptors = from.takeDescriptors(2 + message.sources + message.held.length + reports);
    const known = this.#processes.get(message.id);
    const stale = message.base !== this.#launches.zygote.base;
    if (!stale && (known === undefined || known.ended)) return this.#launches.start(from, message, descriptors);
    for (const fd of descriptors) close(fd);
    from.send({ t: 'refused', key: message.key, id: message.id, errno: stale ? ESTALE : EEXIST, what: 'start' });
  }

  #refuse({ from, message, held }: Launch, errno: number, what: string): void {
    for (const fd of held) close(fd);
    if (this.#connections.has(from.fd)) from.send({ t: 'refused', key: message.key, id: message.id, errno, what });
  }

  #born({ from, message, held }: Launch, pid: number, pidfd: number): void {
    const { id, key, second } = message;
    const pipe = message.passing === true ? held[message.held.length] : undefined;
    const connected = this.#connections.get(from.fd) === from;
    this.#forget(id);
    const named = new Map(message.held.map((name, i) => [name, held[i] ?? -1]));
    const process: Held = {
      id,
      held: named,
      pid,
      pidfd,
      ended: false,
      awaitsAdoptionBy: second && connected ? from : undefined,
      passing: pipe === undefined ? undefined : { pipe, reports: Buffer.alloc(0), unanswered: { to: from, key } },
    };
    this.#processes.set(id, process);
    this.#byPidfd.set(pidfd, process);
    this.#epoll.add(pidfd);
    if (process.passing !== undefined) {
      if (!second) this.#answer(process);
    } else if (connected) from.send({ t: 'started', key, id, pid });
  }

  /** Tells the pid of a passing process, once. */
  #answer({ id, pid, passing }: Held): void {
    const waiting = passing?.unanswered;
    if (passing === undefined || waiting === undefined) return;
    passing.unanswered = undefined;
    if (this.#connections.get(waiting.to.fd) === waiting.to) {
      waiting.to.late({ t: 'started', key: waiting.key, id, pid });
    }
  }

  /** What is in the pipe now: whoever wrote it has ended. */
  #readReports(passing: Passing): void {
    const length = tryRead(passing.pipe, this.#reportBytes) ?? 0;
    if (length > 0) passing.reports = Buffer.concat([passing.reports, this.#reportBytes.subarray(0, length)]);
  }

  /** The first child of a passing start has left: its report says which process counts. False when there is none. */
  #adoptPassing({ id, passing }: Held): boolean {
    if (passing === undefined) return false;
    this.#readReports(passing);
    for (let at = 0; at + REPORT_BYTES <= passing.reports.length; at += REPORT_BYTES) {
      const pid = Number(passing.reports.readBigInt64LE(at));
      if (pid <= 0) continue;
      this.#adopt(id, pid);
      return true;
    }
    return false;
  }

  #adopt(id: string, pid: number): void {
    const process = this.#processes.get(id);
    if (process?.awaitsAdoptionBy === undefined) return;
    process.awaitsAdoptionBy = undefined;
    if (process.pidfd !== undefined) {
      this.#byPidfd.delete(process.pidfd);
      this.#middles.add(process.pidfd);
    }
    // It is our unreaped child, so its pid cannot be another's.
    const pidfd = pidfdOpen(pid);
    process.pid = pid;
    process.pidfd = pidfd;
    this.#byPidfd.set(pidfd, process);
    this.#epoll.add(pidfd);
    this.#sweepWanted = true;
    this.#answer(process);
  }

  #middleEnded(pidfd: number): void {
    waitid(W.P_PIDFD, pidfd);
    this.#middles.delete(pidfd);
    this.#epoll.remove(pidfd);
    close(pidfd);
  }

  #processEnded(process: Held): void {
    if (process.pidfd === undefined) return;
    const ended = waitid(W.P_PIDFD, process.pidfd);
    if (ended === undefined) return;
    this.#byPidfd.delete(process.pidfd);
    this.#epoll.remove(process.pidfd);
    close(process.pidfd);
    process.pidfd = undefined;
    // The first child of an exec has told its second's pid and left: the second's end is the exec's.
    if (process.awaitsAdoptionBy !== undefined && ended.code === 0 && ended.signal === 0) {
      if (process.passing === undefined || this.#adoptPassing(process)) return;
    }
    if (process.awaitsAdoptionBy !== undefined) this.#sweepWanted = true;
    process.awaitsAdoptionBy = undefined;
    this.#recordExit(process, ended);
  }

  #recordExit(process: Held, ended: Ended): void {
    process.ended = true;
    const { id } = process;
    const exit = { id, pid: process.pid, code: ended.code, signal: ended.signal, time: this.#options.now() };
    if (process.passing !== undefined) return this.#passed(process, process.passing, exit);
    try {
      this.#options.records.append(exit);
    } catch (error) {
      // A full exec root: a daemon that is connected still hears of it.
      log.error('an exit cannot be recorded', { process: id, err: error });
    }
    this.#tellDaemons({ t: 'exit', exit });
  }

  #passed(process: Held, passing: Passing, exit: ExitRecord): void {
    this.#answer(process);
    this.#readReports(passing);
    this.#forget(process.id);
    const reports = passing.reports.toString('base64');
    for (const connection of this.#connections.values()) {
      if (connection.isDaemon) connection.late({ t: 'exit', exit, reports });
    }
  }

  #tellDaemons(message: MonitorMessage): void {
    for (const connection of this.#connections.values()) {
      if (!connection.isDaemon) continue;
      try {
        connection.send(message);
      } catch (error) {
        log.warn('a daemon cannot be told', { err: error });
        this.#disconnect(connection);
      }
    }
  }

  #settleAdoption(process: Held): void {
    process.awaitsAdoptionBy = undefined;
    this.#sweepWanted = true;
    if (process.pidfd === undefined) this.#forget(process.id);
  }

  #drop(id: string, name: string): void {
    const held = this.#processes.get(id)?.held;
    const fd = held?.get(name);
    if (fd === undefined) return;
    held?.delete(name);
    close(fd);
  }

  /** A process that still runs is not forgotten. */
  #forget(id: string): void {
    this.#options.records.forget(id);
    const process = this.#processes.get(id);
    if (process === undefined || process.pidfd !== undefined) return;
    for (const fd of process.held.values()) close(fd);
    if (process.passing !== undefined) close(process.passing.pipe);
    this.#processes.delete(id);
  }

  #signalled(): void {
    const length = tryRead(this.#options.signals, this.#signalBytes) ?? 0;
    const view = new DataView(this.#signalBytes.buffer);
    for (let at = 0; at < length; at += SIGNALFD_SIGINFO_BYTES) {
      if (view.getUint32(at, true) !== SIG.TERM) this.#sweepWanted = true;
      // The containers hang on this process: as long as one runs, it stays.
      else if (this.#runs() === 0) this.#ending = true;
      else log.warn('SIGTERM while processes run is ignored', { processes: this.#runs() });
    }
  }

  #runs(): number {
    return [...this.#processes.values()].filter((p) => !p.ended).length;
  }

  /**
   * Reaps what no table knows: orphans that came to us as the subreaper. While a start is unanswered, or a second clone
   * not adopted, an unknown child may be one of ours.
   */
  #sweep(): void {
    if (this.#launches.unanswered > 0) return;
    for (const process of this.#processes.values()) if (process.awaitsAdoptionBy !== undefined) return;
    this.#sweepWanted = false;
    let known: Map<number, Held> | undefined;
    for (;;) {
      const ended = waitid(W.P_ALL, 0, W.NOHANG | W.NOWAIT);
      if (ended === undefined) return;
      // Most often nobody is left: then it is not worth making.
      known ??= new Map([...this.#byPidfd.values()].map((p) => [p.pid, p]));
      const process = known.get(ended.pid);
      if (process !== undefined) {
        this.#processEnded(process);
        continue;
      }
      if (ended.pid === this.#launches.zygote.pid) {
        this.#launches.replaceZygote();
        this.#zygoteReplaced();
        continue;
      }
      waitid(W.P_PID, ended.pid);
    }
  }

  #zygoteReplaced(): void {
    this.#tellDaemons({ t: 'arena', base: this.#launches.zygote.base, arenaBytes: ARENA_BYTES });
    this.#sweepWanted = true;
  }
}
