/**
 * Bridges of networks that are gone. Deleting a link keeps the kernel busy for tens of milliseconds, in which nobody makes
 * another one: so they are put aside at once, under another name and in a group of ours, and the whole group is deleted in
 * one piece a little later, by a child. What a crash leaves is found by the group.
 */
import { randomBytes } from 'node:crypto';
import { deleteGroup, discardLink, setLinkUp } from '#libcontainer/netlink/rtnetlink.ts';
import { isNetlinkErrno, type NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { deleteAside } from './link-aside.ts';
import { linkNameOf } from './link-name.ts';

/** Long enough for a client that removes networks one by one, or makes one again. */
const REST_MS = 250;
/** Groups are the host's: each data root has one of its own. */
const GROUP_BASE = 0x6200_0000;

export class LinkTrash implements Disposable {
  readonly #host: NetlinkSocket;
  readonly #suffix: string | undefined;
  readonly #group: number;
  #timer: NodeJS.Timeout | undefined;
  #emptied: PromiseWithResolvers<void> | undefined;

  constructor(host: NetlinkSocket, suffix: string | undefined) {
    this.#host = host;
    this.#suffix = suffix;
    this.#group = GROUP_BASE + Number.parseInt(suffix ?? '0', 16);
  }

  /** Its name and network are free for others when this returns; the promise settles when it is gone. */
  put(index: number): Promise<void> {
    const name = linkNameOf(randomBytes(8).toString('hex'), this.#suffix);
    this.#host.run(setLinkUp(index, false), discardLink({ index, name, group: this.#group }));
    this.#emptied ??= Promise.withResolvers<void>();
    this.#timer ??= setTimeout(() => void this.#empty(), REST_MS);
    return this.#emptied.promise;
  }

  async #empty(): Promise<void> {
    const emptied = this.#emptied;
    this.#timer = undefined;
    this.#emptied = undefined;
    try {
      await deleteAside(deleteGroup(this.#group));
      emptied?.resolve();
    } catch (error) {
      emptied?.reject(error);
    }
  }

  /** At a start of the daemon. */
  sweep(): void {
    try {
      this.#host.run(deleteGroup(this.#group));
      log.info('deleted bridges of networks that are gone', { group: this.#group });
    } catch (error) {
      if (!isNetlinkErrno(error, 'ENODEV')) throw error;
    }
  }

  /** What is still there the next start sweeps. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
