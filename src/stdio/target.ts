/**
 * The descriptor of one attached client: a socket that the main thread has lent, or a pipe to it where the connection has
 * no descriptor. It never blocks: what does not fit is kept (one chunk at most, since its output is not read meanwhile),
 * or stays in the process's pipe when it was to be spliced.
 */
import { call, transfer } from '#sys/call.ts';
import { close, fstat, setNonBlocking } from '#sys/files.ts';
import { NR, S_IF, SOCKET } from '#sys/numbers.ts';
import { FRAME_HEADER_BYTES, putFrameHeader, type StreamNumber } from '#pkg/stdcopy/stdcopy.ts';
import type { AttachmentEnd, Selection } from './protocol.ts';

const EAGAIN = -11;
const SPLICE_NONBLOCK_MOVE = 3;
const SEND_FLAGS = SOCKET.MSG_DONTWAIT | SOCKET.MSG_NOSIGNAL;

const empty = new Uint8Array(0);
const KEPT_BYTES = 256 * 1024 + FRAME_HEADER_BYTES;
const SPARE_MAX = 8;

/** Buffers for what does not fit, lent to whoever is blocked: one each for all clients would cost 256 MB a thousand. */
export class KeptBuffers {
  readonly #spare: Uint8Array[] = [];

  take(): Uint8Array {
    return this.#spare.pop() ?? new Uint8Array(KEPT_BYTES);
  }

  give(buffer: Uint8Array): void {
    if (buffer.length === KEPT_BYTES && this.#spare.length < SPARE_MAX) this.#spare.push(buffer);
  }
}

/** 'blocked': the rest is kept, wait until the descriptor takes bytes again. */
export type Sent = 'done' | 'blocked' | 'gone';

export class Target {
  readonly attachment: number;
  readonly select: Selection;
  readonly #buffers: KeptBuffers;
  #fd: number;
  #socket = false;
  /** Not written yet; a view of `#kept`. */
  #pending: Uint8Array = empty;
  #kept: Uint8Array = empty;
  /** Bytes that are promised by a frame header and still lie in the pipe `source`. */
  #owed = 0;
  #source = -1;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  /** When it took nothing for the first time since it last took something; 0: it takes. */
  stalledSince = 0;
  /** The client gets nothing more once what is kept has been written. */
  ending: AttachmentEnd | undefined;

  constructor(attachment: number, select: Selection, fd: number, buffers: KeptBuffers) {
    this.#buffers = buffers;
    this.attachment = attachment;
    this.select = select;
    this.#fd = -1;
    if (fd >= 0) this.open(fd);
  }

  /** A held attachment gets its descriptor later. */
  open(fd: number): void {
    this.#fd = fd;
    this.#socket = (fstat(fd).mode & S_IF.MT) === S_IF.SOCK;
    // SPLICE_F_NONBLOCK speaks of the pipe only: a splice into a full socket that blocks would stop all containers' output.
    setNonBlocking(fd);
  }

  get fd(): number {
    return this.#fd;
  }

  /** Whether pipe content can be spliced to it, behind a header that is sent. */
  get socket(): boolean {
    return this.#socket;
  }

  get held(): boolean {
    return this.#fd < 0;
  }

  /** Waits for EPOLLOUT; set by the loop. */
  waiting = false;

  /** Something is kept or owed. */
  get behind(): boolean {
    return this.#pending.length > 0 || this.#owed > 0;
  }

  /** The pipe that bytes are owed from, or -1. */
  get owedFrom(): number {
    return this.#owed > 0 ? this.#source : -1;
  }

  wants(stream: StreamNumber): boolean {
    return stream === 2 ? this.select.stderr : this.select.stdout;
  }

  #write(bytes: Uint8Array): number {
    return this.#socket
      ? transfer(NR.sendto, this.#fd, bytes, bytes.length, SEND_FLAGS)
      : transfer(NR.write, this.#fd, bytes, bytes.length);
  }

  /** Writes bytes or keeps what does not fit, behind what is kept already. */
  send(bytes: Uint8Array): Sent {
    if (this.held || this.waiting || this.behind) {
      this.#pending = Buffer.concat([this.#pending, bytes]);
      return 'blocked';
    }
    const written = this.#write(bytes);
    if (written === bytes.length) return 'done';
    if (written < 0 && written !== EAGAIN) return 'gone';
    this.#keep(bytes.subarray(Math.max(written, 0)));
    return 'blocked';
  }

  /** Takes the bytes that are owed out of their pipe, which is about to be closed. */
  keepOwed(source: number): void {
    if (this.#owed === 0 || this.#source !== source) return;
    const bytes = new Uint8Array(this.#owed);
    const length = transfer(NR.read, source, bytes);
    this.#owed = 0;
    this.#pending = Buffer.concat([this.#pending, bytes.subarray(0, Math.max(length, 0))]);
  }

  #keep(rest: Uint8Array): void {
    this.#kept = this.#buffers.take();
    this.#kept.set(rest);
    this.#pending = this.#kept.subarray(0, rest.length);
  }

  #release(): void {
    this.#buffers.give(this.#kept);
    this.#kept = empty;
    this.#pending = empty;
  }

  /** A frame of `length` bytes that lie in the pipe `source`, moved without a copy. Preconditions: not blocked. */
  splice(stream: StreamNumber, source: number, length: number): Sent {
    putFrameHeader(this.#header, 0, stream, length);
    const sent = transfer(NR.sendto, this.#fd, this.#header, FRAME_HEADER_BYTES, SEND_FLAGS | SOCKET.MSG_MORE);
    // Not even the header: nothing is promised, the bytes stay where they are.
    if (sent === EAGAIN || sent === 0) return 'blocked';
    if (sent < 0) return 'gone';
    if (sent < FRAME_HEADER_BYTES) this.#keep(this.#header.subarray(sent));
    this.#owed = length;
    this.#source = source;
    return this.#pending.length > 0 ? 'blocked' : this.#spliceOwed();
  }

  #spliceOwed(): Sent {
    while (this.#owed > 0) {
      const moved = call(NR.splice, this.#source, 0, this.#fd, 0, this.#owed, SPLICE_NONBLOCK_MOVE);
      if (moved === EAGAIN) return 'blocked';
      if (moved <= 0) return 'gone';
      this.#owed -= moved;
      this.stalledSince = 0;
    }
    return 'done';
  }

  /** Goes on with what is kept. */
  flush(): Sent {
    if (this.#pending.length > 0) {
      const written = this.#write(this.#pending);
      if (written < 0 && written !== EAGAIN) return 'gone';
      if (written > 0) {
        this.stalledSince = 0;
        this.#pending = this.#pending.subarray(written);
      }
      if (this.#pending.length > 0) return 'blocked';
      this.#release();
    }
    return this.#spliceOwed();
  }

  close(): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
    this.#release();
  }
}
