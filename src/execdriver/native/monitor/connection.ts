/** One peer of the monitor: frames and descriptors in, frames out without ever blocking the loop. */
import { ok } from 'node:assert/strict';
import { close } from '#sys/files.ts';
import { EPOLL } from '#sys/numbers.ts';
import type { Epoll } from '#sys/epoll.ts';
import { recvmsg, sendmsg } from '#sys/sockets.ts';
import { encodeFrame, FrameReader, type MonitorMessage } from './protocol.ts';

const RECEIVE_BYTES = 32_768;
/** A daemon that does not read is no daemon: its exits are in the record file. */
const UNSENT_BYTES_MAX = 64 << 20;

export class Connection {
  readonly fd: number;
  /** It has said `attach`: exits are told to it. */
  isDaemon = false;
  readonly #epoll: Epoll;
  readonly #reader = new FrameReader();
  /** Received and not yet claimed by a message. */
  readonly #descriptors: number[] = [];
  #unsent: Uint8Array[] = [];
  #unsentBytes = 0;
  readonly #late: Uint8Array[] = [];

  constructor(fd: number, epoll: Epoll) {
    this.fd = fd;
    this.#epoll = epoll;
    epoll.add(fd);
  }

  /** Messages that are complete now; undefined when the peer has closed. */
  receive(): unknown[] | undefined {
    const messages: unknown[] = [];
    for (;;) {
      const received = recvmsg(this.fd, RECEIVE_BYTES);
      if (received === undefined) return messages;
      this.#descriptors.push(...received.descriptors);
      if (received.bytes.length === 0) return messages.length === 0 ? undefined : messages;
      messages.push(...this.#reader.push(received.bytes));
      // One turn reads one buffer: what is left keeps the descriptor readable.
      if (received.bytes.length < RECEIVE_BYTES) return messages;
    }
  }

  /** The next `count` descriptors; the caller's now. */
  takeDescriptors(count: number): number[] {
    ok(this.#descriptors.length >= count, 'descriptors arrive with the first byte of their message');
    return this.#descriptors.splice(0, count);
  }

  /** Goes with the next one, or by `sendLate`. */
  late(message: MonitorMessage): void {
    this.#late.push(encodeFrame(message));
  }

  sendLate(): void {
    if (this.#late.length > 0) this.#sendFrames(Buffer.concat(this.#late.splice(0)), []);
  }

  send(message: MonitorMessage, descriptors: readonly number[] = []): void {
    this.sendLate();
    this.#sendFrames(encodeFrame(message), descriptors);
  }

  #sendFrames(frames: Uint8Array, descriptors: readonly number[]): void {
    let frame = frames;
    let sent = descriptors.length === 0;
    if (this.#unsent.length === 0) {
      for (;;) {
        const piece = frame.subarray(0, RECEIVE_BYTES);
        const taken = sendmsg(this.fd, piece, sent ? [] : descriptors);
        if (taken === undefined) break;
        sent = true;
        frame = frame.subarray(taken);
        if (frame.length === 0) return;
      }
      this.#epoll.modify(this.fd, EPOLL.IN | EPOLL.OUT);
    }
    ok(sent, 'descriptors go on a connection that nothing waits on');
    ok(this.#unsentBytes + frame.length <= UNSENT_BYTES_MAX, 'the peer does not read');
    this.#unsent.push(frame);
    this.#unsentBytes += frame.length;
  }

  /** There is room again. */
  flush(): void {
    while (this.#unsent[0] !== undefined) {
      const frame = this.#unsent[0];
      const taken = sendmsg(this.fd, frame.subarray(0, RECEIVE_BYTES));
      if (taken === undefined) return;
      this.#unsentBytes -= taken;
      if (taken < frame.length) this.#unsent[0] = frame.subarray(taken);
      else this.#unsent.shift();
    }
    this.#epoll.modify(this.fd, EPOLL.IN);
  }

  close(): void {
    this.#epoll.remove(this.fd);
    close(this.fd);
    for (const fd of this.#descriptors) close(fd);
    this.#descriptors.length = 0;
    this.#unsent = [];
  }
}
