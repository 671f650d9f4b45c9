/**
 * Sockets made inside a container's network namespace and handed over to the daemon: a child of the zygote joins the
 * namespace, makes them and sends them through a socket of ours. No program of ours runs in the container, and no thread
 * of ours enters its namespace. Each socket keeps the namespace alive until it is closed.
 */
import { systemError } from '#errdefs/errors.ts';
import { lendingProgram, lentSockets } from '#libcontainer/namespaces/inside.ts';
import { ownedFd } from '#sys/files.ts';
import { socketpair } from '#sys/sockets.ts';
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
  const kind = { family: request.family, type: request.type, protocol: 0 };
  using program = lendingProgram(
    request.pidfd,
    sending.fd,
    Array.from({ length: request.count }, () => kind),
  );
  const started = await client.start({ id: request.id, program, cloneFlags: 0, held: {}, second: false });
  const { failed } = await started.outcome;
  client.forget(request.id);
  if (failed !== undefined) throw systemError(`Cannot make a socket in the container: ${failed.step}: ${failed.code}`);
  return lentSockets(receiving.fd, request.count);
}
