/**
 * User namespaces that nobody lives in: they only hold the maps of id-mapped mounts. One is made by a child that is ended
 * as soon as we have its descriptor; the namespace lives as long as that descriptor or a mount that was given it.
 */
import { SysError } from './errno.ts';
import { close, open, type OwnedFd, ownedFd, pipe2 } from './files.ts';
import { writeValue } from './host-files.ts';
import { CLONE, NR, O, W } from './numbers.ts';
import { killByPidfd, waitid } from './processes.ts';
import { Program } from './program.ts';
import { patchSources } from './zygote/launch.ts';
import { ownZygote } from './zygote/own.ts';
import { ARENA_BYTES, listMemfd } from './zygote/zygote.ts';

export interface UserNamespaceMaps {
  /** Lines of /proc/PID/uid_map: `inside outside count`. */
  readonly uids: string;
  readonly gids: string;
}

/** Descriptor of a new user namespace with these maps. Main thread only; blocks for about a millisecond. */
export function userNamespace(maps: UserNamespaceMaps): OwnedFd {
  const zygote = ownZygote();
  const program = new Program();
  const outcome = pipe2();
  const hold = pipe2();
  try {
    // Nobody writes into the pipe: the child waits until it is ended here, or until we die and the pipe ends.
    program.do('wait', NR.read, program.fd(hold.read), program.alloc(8), 1);
    program.do('end', NR.exit_group, 0);
    const list = program.serialize(zygote.base, ARENA_BYTES, CLONE.NEWUSER);
    patchSources(list.bytes, list, [outcome.write, ...list.descriptors]);
    const memfd = listMemfd(list.bytes);
    zygote.request(memfd, list.bytes.length);
    const { pid, pidfd } = zygote.waitAnswer();
    close(memfd);
    if (pid < 0) throw new SysError('clone3', -pid);
    try {
      writeValue(`/proc/${pid}/uid_map`, maps.uids);
      writeValue(`/proc/${pid}/gid_map`, maps.gids);
      return ownedFd(open(`/proc/${pid}/ns/user`, O.RDONLY));
    } finally {
      killByPidfd(pidfd);
      waitid(W.P_PIDFD, pidfd, 0);
      close(pidfd);
    }
  } finally {
    program[Symbol.dispose]?.();
    for (const fd of [outcome.read, outcome.write, hold.read, hold.write]) close(fd);
  }
}
