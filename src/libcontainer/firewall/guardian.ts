/**
 * Repairs our tables when others flush them: listens to nftables' own notifications, without a timer. When the kernel
 * says that it lost some (ENOBUFS), everything is written anew and a new socket made. What does not concern us does not
 * come: the kernel asks monitor-filter.ts.
 */
import { log } from '#pkg/log/log.ts';
import { decodeMessages } from '#libcontainer/netlink/codec.ts';
import { NETLINK_NETFILTER } from '#libcontainer/netlink/socket.ts';
import { close } from '#sys/files.ts';
import { SOCKET } from '#sys/numbers.ts';
import { attachFilter, netlinkSocket, setsockopt } from '#sys/sockets.ts';
import { ForeignChanges, type Taken } from './changes.ts';
import { placeNames } from './foreign.ts';
import { monitorFilter } from './monitor-filter.ts';

const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NFNLGRP_NFTABLES = 7;
const SO_RCVBUFFORCE = 33;
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** A host where something flushes in a loop: give up rather than fight. */
const REPAIRS_PER_MINUTE_MAX = 60;
/** Programs like dockerd and ufw write their rules in hundreds of transactions. */
const QUIET_MS = 300;
/** The end of a transaction of ours comes right behind it. */
const END_MS = 20;

export class FirewallGuardian implements Disposable {
  readonly #table: string;
  readonly #repair: () => void;
  readonly #moved: () => void;
  readonly #repairs: number[] = [];
  #quiet: NodeJS.Timeout | undefined;
  #undecided: NodeJS.Timeout | undefined;
  #reader: { cancel(): Promise<void> } | undefined;
  #stopped = false;

  /**
   * `repair` writes the tables anew; it is called after each foreign transaction that took something of them. `moved` is
   * called when others have changed what packets meet, once they are done.
   */
  constructor(table: string, repair: () => void, moved: () => void = () => undefined) {
    this.#table = table;
    this.#repair = repair;
    this.#moved = moved;
    void this.#run();
  }

  async #run(): Promise<void> {
    let lost = false;
    while (!this.#stopped) {
      const fd = netlinkSocket(NETLINK_NETFILTER);
      let listens = false;
      try {
        setsockopt(fd, SOCKET.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
        this.#listenLess(fd);
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES);
        // Only now: what happens while the tables are written is heard.
        if (lost && !this.#attempt()) return;
        listens = true;
        await this.#listen(fd);
        return;
      } catch (err) {
        log.warn('notifications of nftables were lost', { table: this.#table, err });
        lost = true;
        // Counted: where no socket can listen this ends.
        if (!listens && !this.#attempt()) return;
      } finally {
        close(fd);
      }
    }
  }

  #listenLess(fd: number): void {
    try {
      attachFilter(fd, monitorFilter(this.#table, process.pid));
    } catch (err) {
      log.debug('notifications of nftables come unfiltered', { err });
    }
  }

  async #listen(fd: number): Promise<void> {
    const changes = new ForeignChanges(this.#table, process.pid, placeNames);
    const reader = Bun.file(fd).stream().getReader();
    this.#reader = reader;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (this.#stopped) return;
      if (!this.#act(changes.take(decodeMessages(part.value)))) return;
      if (changes.isUndecided) this.#undecided ??= setTimeout(() => this.#settle(changes), END_MS);
    }
  }

  #settle(changes: ForeignChanges): void {
    this.#undecided = undefined;
    if (!this.#act(changes.settle())) void this.#reader?.cancel();
  }

  /** False when it is to stop. */
  #act({ damaged, moved }: Taken): boolean {
    if (moved) this.#waitForQuiet();
    return !damaged || this.#attempt();
  }

  /** From the first change on, not from the last: a host that is never quiet is looked at all the same. */
  #waitForQuiet(): void {
    this.#quiet ??= setTimeout(() => {
      this.#quiet = undefined;
      if (!this.#stopped) this.#moved();
    }, QUIET_MS);
  }

  /** False when it is to stop. */
  #attempt(): boolean {
    if (this.#stopped) return false;
    const now = performance.now();
    while ((this.#repairs[0] ?? now) < now - 60_000) this.#repairs.shift();
    if (this.#repairs.push(now) > REPAIRS_PER_MINUTE_MAX) {
      log.error('the firewall table is flushed again and again: no longer repaired', { table: this.#table });
      return false;
    }
    try {
      this.#repair();
      log.warn('the firewall table was changed by another program and has been written anew', { table: this.#table });
    } catch (err) {
      log.error('cannot repair the firewall table', { table: this.#table, err });
    }
    return true;
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    clearTimeout(this.#quiet);
    clearTimeout(this.#undecided);
    void this.#reader?.cancel();
  }
}
