/**
 * Sockets of another network namespace: a socket belongs to the namespace that it was made in, wherever it is used. A
 * child of ours enters the namespace, makes them, sends them and ends; no thread of ours ever leaves its namespace.
 */
import { systemError } from '#errdefs/errors.ts';
import { descriptorMessage } from '#sys/descriptor-message.ts';
import { close } from '#sys/files.ts';
import { AT, CLONE, NR, O, SOCKET } from '#sys/numbers.ts';
import { Program } from '#sys/program.ts';
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

/** Of a child: joins the network namespace of a descriptor (of itself, or a pidfd), makes sockets and sends them. */
export function lendingProgram(namespace: number, through: number, kinds: readonly SocketKind[]): Program {
  const program = new Program();
  const out = program.fd(through);
  program.do('join network namespace', NR.setns, program.fd(namespace), CLONE.NEWNET);
  const made = kinds.map(({ family, type, protocol }) =>
    program.keep(program.do('socket', NR.socket, family, type | SOCKET.CLOEXEC, protocol)),
  );
  program.do('hand over', NR.sendmsg, out, descriptorMessage(program, made), SOCKET.MSG_NOSIGNAL);
  program.do('end', NR.exit_group, 0);
  return program;
}

/** What the child of a lendingProgram has sent; the caller's. Errors: system when it is not all of them. */
export function lentSockets(from: number, count: number): number[] {
  const sockets = recvmsg(from, 1, SOCKET.MSG_DONTWAIT)?.descriptors ?? [];
  if (sockets.length === count) return [...sockets];
  for (const fd of sockets) close(fd);
  throw systemError('Cannot make a socket in another network namespace: it was not handed over');
}

/**
 * `namespace`: descriptor of the network namespace. The sockets are the caller's. Main thread only; blocks for about
 * half a millisecond. Errors: SysError naming the call that failed.
 */
export function socketsInside(namespace: number, kinds: readonly SocketKind[]): number[] {
  const [ours, childs] = socketpair(SOCKET.DGRAM);
  try {
    using program = lendingProgram(namespace, childs, kinds);
    const failed = runToEnd(ownZygote(), program, 0);
    if (failed !== undefined) throw new SysError(failed.step, failed.errno);
    return lentSockets(ours, kinds.length);
  } finally {
    for (const fd of [ours, childs]) close(fd);
  }
}

/**
 * Writes parameters below /proc/sys as they are in another network namespace: /proc shows those of whoever opens them.
 * Main thread only; blocks for about half a millisecond. Errors: SysError naming the parameter.
 */
export function writeSysctlsInside(
  namespace: number,
  entries: readonly { readonly path: string; readonly value: string }[],
): void {
  using program = new Program();
  program.do('join network namespace', NR.setns, program.fd(namespace), CLONE.NEWNET);
  for (const { path, value } of entries) {
    const file = program.do(`open "${path}"`, NR.openat, AT.FDCWD, `/proc/sys/${path}`, O.WRONLY | O.CLOEXEC, 0);
    program.doWith(file, `set "${path}" to "${value}"`, NR.write, program.str(value), Buffer.byteLength(value));
  }
  program.do('end', NR.exit_group, 0);
  const failed = runToEnd(ownZygote(), program, 0);
  if (failed !== undefined) throw new SysError(failed.step, failed.errno);
}
