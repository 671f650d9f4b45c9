/**
 * Our nftables tables in the kernel. What should be there is kept here and written as a whole by `apply` (after a start
 * or a flush by others) through libnftables in this process, by the element otherwise. One context is kept: making it
 * costs more than a call.
 */
import { NETLINK_NETFILTER, NetlinkError, NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { portBatch } from './elements.ts';
import { NftablesSession } from './session.ts';
import {
  deleteText,
  type FirewallBridge,
  type FirewallPort,
  type FirewallPublished,
  publishedText,
  wholeText,
} from './tables.ts';

const keyOf = (port: FirewallPublished): string => JSON.stringify(port);

export class Firewall implements Disposable {
  /** Name of both tables: `berth`, or with the data root's six digits. */
  readonly table: string;
  readonly #bridges = new Map<string, FirewallBridge>();
  readonly #ports = new Map<string, FirewallPort>();
  readonly #published = new Map<string, FirewallPublished>();
  readonly #session = new NftablesSession();
  readonly #netfilter: NetlinkSocket;
  #disposed = false;

  /** Writes nothing. Errors: unavailable when libnftables is missing. */
  constructor(options: { readonly suffix?: string } = {}) {
    this.table = options.suffix === undefined ? 'berth' : `berth-${options.suffix}`;
    this.#netfilter = new NetlinkSocket(undefined, NETLINK_NETFILTER);
  }

  /** Takes the bridge into the state; `apply` writes it. */
  setBridge(bridge: FirewallBridge): void {
    this.#bridges.set(bridge.name, bridge);
  }

  /** Takes the bridge out of the state; `apply` writes it. */
  forgetBridge(name: string): void {
    this.#bridges.delete(name);
  }

  /** Takes ports that are there already into the state; `apply` writes them. */
  setPorts(ports: readonly FirewallPort[]): void {
    for (const port of ports) this.#ports.set(port.link, port);
  }

  /** As `setPorts`, of ports of the host. */
  setPublished(ports: readonly FirewallPublished[]): void {
    for (const port of ports) this.#published.set(keyOf(port), port);
  }

  /** Makes the kernel's tables what the state says, in one transaction. */
  apply(): void {
    const state = {
      bridges: [...this.#bridges.values()],
      ports: [...this.#ports.values()],
      published: [...this.#published.values()],
    };
    this.#session.run('write the firewall table', wholeText(this.table, state));
  }

  /** Guards a port before it can send anything. Idempotent. */
  addPort(port: FirewallPort): void {
    if (this.#ports.has(port.link)) return;
    this.#ports.set(port.link, port);
    this.#change(port, 'add');
  }

  /** Idempotent; a port that this daemon does not know is nothing. */
  removePort(link: string): void {
    const port = this.#ports.get(link);
    if (port === undefined) return;
    this.#ports.delete(link);
    this.#change(port, 'delete');
  }

  /** A change that the tables do not take (somebody has flushed them) is made by writing them anew. */
  #change(port: FirewallPort, verb: 'add' | 'delete'): void {
    const { begin, requests, end } = portBatch(this.table, port, verb);
    try {
      this.#netfilter.runBatch(begin, requests, end);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      this.apply();
    }
  }

  /** All or none. Preconditions: nobody else has these ports of the host. */
  publish(ports: readonly FirewallPublished[]): void {
    if (ports.length === 0) return;
    this.#session.run('publish ports', publishedText(this.table, ports, 'add'));
    this.setPublished(ports);
  }

  /** Idempotent. */
  unpublish(ports: readonly FirewallPublished[]): void {
    const present = ports.filter((port) => this.#published.delete(keyOf(port)));
    if (present.length === 0) return;
    try {
      this.#session.run('take ports back', publishedText(this.table, present, 'delete'));
    } catch (err) {
      log.info('published ports were not in the table any more', { table: this.table, err });
      this.apply();
    }
  }

  /** Takes both tables away. */
  remove(): void {
    this.#session.run('remove the firewall table', deleteText(this.table));
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#session[Symbol.dispose]();
    this.#netfilter[Symbol.dispose]();
  }
}
