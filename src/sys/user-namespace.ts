/**
 * User namespaces that nobody lives in: they only hold the maps of id-mapped mounts. One is made by a child that is ended
 * as soon as we have its descriptor; the namespace lives as long as that descriptor or a mount that was given it.
 */
import { close, open, type OwnedFd, ownedFd, type Pipe, pipe2 } from './files.ts';
import { writeValue } from './host-files.ts';
import { CLONE, NR, O } from './numbers.ts';
import { Program } from './program.ts';
import { patchSources } from './zygote/launch.ts';
import { ownChild, ownZygote } from './zygote/own.ts';
import { ARENA_BYTES } from './zygote/zygote.ts';

export interface UserNamespaceMaps {
  /** Lines of /proc/PID/uid_map: `inside outside count`. */
  readonly uids: string;
  readonly gids: string;
}

/** Descriptor of a new user namespace with these maps. Main thread only; blocks for about half a millisecond. */
export function userNamespace(maps: UserNamespaceMaps): OwnedFd {
  using program = new Program();
  using outcome = ownedPipe();
  using hold = ownedPipe();
  // Nobody writes into the pipe: the child waits until its end, which comes when we close it or die.
  program.do('wait', NR.read, program.fd(hold.read), program.alloc(8), 1);
  program.do('end', NR.exit_group, 0);
  const list = program.serialize(ownZygote().base, ARENA_BYTES, CLONE.NEWUSER);
  patchSources(list.bytes, list, [outcome.write, ...list.descriptors]);
  using child = ownChild(list.bytes);
  // Before the child is waited for: it ends also where it cannot be killed.
  using _ = hold;
  writeValue(`/proc/${child.pid}/uid_map`, maps.uids);
  writeValue(`/proc/${child.pid}/gid_map`, maps.gids);
  return ownedFd(open(`/proc/${child.pid}/ns/user`, O.RDONLY));
}

function ownedPipe(): Pipe & Disposable {
  const pipe = pipe2();
  let open = true;
  return {
    ...pipe,
    [Symbol.dispose]: () => {
      if (!open) return;
      open = false;
      close(pipe.read);
      close(pipe.write);
    },
  };
}
