/**
 * Sockets of another network namespace: a socket belongs to the namespace that it was made in, wherever it is used. A
 * child of ours enters the namespace, makes them, sends them and ends; no thread of ours ever leaves its namespace.
 */
import { close } from '#sys/files.ts';
import { CLONE, NR, SOCKET } from '#sys/numbers.ts';
import { Program, type Source } from '#sys/program.ts';
import { recvmsg, socketpair } from '#sys/sockets.ts';
import { SysError } from '#sys/errno.ts';
import { ownZygote } from '#sys/zygote/own.ts';
import { runToEnd } from '#sys/zygote/run.ts';

export interface SocketKind {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
}

/** linux/netlink.h */
export const ROUTE_SOCKET: SocketKind = { family: SOCKET.AF_NETLINK, type: SOCKET.RAW, protocol: 0 };
export const NETFILTER_SOCKET: SocketKind = { family: SOCKET.AF_NETLINK, type: SOCKET.RAW, protocol: 12 };

const CMSG_HEADER_BYTES = 16;

/**
 * `namespace`: descriptor of the network namespace. The sockets are the caller's. Main thread only; blocks for about
 * half a millisecond. Errors: SysError naming the call that failed.
 */
export function socketsInside(namespace: number, kinds: readonly SocketKind[]): number[] {
  const [ours, childs] = socketpair(SOCKET.DGRAM);
  try {
    using program = new Program();
    const out = program.fd(childs);
    program.do('join network namespace', NR.setns, program.fd(namespace), CLONE.NEWNET);
    const made = kinds.map(({ family, type, protocol }) =>
      program.keep(program.do('socket', NR.socket, family, type | SOCKET.CLOEXEC, protocol)),
    );
    program.do('send sockets', NR.sendmsg, out, messageWith(program, made), 0);
    program.do('end', NR.exit_group, 0);
    const failed = runToEnd(ownZygote(), program, 0);
    if (failed !== undefined) throw new SysError(failed.step, failed.errno);
    const sockets = recvmsg(ours, 1, SOCKET.MSG_DONTWAIT)?.descriptors ?? [];
    if (sockets.length !== kinds.length) throw new Error('the child sent no sockets');
    return [...sockets];
  } finally {
    for (const fd of [ours, childs]) close(fd);
  }
}

/** msghdr of one byte and the descriptors (each an int). */
function messageWith(program: Program, descriptors: readonly Source[]) {
  // Sources are written as eight bytes; each next one overwrites the upper half of the one before.
  const control = new Uint8Array(CMSG_HEADER_BYTES + 4 * descriptors.length + 4);
  const view = new DataView(control.buffer);
  const length = CMSG_HEADER_BYTES + 4 * descriptors.length;
  view.setBigUint64(0, BigInt(length), true);
  view.setInt32(8, SOCKET.SOL_SOCKET, true);
  view.setInt32(12, SOCKET.SCM_RIGHTS, true);
  const pointers = Object.fromEntries(descriptors.map((source, i) => [CMSG_HEADER_BYTES + 4 * i, source]));
  const iovec = new Uint8Array(16);
  iovec[8] = 1;
  const header = new Uint8Array(56);
  header[24] = 1;
  new DataView(header.buffer).setBigUint64(40, BigInt((length + 7) & ~7), true);
  return program.struct(header, {
    16: program.struct(iovec, { 0: program.alloc(1) }),
    32: program.struct(control, pointers),
  });
}
