/** epoll and eventfd as raw descriptors, for loops of our own (a Worker, the monitor). */
import { must } from './call.ts';
import { EPOLL, NR } from './numbers.ts';

const EFD_CLOEXEC_NONBLOCK = 0o2004000;

/** `initial` counts; readable while it is not 0. */
export function eventfd(initial = 0): number {
  return must('eventfd2', NR.eventfd2, initial, EFD_CLOEXEC_NONBLOCK);
}

export interface Readiness {
  readonly fd: number;
  /** EPOLL.IN | EPOLL.OUT | EPOLL.HUP | … */
  readonly events: number;
}

const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const FD_AT = EVENT_BYTES - 8;
const CLOEXEC = 0o2000000;

/** An epoll set whose tag is the descriptor itself. */
export class Epoll implements Disposable {
  readonly fd: number;
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  readonly #max: number;

  constructor(eventsMax = 64) {
    this.#max = eventsMax;
    this.#buffer = new Uint8Array(EVENT_BYTES * eventsMax);
    this.#view = new DataView(this.#buffer.buffer);
    this.fd = must('epoll_create1', NR.epoll_create1, CLOEXEC);
  }

  add(fd: number, events: number = EPOLL.IN): void {
    this.#control(EPOLL.CTL_ADD, fd, events);
  }

  modify(fd: number, events: number): void {
    this.#control(EPOLL.CTL_MOD, fd, events);
  }

  /** Must come before the descriptor is closed when a duplicate of it stays open. */
  remove(fd: number): void {
    this.#control(EPOLL.CTL_DEL, fd, 0);
  }

  #control(operation: number, fd: number, events: number): void {
    const event = new Uint8Array(EVENT_BYTES);
    const view = new DataView(event.buffer);
    view.setUint32(0, events >>> 0, true);
    view.setInt32(FD_AT, fd, true);
    must('epoll_ctl', NR.epoll_ctl, this.fd, operation, fd, event);
  }

  /** Blocks this thread; -1 without limit. */
  wait(timeoutMs = -1): Readiness[] {
    const count = must('epoll_pwait', NR.epoll_pwait, this.fd, this.#buffer, this.#max, timeoutMs, 0, 8);
    const ready: Readiness[] = [];
    for (let i = 0; i < count; i++) {
      const at = i * EVENT_BYTES;
      ready.push({ fd: this.#view.getInt32(at + FD_AT, true), events: this.#view.getUint32(at, true) });
    }
    return ready;
  }

  [Symbol.dispose](): void {
    must('close', NR.close, this.fd);
  }
}

/** Blocks this thread until `fd` is ready (or has failed); false when `stop` became readable first. */
export function waitFor(fd: number, events: number, stop: number): boolean {
  const pollfds = new Uint8Array(16);
  const view = new DataView(pollfds.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, events, true);
  view.setInt32(8, stop, true);
  view.setInt16(12, EPOLL.IN, true);
  must('ppoll', NR.ppoll, pollfds, 2, 0, 0, 8);
  return view.getInt16(14, true) === 0;
}

/** Makes an eventfd readable. */
export function ring(eventFd: number): void {
  must('write', NR.write, eventFd, new Uint8Array(BigUint64Array.of(1n).buffer), 8);
}
