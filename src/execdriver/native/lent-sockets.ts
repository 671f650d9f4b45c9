/**
 * Sockets made inside a container's network namespace and handed over to the daemon: a child of the zygote joins the
 * namespace, makes them and sends them through a socket of ours. No program of ours runs in the container, and no thread
 * of ours enters its namespace. Each socket keeps the namespace alive until it is closed.
 */
import { systemError } from '#errdefs/errors.ts';
import { ownedFd } from '#sys/files.ts';
import { CLONE, NR, SOCKET } from '#sys/numbers.ts';
import { descriptorMessage } from '#sys/descriptor-message.ts';
import { Program } from '#sys/program.ts';
import { recvmsg, socketpair } from '#sys/sockets.ts';
import type { MonitorClient } from './monitor/client.ts';

export interface LentSocketsRequest {
  /** Of this one launch: a process of the monitor for some moments. */
  readonly id: string;
  /** Of a process in the namespace. */
  readonly pidfd: number;
  readonly family: number;
  /** Of the sockets; CLOEXEC is added. */
  readonly type: number;
  readonly count: number;
}

/** The descriptors are the caller's. Errors: unavailable when the monitor died, system. */
export async function lendSockets(client: MonitorClient, request: LentSocketsRequest): Promise<number[]> {
  const [ours, theirs] = socketpair();
  using receiving = ownedFd(ours);
  using sending = ownedFd(theirs);
  using program = lendingProgram(request, sending.fd);
  const started = await client.start({ id: request.id, program, cloneFlags: 0, held: {}, second: false });
  const { failed } = await started.outcome;
  client.forget(request.id);
  if (failed !== undefined) throw systemError(`Cannot make a socket in the container: ${failed.step}: ${failed.code}`);
  const received = recvmsg(receiving.fd, 1, SOCKET.MSG_DONTWAIT);
  if (received === undefined || received.descriptors.length !== request.count) {
    for (const fd of received?.descriptors ?? []) ownedFd(fd)[Symbol.dispose]();
    throw systemError('Cannot make a socket in the container: it was not handed over');
  }
  return [...received.descriptors];
}

function lendingProgram(request: LentSocketsRequest, through: number): Program {
  const program = new Program();
  const pidfd = program.fd(request.pidfd);
  const socket = program.fd(through);
  program.do('join network namespace', NR.setns, pidfd, CLONE.NEWNET);
  const kept = Array.from({ length: request.count }, () =>
    program.keep(program.do('socket', NR.socket, request.family, request.type | SOCKET.CLOEXEC, 0)),
  );
  program.do('hand over', NR.sendmsg, socket, descriptorMessage(program, kept), SOCKET.MSG_NOSIGNAL);
  program.do('leave', NR.exit_group, 0);
  return program;
}
