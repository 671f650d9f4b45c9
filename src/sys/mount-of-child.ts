/**
 * A detached mount that only a child in another mount namespace can make: it works through a list of calls, sends us the
 * mount by a socket and ends. No thread of ours changes a namespace.
 */
import { descriptorMessage } from './descriptor-message.ts';
import { SysError } from './errno.ts';
import { close } from './files.ts';
import { NR, SOCKET } from './numbers.ts';
import { Program, type Source } from './program.ts';
import { recvmsg, socketpair } from './sockets.ts';
import { ownZygote } from './zygote/own.ts';
import { runToEnd } from './zygote/run.ts';

/** `build` adds the steps and names the descriptor. Main thread only; blocks for about a millisecond. */
export function mountOfChild(build: (program: Program) => Source, cloneFlags: number): number {
  const [ours, childs] = socketpair(SOCKET.DGRAM);
  try {
    using program = new Program();
    const out = program.fd(childs);
    const mount = build(program);
    program.do('send mount', NR.sendmsg, out, descriptorMessage(program, [mount]), 0);
    program.do('end', NR.exit_group, 0);
    const failed = runToEnd(ownZygote(), program, cloneFlags);
    if (failed !== undefined)
      throw new SysError(failed.step, failed.errno, failed.path === undefined ? [] : [failed.path]);
    const [made] = recvmsg(ours, 1, SOCKET.MSG_DONTWAIT)?.descriptors ?? [];
    if (made === undefined) throw new Error('the child that mounts sent nothing');
    return made;
  } finally {
    for (const fd of [ours, childs]) close(fd);
  }
}
