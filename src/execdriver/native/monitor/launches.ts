/**
 * The zygote of the monitor and the starts that it has not answered yet. A list is put into the zygote's hands with the
 * received descriptors written into its first steps; nothing else of it is looked at.
 */
import { ok } from 'node:assert/strict';
import { log } from '#pkg/log/log.ts';
import type { Epoll } from '#sys/epoll.ts';
import { errnoNumber, isErrno } from '#sys/errno.ts';
import { close, pread, pwrite } from '#sys/files.ts';
import { STEP_BYTES } from '#sys/program.ts';
import { Zygote } from '#sys/zygote/zygote.ts';
import type { Connection } from './connection.ts';
import type { DaemonMessage } from './protocol.ts';

const AT_CGROUP = 80;
const EINVAL = errnoNumber('EINVAL');
const ESTALE = errnoNumber('ESTALE');
const EOWNERDEAD = errnoNumber('EOWNERDEAD');

export type StartMessage = Extract<DaemonMessage, { t: 'start' }>;

export interface Launch {
  readonly from: Connection;
  readonly message: StartMessage;
  /** What the process keeps; whoever is told of the birth or the refusal owns these. */
  readonly held: readonly number[];
}

interface Unanswered extends Launch {
  /** Ours until the answer: the outcome pipe and the sources. */
  readonly sources: readonly number[];
}

export interface LaunchEvents {
  readonly onBorn: (launch: Launch, pid: number, pidfd: number) => void;
  readonly onRefused: (launch: Launch, errno: number, what: string) => void;
}

export class Launches implements Disposable {
  readonly #epoll: Epoll;
  readonly #events: LaunchEvents;
  /** By the number of the list's memfd. */
  readonly #unanswered = new Map<number, Unanswered>();
  #queued: [memfd: number, length: number][] = [];
  #zygote = new Zygote();

  constructor(epoll: Epoll, events: LaunchEvents) {
    this.#epoll = epoll;
    this.#events = events;
    this.#watch();
  }

  get zygote(): Zygote {
    return this.#zygote;
  }

  get unanswered(): number {
    return this.#unanswered.size;
  }

  /** `descriptors`: the list, the outcome pipe, the sources, what is held. All are ours now. */
  start(from: Connection, message: StartMessage, descriptors: readonly number[]): void {
    const [memfd = -1, ...rest] = descriptors;
    const sources = rest.slice(0, 1 + message.sources);
    const held = rest.slice(1 + message.sources);
    const launch = { from, message, held, sources };
    try {
      writeSources(memfd, message, sources);
      this.#unanswered.set(memfd, launch);
      this.#request(memfd, message.length);
    } catch (error) {
      if (!isErrno(error)) log.error('a start is not as it should be', { process: message.id, err: error });
      this.#unanswered.delete(memfd);
      for (const fd of [memfd, ...sources]) close(fd);
      this.#events.onRefused(launch, isErrno(error) ? error.errno : EINVAL, 'request');
    }
  }

  #request(memfd: number, length: number): void {
    try {
      this.#zygote.request(memfd, length);
    } catch (error) {
      if (!isErrno(error, 'EAGAIN')) throw error;
      this.#queued.push([memfd, length]);
    }
  }

  /** Room again for what did not fit into the zygote's socket (some 270 requests do). */
  #sendQueued(): void {
    for (const [memfd, length] of this.#queued.splice(0)) this.#request(memfd, length);
  }

  /** Whether `fd` is the zygote's business, which is then done. */
  serves(fd: number): boolean {
    if (fd === this.#zygote.answers) this.#answered();
    else if (fd === this.#zygote.pidfd) this.replaceZygote();
    else return false;
    return true;
  }

  #answered(): void {
    for (let answer = this.#zygote.answer(); answer !== undefined; answer = this.#zygote.answer()) {
      const launch = this.#unanswered.get(answer.request);
      ok(launch !== undefined, 'an answer to a request of ours');
      this.#unanswered.delete(answer.request);
      try {
        if (answer.pid < 0) this.#events.onRefused(launch, -answer.pid, 'clone3');
        else this.#events.onBorn(launch, answer.pid, answer.pidfd);
      } finally {
        // After the answer, on which somebody waits.
        for (const fd of [answer.request, ...launch.sources]) close(fd);
      }
    }
    this.#sendQueued();
  }

  /**
   * The zygote died: its children go on. What it never read is refused as stale, so that the daemon asks again with the
   * new arena; what it had begun may have run already and fails.
   */
  replaceZygote(): void {
    this.#answered();
    log.error('the zygote died', { unanswered: this.#unanswered.size });
    const unread = new Set([...this.#zygote.takeUnread(), ...this.#queued.map(([memfd]) => memfd)]);
    this.#unwatch();
    this.#zygote[Symbol.dispose]();
    this.#zygote = new Zygote();
    this.#watch();
    const failed = [...this.#unanswered];
    this.#unanswered.clear();
    this.#queued = [];
    for (const [memfd, launch] of failed) {
      for (const fd of [memfd, ...launch.sources]) close(fd);
      this.#events.onRefused(launch, unread.has(memfd) ? ESTALE : EOWNERDEAD, 'zygote');
    }
  }

  #watch(): void {
    for (const fd of [this.#zygote.answers, this.#zygote.pidfd]) this.#epoll.add(fd);
  }

  #unwatch(): void {
    for (const fd of [this.#zygote.answers, this.#zygote.pidfd]) this.#epoll.remove(fd);
  }

  [Symbol.dispose](): void {
    this.#unwatch();
    this.#zygote[Symbol.dispose]();
  }
}

/** The first steps take what was received. */
function writeSources(memfd: number, message: StartMessage, sources: readonly number[]): void {
  const bytes = new Uint8Array(STEP_BYTES * sources.length);
  ok(message.firstSourceAt + bytes.length <= message.length, 'the sources lie inside the list');
  pread(memfd, bytes, message.firstSourceAt);
  const view = new DataView(bytes.buffer);
  for (const [i, fd] of sources.entries()) view.setBigInt64(i * STEP_BYTES, BigInt(fd), true);
  pwrite(memfd, bytes, message.firstSourceAt);
  const cgroup = message.cgroup === undefined ? undefined : sources[message.cgroup + 1];
  if (cgroup !== undefined) pwrite(memfd, new Uint8Array(BigInt64Array.of(BigInt(cgroup)).buffer), AT_CGROUP);
}
