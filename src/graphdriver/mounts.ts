/** Live mounts of read-write layers: every caller gets a descriptor of its own, of one and the same mount. */
import { conflict, invalidParameter } from '#errdefs/errors.ts';
import { isErrno } from '#sys/errno.ts';
import { close, dup, type OwnedFd, ownedFd } from '#sys/files.ts';
import { bindDetached, idMapMount } from '#sys/mounts.ts';
import type { LayerMount } from './driver.ts';

interface Live {
  /** A descriptor of some holder; valid while count > 0. */
  readonly fds: Set<number>;
  readonly mapped: boolean;
}

/** A detached copy of the mount at `path` with the maps of a user namespace. */
export function idMapped(path: string, usernsFd: number): OwnedFd {
  using copy = ownedFd(bindDetached(path));
  try {
    idMapMount(copy.fd, usernsFd);
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'EOPNOTSUPP', 'EPERM')) throw error;
    throw invalidParameter(
      `Cannot give the layers in "${path}" the ids of a user namespace: its file system or this kernel has no id-mapped mounts`,
      { cause: error },
    );
  }
  return ownedFd(copy.release());
}

export class LiveMounts {
  readonly #live = new Map<string, Live>();

  /** A further descriptor of the id's mount, or the first one, which `make` makes. */
  open(id: string, mapped: boolean, make: () => number): LayerMount {
    const live = this.#live.get(id) ?? { fds: new Set<number>(), mapped };
    if (live.mapped !== mapped) throw conflict(`layer "${id}" is mounted with other ids`);
    const [existing] = live.fds;
    const fd = existing === undefined ? make() : dup(existing);
    live.fds.add(fd);
    this.#live.set(id, live);
    return mountOf(fd, () => {
      live.fds.delete(fd);
      if (live.fds.size === 0) this.#live.delete(id);
    });
  }

  has(id: string): boolean {
    return this.#live.has(id);
  }
}

/** A mount that is closed once. */
export function mountOf(fd: number, closed: () => void = () => undefined): LayerMount {
  let open = true;
  return {
    fd,
    [Symbol.dispose]: () => {
      if (!open) return;
      open = false;
      closed();
      close(fd);
    },
  };
}
