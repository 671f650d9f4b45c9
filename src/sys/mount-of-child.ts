/**
 * A detached mount that only a child in another mount namespace can make: it works through a list of calls, sends us the
 * mount by a socket and ends. No thread of ours changes a namespace.
 */
import { SysError } from './errno.ts';
import { close } from './files.ts';
import { NR, SOCKET } from './numbers.ts';
import { Program, type Source } from './program.ts';
import { recvmsg, socketpair } from './sockets.ts';
import { ownZygote } from './zygote/own.ts';
import { runToEnd } from './zygote/run.ts';

const CMSG_BYTES = 24;

/** `build` adds the steps and names the descriptor. Main thread only; blocks for about a millisecond. */
export function mountOfChild(build: (program: Program) => Source, cloneFlags: number): number {
  const [ours, childs] = socketpair(SOCKET.DGRAM);
  try {
    using program = new Program();
    const out = program.fd(childs);
    const mount = build(program);
    program.do('send mount', NR.sendmsg, out, messageWith(program, mount), 0);
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

/** msghdr of one byte and one descriptor. */
function messageWith(program: Program, descriptor: Source) {
  const control = new Uint8Array(CMSG_BYTES);
  const view = new DataView(control.buffer);
  view.setBigUint64(0, 20n, true);
  view.setInt32(8, SOCKET.SOL_SOCKET, true);
  view.setInt32(12, SOCKET.SCM_RIGHTS, true);
  const iovec = new Uint8Array(16);
  iovec[8] = 1;
  const header = new Uint8Array(56);
  header[24] = 1;
  header[40] = CMSG_BYTES;
  return program.struct(header, {
    16: program.struct(iovec, { 0: program.alloc(1) }),
    32: program.struct(control, { 16: descriptor }),
  });
}
