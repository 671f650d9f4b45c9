/** Live mounts of read-write layers: every caller gets a descriptor of its own, of one and the same mount. */
import { close, dup } from '#sys/files.ts';
import type { LayerMount } from './driver.ts';

interface Live {
  /** A descriptor of some holder; valid while count > 0. */
  readonly fds: Set<number>;
}

export class LiveMounts {
  readonly #live = new Map<string, Live>();

  /** A further descriptor of the id's mount, or the first one, which `make` makes. */
  open(id: string, make: () => number): LayerMount {
    const live = this.#live.get(id) ?? { fds: new Set<number>() };
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
