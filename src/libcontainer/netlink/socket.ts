/**
 * A netlink socket and the conversation on it. The kernel works while we send, so every answer waits when `send` is back
 * and nothing here blocks longer than the work itself takes. Several requests go in one send; each is acknowledged, and
 * after the first that fails the rest is still done by the kernel: callers take back what they made.
 */
import { systemError } from '#errdefs/errors.ts';
import { errnoName } from '#sys/errno.ts';
import { close } from '#sys/files.ts';
import { SOCKET } from '#sys/numbers.ts';
import { netlinkSocket, recv, send, setsockopt } from '#sys/sockets.ts';
import { concat, decodeMessages, encodeRequest, NLM, type Request } from './codec.ts';

const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
/** What every socket takes at once, by the kernel's default; a transaction may be longer. */
const SEND_BYTES = 100_000;
const RECEIVE_BUFFER_BYTES = 8 << 20;
/** Less than 32 KB lost data silently. */
const BUFFER_BYTES = 1 << 16;
const DUMP_TRIES_MAX = 10;
const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** A request that the kernel refused. */
export class NetlinkError extends Error {
  readonly request: string;
  readonly errno: number;

  constructor(request: string, errno: number, reason: string | undefined) {
    super(`${request}: ${errnoName(errno)}${reason === undefined ? '' : ` (${reason})`}`);
    this.name = 'NetlinkError';
    this.request = request;
    this.errno = errno;
  }

  /** 'EEXIST' */
  get code(): string {
    return errnoName(this.errno);
  }
}

export const isNetlinkErrno = (error: unknown, ...codes: readonly string[]): error is NetlinkError =>
  error instanceof NetlinkError && codes.includes(error.code);

/** Requests between two messages that make one transaction of them. */
export interface RequestBatch {
  readonly begin: Request;
  readonly requests: readonly Request[];
  readonly end: Request;
}

// Received datagrams are read out of it before the next is received.
const buffer = new Uint8Array(BUFFER_BYTES);

export class NetlinkSocket implements Disposable {
  readonly fd: number;
  readonly #owned: boolean;
  #sequence = 0;

  /** Without `fd` a new socket of this thread's network namespace; a given one (a gate's) is not closed here. */
  constructor(fd?: number, protocol: number = NETLINK_ROUTE) {
    this.fd = fd ?? netlinkSocket(protocol);
    this.#owned = fd === undefined;
    setsockopt(this.fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    setsockopt(this.fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    // A dump of many links must not overrun; only the host's socket dumps.
    if (this.#owned) setsockopt(this.fd, SOCKET.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
  }

  /** Sends all at once. Throws NetlinkError of the first that failed, after all were answered. */
  run(...requests: readonly Request[]): void {
    this.#run(requests);
  }

  /** As `run`, between the messages that make one transaction of them (nftables): all are done, or none. */
  runBatch({ begin, requests, end }: RequestBatch): void {
    this.#run(requests, begin, end);
  }

  #run(requests: readonly Request[], begin?: Request, end?: Request): void {
    const before = begin === undefined ? [] : [encodeRequest(begin, ++this.#sequence)];
    const first = this.#sequence + 1;
    const messages = requests.map((request) =>
      encodeRequest({ ...request, flags: request.flags | NLM.ACK }, ++this.#sequence),
    );
    const after = end === undefined ? [] : [encodeRequest(end, ++this.#sequence)];
    this.#send(concat([...before, ...messages, ...after]));
    const errors = new Map<number, NetlinkError>();
    for (let left = requests.length; left > 0; ) {
      for (const message of this.#receive()) {
        const request = requests[message.sequence - first];
        if (message.kind !== 'ack' || request === undefined) continue; // left over from a call that was given up
        left--;
        if (message.errno !== 0) {
          errors.set(message.sequence, new NetlinkError(request.name, message.errno, message.reason));
        }
      }
    }
    for (let sequence = first; sequence <= this.#sequence; sequence++) {
      const error = errors.get(sequence);
      if (error !== undefined) throw error;
    }
  }

  /** Asks for one object: its payload. Throws NetlinkError (ENODEV: there is none). */
  get(request: Request): Uint8Array {
    const sequence = ++this.#sequence;
    this.#send(encodeRequest(request, sequence));
    for (;;) {
      for (const message of this.#receive()) {
        if (message.sequence !== sequence) continue;
        if (message.kind === 'data') return message.payload.slice();
        if (message.errno !== 0 && message.kind === 'ack') {
          throw new NetlinkError(request.name, message.errno, message.reason);
        }
      }
    }
  }

  /** All objects, as one consistent list: a dump that was interrupted by a change is asked for again. */
  dump<T>(request: Request, decode: (payload: Uint8Array) => T): T[] {
    for (let tries = 0; tries < DUMP_TRIES_MAX; tries++) {
      const result = this.#dumpOnce(request, decode);
      if (result !== undefined) return result;
    }
    throw systemError(`Cannot ${request.name}: changed during each of ${DUMP_TRIES_MAX} tries`);
  }

  #dumpOnce<T>(request: Request, decode: (payload: Uint8Array) => T): T[] | undefined {
    const sequence = ++this.#sequence;
    this.#send(encodeRequest({ ...request, flags: request.flags | NLM.DUMP }, sequence));
    const objects: T[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of this.#receive()) {
        if (message.sequence !== sequence) continue;
        if (message.kind === 'ack') throw new NetlinkError(request.name, message.errno, message.reason);
        interrupted ||= message.interrupted; // may be on one message of a thousand
        if (message.kind === 'data') objects.push(decode(message.payload));
        else if (message.errno !== 0) throw new NetlinkError(request.name, message.errno, undefined);
        else return interrupted ? undefined : objects;
      }
    }
  }

  #send(bytes: Uint8Array): void {
    if (bytes.length > SEND_BYTES) setsockopt(this.fd, SOCKET.SOL_SOCKET, SO_SNDBUFFORCE, 2 * bytes.length);
    if (send(this.fd, bytes) !== bytes.length) throw systemError('Cannot send to netlink: the socket is full');
  }

  #receive(): ReturnType<typeof decodeMessages> {
    const length = recv(this.fd, buffer, SOCKET.MSG_DONTWAIT | SOCKET.MSG_TRUNC);
    if (length === undefined) throw systemError('Cannot receive from netlink: no answer');
    if (length > buffer.length) throw systemError(`Cannot receive from netlink: ${length} bytes at once`);
    return decodeMessages(buffer.subarray(0, length));
  }

  [Symbol.dispose](): void {
    if (this.#owned) close(this.fd);
  }
}
