/** The network gate: while the child waits there, its namespace and its netlink socket are opened for whoever configures. */
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { pidfdGetfd } from '#sys/processes.ts';
import type { NativeProcess } from './native-process.ts';

/** `socket`: number of the child's rtnetlink socket. Both descriptors are closed before this returns. */
export async function networkGate(
  process: NativeProcess,
  socket: number,
  configure: (gate: NetworkGate) => Promise<void>,
): Promise<void> {
  using netlink = ownedFd(pidfdGetfd(process.pidfd, socket));
  using namespace = ownedFd(open(`/proc/${process.pid}/ns/net`, O.RDONLY));
  await configure({ pid: process.pid, netlink: netlink.fd, namespace: namespace.fd });
}
