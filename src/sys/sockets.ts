/**
 * Sockets as raw descriptors: unix with descriptors sent along, netlink, and the little of inet that publishing a port
 * needs. Data larger than a message goes through Bun's own sockets, not through here.
 */
import { ok } from '#errdefs/assert.ts';
import { Arena } from './arena.ts';
import { call, check, must, transfer } from './call.ts';
import { errnoNumber, SysError } from './errno.ts';
import { ioctl } from './files.ts';
import { IOCTL, NR, O, SOCKET } from './numbers.ts';

const EAGAIN = -errnoNumber('EAGAIN');
const EINPROGRESS = -errnoNumber('EINPROGRESS');
const SO_ERROR = 4;
/** The kernel's SCM_MAX_FD. */
export const DESCRIPTORS_MAX = 253;

const arenaBytes = 1 << 16;
let arena: Arena | undefined;

function messageArena(): Arena {
  arena ??= new Arena(arenaBytes);
  arena.reset();
  return arena;
}

export function socketpair(type: number = SOCKET.STREAM): readonly [number, number] {
  const pair = new Uint8Array(8);
  must('socketpair', NR.socketpair, SOCKET.AF_UNIX, type | SOCKET.CLOEXEC, 0, pair);
  const view = new DataView(pair.buffer);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

export function socket(family: number, type: number, protocol = 0): number {
  return must('socket', NR.socket, family, type | SOCKET.CLOEXEC, protocol);
}

/** sockaddr_un; a leading '@' is the abstract namespace. */
function unixAddress(path: string): Uint8Array {
  const name = Buffer.from(path);
  if (name.length > 107) throw new RangeError(`socket path "${path}" is longer than 107 bytes`);
  const abstract = path.startsWith('@');
  const address = new Uint8Array(2 + name.length + (abstract ? 0 : 1));
  address[0] = SOCKET.AF_UNIX;
  address.set(name, 2);
  if (abstract) address[2] = 0;
  return address;
}

/** Listening socket at `path`, which must not exist. The umask gives its mode. */
export function unixListen(path: string, options: { readonly type?: number; readonly backlog?: number } = {}): number {
  const { type = SOCKET.STREAM, backlog = 64 } = options;
  const fd = socket(SOCKET.AF_UNIX, type);
  const address = unixAddress(path);
  closingOnError(fd, () => {
    must('bind', NR.bind, fd, address, address.length);
    must('listen', NR.listen, fd, backlog);
  });
  return fd;
}

/** Errors: ENOENT, ECONNREFUSED when nobody listens. */
export function unixConnect(path: string, type: number = SOCKET.STREAM): number {
  const fd = socket(SOCKET.AF_UNIX, type);
  const address = unixAddress(path);
  closingOnError(fd, () => must('connect', NR.connect, fd, address, address.length));
  return fd;
}

/** One datagram to a unix socket (sd_notify). */
export function sendDatagram(path: string, bytes: Uint8Array): void {
  const fd = socket(SOCKET.AF_UNIX, SOCKET.DGRAM);
  const address = unixAddress(path);
  try {
    must('sendto', NR.sendto, fd, bytes, bytes.length, SOCKET.MSG_NOSIGNAL, address, address.length);
  } finally {
    call(NR.close, fd);
  }
}

function closingOnError<T>(fd: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    call(NR.close, fd);
    throw error;
  }
}

/** Undefined when nobody waits (non-blocking listener). `nonBlocking` is for the new socket. */
export function accept(fd: number, nonBlocking = false): number | undefined {
  const result = call(NR.accept4, fd, 0, 0, SOCKET.CLOEXEC | (nonBlocking ? SOCKET.NONBLOCK : 0));
  return result === EAGAIN ? undefined : check(NR.accept4, result, fd);
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export function peerCredentials(fd: number): PeerCredentials {
  const ucred = getsockopt(fd, SOCKET.SOL_SOCKET, SOCKET.SO_PEERCRED, 12);
  return { pid: ucred.getInt32(0, true), uid: ucred.getUint32(4, true), gid: ucred.getUint32(8, true) };
}

export function getsockopt(fd: number, level: number, option: number, bytes = 4): DataView {
  const value = new Uint8Array(bytes);
  must('getsockopt', NR.getsockopt, fd, level, option, value, new Uint8Array(Uint32Array.of(bytes).buffer));
  return new DataView(value.buffer);
}

export function setsockopt(fd: number, level: number, option: number, value: number | Uint8Array): void {
  const bytes = typeof value === 'number' ? new Uint8Array(Int32Array.of(value).buffer) : value;
  must('setsockopt', NR.setsockopt, fd, level, option, bytes, bytes.length);
}

/** How long a blocking send or receive on `fd` may take (then EAGAIN). */
export function setSocketTimeout(fd: number, timeoutMs: number): void {
  const timeval = new Uint8Array(
    new BigInt64Array([BigInt(Math.floor(timeoutMs / 1000)), BigInt((timeoutMs % 1000) * 1000)]).buffer,
  );
  setsockopt(fd, SOCKET.SOL_SOCKET, SOCKET.SO_RCVTIMEO, timeval);
  setsockopt(fd, SOCKET.SOL_SOCKET, SOCKET.SO_SNDTIMEO, timeval);
}

const SO_ATTACH_FILTER = 26;
const INSTRUCTION_BYTES = 8;

/** A classic BPF program (struct sock_filter each) that says which datagrams `fd` gets. Errors: EINVAL for a bad one. */
export function attachFilter(fd: number, instructions: Uint8Array): void {
  using memory = new Arena((instructions.length + 4096 + 4095) & ~4095);
  const program = memory.alloc(16);
  memory.view.setUint16(program, instructions.length / INSTRUCTION_BYTES, true);
  memory.u64(program + 8, memory.bytes(instructions));
  must('setsockopt', NR.setsockopt, fd, SOCKET.SOL_SOCKET, SO_ATTACH_FILTER, memory.base + program, 16);
}

const MSGHDR_BYTES = 56;
const CMSGHDR_BYTES = 16;

function layMessage(a: Arena, length: number, controlBytes: number): { header: number; data: number; control: number } {
  const header = a.alloc(MSGHDR_BYTES);
  const iovec = a.alloc(16);
  const data = a.alloc(length);
  const control = a.alloc(controlBytes);
  a.u64(iovec, a.base + data);
  a.u64(iovec + 8, length);
  a.u64(header + 16, a.base + iovec);
  a.u64(header + 24, 1);
  a.u64(header + 32, controlBytes === 0 ? 0 : a.base + control);
  a.u64(header + 40, controlBytes);
  return { header, data, control };
}

/** Sends `bytes` (at most 48 KiB) with descriptors. Returns the bytes taken, or undefined on EAGAIN. */
export function sendmsg(
  fd: number,
  bytes: Uint8Array,
  descriptors: readonly number[] = [],
  flags = 0,
): number | undefined {
  ok(descriptors.length <= DESCRIPTORS_MAX, 'at most 253 descriptors in a message');
  const a = messageArena();
  const controlBytes = descriptors.length === 0 ? 0 : CMSGHDR_BYTES + ((4 * descriptors.length + 7) & ~7);
  const { header, data, control } = layMessage(a, bytes.length, controlBytes);
  a.u8.set(bytes, data);
  if (descriptors.length > 0) {
    a.u64(control, CMSGHDR_BYTES + 4 * descriptors.length);
    a.view.setInt32(control + 8, SOCKET.SOL_SOCKET, true);
    a.view.setInt32(control + 12, SOCKET.SCM_RIGHTS, true);
    for (const [i, d] of descriptors.entries()) a.view.setInt32(control + CMSGHDR_BYTES + 4 * i, d, true);
  }
  const result = call(NR.sendmsg, fd, a.base + header, flags | SOCKET.MSG_NOSIGNAL);
  return result === EAGAIN ? undefined : check(NR.sendmsg, result, fd);
}

export interface Received {
  /** Valid until the next call of this module. Empty: the peer has closed. */
  readonly bytes: Uint8Array;
  /** Ours now, with CLOEXEC. */
  readonly descriptors: readonly number[];
}

/** Receives at most `length` bytes (≤ 48 KiB). Undefined on EAGAIN. */
export function recvmsg(fd: number, length: number, flags = 0): Received | undefined {
  const a = messageArena();
  const { header, data, control } = layMessage(a, length, CMSGHDR_BYTES + 4 * DESCRIPTORS_MAX + 4);
  const result = call(NR.recvmsg, fd, a.base + header, flags | SOCKET.MSG_CMSG_CLOEXEC);
  if (result === EAGAIN) return undefined;
  check(NR.recvmsg, result, fd);
  const descriptors: number[] = [];
  const controlBytes = Number(a.view.getBigUint64(header + 40, true));
  for (let at = 0; at + CMSGHDR_BYTES <= controlBytes; ) {
    const bytes = Number(a.view.getBigUint64(control + at, true));
    const rights =
      a.view.getInt32(control + at + 8, true) === SOCKET.SOL_SOCKET &&
      a.view.getInt32(control + at + 12, true) === SOCKET.SCM_RIGHTS;
    const end = rights ? bytes : 0;
    for (let i = CMSGHDR_BYTES; i + 4 <= end; i += 4) descriptors.push(a.view.getInt32(control + at + i, true));
    if (bytes < CMSGHDR_BYTES) break;
    at += (bytes + 7) & ~7;
  }
  return { bytes: a.u8.slice(data, data + result), descriptors };
}

/** A netlink socket bound to an address of its own. Errors come in acks. */
export function netlinkSocket(protocol: number, groups = 0): number {
  const fd = socket(SOCKET.AF_NETLINK, SOCKET.RAW, protocol);
  const address = new Uint8Array(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, SOCKET.AF_NETLINK, true);
  view.setUint32(8, groups, true);
  closingOnError(fd, () => must('bind', NR.bind, fd, address, address.length));
  return fd;
}

/** Bytes sent, or undefined on EAGAIN. */
export function send(fd: number, bytes: Uint8Array, flags = 0): number | undefined {
  const result = transfer(NR.sendto, fd, bytes, bytes.length, flags | SOCKET.MSG_NOSIGNAL, 0);
  return result === EAGAIN ? undefined : check(NR.sendto, result, fd);
}

/** Bytes received (with MSG_TRUNC the message's true length), or undefined on EAGAIN. */
export function recv(fd: number, buffer: Uint8Array, flags = 0): number | undefined {
  const result = transfer(NR.recvfrom, fd, buffer, buffer.length, flags, 0);
  return result === EAGAIN ? undefined : check(NR.recvfrom, result, fd);
}

/**
 * Memory of written bytes that the peer of a unix socket has not read; of a TCP socket, what it has not acknowledged
 * (unix(7), tcp(7): SIOCOUTQ).
 */
export function bytesUnread(fd: number): number {
  const value = new Uint8Array(4);
  ioctl(fd, IOCTL.TIOCOUTQ, value);
  return new DataView(value.buffer).getInt32(0, true);
}

const IPPROTO_SCTP = 132;

/**
 * Holds a port of an IPv4 (dotted) or IPv6 address without listening. Port 0 takes a free one. Errors: EADDRINUSE,
 * EADDRNOTAVAIL; EPROTONOSUPPORT where the kernel has no SCTP.
 */
export function bindPort(
  protocol: 'tcp' | 'udp' | 'sctp',
  ip: string,
  port: number,
  listens = false,
): { readonly fd: number; readonly port: number } {
  const v6 = ip.includes(':');
  const type = (protocol === 'udp' ? SOCKET.DGRAM : SOCKET.STREAM) | (listens ? O.NONBLOCK : 0);
  const fd = socket(v6 ? SOCKET.AF_INET6 : SOCKET.AF_INET, type, protocol === 'sctp' ? IPPROTO_SCTP : 0);
  return closingOnError(fd, () => {
    if (listens && protocol === 'tcp') setsockopt(fd, SOCKET.SOL_SOCKET, 2, 1); // SO_REUSEADDR
    if (v6) setsockopt(fd, 41, 26, 1); // IPPROTO_IPV6, IPV6_V6ONLY
    return { fd, port: bindSocket(fd, ip, port) };
  });
}

/** The port that it was bound to. Errors: EADDRINUSE, EADDRNOTAVAIL. */
export function bindSocket(fd: number, ip: string, port: number): number {
  const address = inetAddress(ip, port);
  must('bind', NR.bind, fd, address, address.length);
  const name = new Uint8Array(28);
  must('getsockname', NR.getsockname, fd, name, new Uint8Array(Uint32Array.of(name.length).buffer));
  return new DataView(name.buffer).getUint16(2);
}

export function listen(fd: number, backlog: number): void {
  must('listen', NR.listen, fd, backlog);
}

/** Of a non-blocking socket: whether it is through at once. Errors: ECONNREFUSED and the like. */
export function connectInet(fd: number, ip: string, port: number): 'connected' | 'pending' {
  const address = inetAddress(ip, port);
  const result = call(NR.connect, fd, address, address.length);
  if (result === EINPROGRESS) return 'pending';
  check(NR.connect, result, fd);
  return 'connected';
}

/** What became of a pending connect once the socket is writable; 0: connected. */
export function socketError(fd: number): number {
  return getsockopt(fd, SOCKET.SOL_SOCKET, SO_ERROR).getInt32(0, true);
}

/** Connects to the unix socket that `target` (O_PATH) is, wherever it lies. Errors: ECONNREFUSED, EAGAIN. */
export function connectUnixFd(fd: number, target: number): void {
  const address = unixAddress(`/proc/self/fd/${target}`);
  must('connect', NR.connect, fd, address, address.length);
}

function inetAddress(ip: string, port: number): Uint8Array {
  const v6 = ip.includes(':');
  const address = new Uint8Array(v6 ? 28 : 16);
  const view = new DataView(address.buffer);
  view.setUint16(0, v6 ? SOCKET.AF_INET6 : SOCKET.AF_INET, true);
  view.setUint16(2, port);
  address.set(v6 ? ipv6Bytes(ip) : ip.split('.').map(Number), v6 ? 8 : 4);
  return address;
}

/** Preconditions: a valid IPv6 address without a zone. */
function ipv6Bytes(ip: string): Uint8Array {
  const [head = '', tail] = ip.split('::');
  const words = (text: string | undefined) =>
    text === undefined || text === '' ? [] : text.split(':').map((w) => Number.parseInt(w, 16));
  const before = words(head);
  const after = words(tail);
  const all =
    tail === undefined
      ? before
      : [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
  return Uint8Array.from(all.flatMap((w) => [w >> 8, w & 0xff]));
}

const SEND_LIMIT_MS = 2000;
const POLLOUT = 4;

/** Sends all of a frame (≤ 48 KiB a piece) with its descriptors on its first byte, waiting for room for at most 2 s. */
export function sendWhole(fd: number, bytes: Uint8Array, descriptors: readonly number[] = []): void {
  let rights = descriptors;
  for (let done = 0; done < bytes.length; ) {
    const taken = sendmsg(fd, bytes.subarray(done, done + PIECE_BYTES), rights);
    if (taken === undefined) waitForRoom(fd);
    else {
      done += taken;
      rights = [];
    }
  }
}

const PIECE_BYTES = 32_768;

function waitForRoom(fd: number): void {
  const pollfd = new Uint8Array(8);
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, POLLOUT, true);
  const limit = new Uint8Array(BigInt64Array.of(BigInt(SEND_LIMIT_MS / 1000), 0n).buffer);
  if (must('ppoll', NR.ppoll, pollfd, 1, limit, 0, 8) === 0) throw new SysError('sendmsg', -EAGAIN, [fd]);
}
