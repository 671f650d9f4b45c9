/**
 * Our nftables tables in the kernel. What should be there is kept here and written as a whole by `apply` (after a start
 * or a flush by others) through libnftables in this process, by the element otherwise. One context is kept: making it
 * costs more than a call.
 */
import { addressBytes, addressText } from '#libcontainer/netlink/ip.ts';
import { netfilterSocket } from '#libcontainer/netlink/netfilter.ts';
import { NetlinkError } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { changeBatch } from './batch.ts';
import { listChains } from './chains.ts';
import {
  bridgeElements,
  changesBetween,
  closedElement,
  type Element,
  type ElementChange,
  goneElements,
  portElements,
  publishedElements,
} from './elements.ts';
import { closeForeign, type ForeignChains, openForeign } from './foreign.ts';
import {
  chainDeletion,
  egressDeletion,
  egressText,
  type FirewallEgress,
  knownOf,
  knownSetNames,
  policyIdsOf,
} from './egress-text.ts';
import { type FirewallLinked, passesRules } from './linked-text.ts';
import type { Bounce } from './host-firewall-text.ts';
import { NftablesSession } from './session.ts';
import type { FirewallBridge, FirewallPolicy, FirewallPort, FirewallPublished } from './state.ts';
import { deleteText, wholeText } from './tables.ts';

/** Groups of nfnetlink_log are the host's: each daemon has one of its own. */
const LOG_GROUP = { ofDefault: 20_053, first: 20_100, count: 40_000 } as const;

/** Of both tables: `berth`, or with the data root's six digits. */
export const tableNameOf = (suffix: string | undefined): string => (suffix === undefined ? 'berth' : `berth-${suffix}`);

const keyOf = (port: FirewallPublished): string => JSON.stringify(port);

/** What a network driver does with the rules of the host; `NoFirewall` where they are not ours to write. */
export interface Rules extends Disposable {
  readonly table: string;
  setBridge(bridge: FirewallBridge): void;
  forgetBridge(name: string): void;
  applyBridges(): void;
  setPorts(ports: readonly FirewallPort[]): void;
  setPublished(ports: readonly FirewallPublished[]): void;
  apply(): void;
  addPort(port: FirewallPort): void;
  removePort(link: string): void;
  publish(ports: readonly FirewallPublished[]): void;
  unpublish(ports: readonly FirewallPublished[]): void;
  republish(before: readonly FirewallPublished[], after: readonly FirewallPublished[]): void;
  readonly wantsJudging: boolean;
  readonly judges: boolean;
  readonly logGroup: number;
  setBounce(bounce: Bounce): void;
  setEgress(policies: readonly FirewallEgress[]): void;
  putEgress(egress: FirewallEgress): void;
  removeEgress(id: string): void;
  sweepEgress(): void;
  forgetKnown(ips: readonly string[]): void;
  setLinked(links: readonly FirewallLinked[]): void;
  putLinked(links: readonly FirewallLinked[]): void;
  setClosed(links: readonly string[]): void;
  closePort(link: string): void;
  openPort(link: string): void;
  /** Egress policies hold for IPv6 as well. */
  readonly judgesSix: boolean;
  /** Published ports are translated; else a proxy takes them, to which the host's input chains let in whom they will. */
  readonly translates: boolean;
  ruleset(): unknown;
  /** Has packets of a bridge pass the chains of others, where they offer a place for it. Idempotent. */
  openForeign(bridge: string, ipv6: boolean): ForeignChains;
  /** Takes back what `openForeign` has done. True: firewalld is there, and may have the bridge in a zone. */
  closeForeign(bridge: string): boolean;
  isOwnLink(name: string): boolean;
}

export class Firewall implements Rules {
  /** Name of both tables: `berth`, or with the data root's six digits. */
  readonly table: string;
  readonly #bridges = new Map<string, FirewallBridge>();
  readonly #ports = new Map<string, FirewallPort>();
  readonly #published = new Map<string, FirewallPublished>();
  readonly #egress = new Map<string, FirewallEgress>();
  readonly translates = true;
  #linked: readonly FirewallLinked[] = [];
  readonly #closed = new Set<string>();
  /** What stays on a bridge passes the bridge table only, as it was when that was written. */
  #isBridged = false;
  #bounce: Bounce | undefined;
  /** As the tables were written last by us; undefined: the state may have more than they. */
  #written: { readonly bridges: readonly Element[]; readonly shape: string } | undefined;
  /** The group of nfnetlink_log that refused packets are told to. */
  readonly logGroup: number;
  readonly #session = new NftablesSession();
  readonly #policy: FirewallPolicy;
  #disposed = false;

  /** Writes nothing. Errors: unavailable when libnftables is missing. */
  constructor(options: { readonly suffix?: string; readonly policy?: FirewallPolicy } = {}) {
    this.table = tableNameOf(options.suffix);
    this.#policy = options.policy ?? {};
    const { suffix } = options;
    this.logGroup =
      suffix === undefined ? LOG_GROUP.ofDefault : LOG_GROUP.first + (Number.parseInt(suffix, 16) % LOG_GROUP.count);
  }

  /** Takes the bridge into the state; `applyBridges` writes it. */
  setBridge(bridge: FirewallBridge): void {
    this.#bridges.set(bridge.name, bridge);
  }

  /** Takes the bridge out of the state; `applyBridges` writes it. */
  forgetBridge(name: string): void {
    this.#bridges.delete(name);
  }

  /** Takes ports that are there already into the state; `apply` writes them. */
  setPorts(ports: readonly FirewallPort[]): void {
    for (const port of ports) this.#ports.set(port.link, port);
    this.#written = undefined;
  }

  /** As `setPorts`, of ports of the host. */
  setPublished(ports: readonly FirewallPublished[]): void {
    for (const port of ports) this.#published.set(keyOf(port), port);
    this.#written = undefined;
  }

  /** Makes the kernel's tables what the state says, in one transaction. */
  apply(): void {
    this.#isBridged = [...this.#bridges.values()].some((bridge) => !bridge.interContainer) && !passesRules();
    const state = {
      bridges: [...this.#bridges.values()],
      ports: [...this.#ports.values()],
      published: [...this.#published.values()],
      egress: [...this.#egress.values()],
      linked: this.#linked,
      ...(this.#isBridged ? { closed: [...this.#closed] } : {}),
      logGroup: this.logGroup,
      ...(this.#bounce === undefined ? {} : { bounce: this.#bounce }),
      policy: this.#policy,
    };
    this.#written = undefined;
    this.#session.run('write the firewall table', wholeText(this.table, state));
    this.#written = { bridges: bridgeElements(state.bridges), shape: this.#shape() };
  }

  /** Makes the tables have the bridges of the state: by the element where nothing else of them changes. */
  applyBridges(): void {
    const written = this.#written;
    if (written === undefined || written.shape !== this.#shape()) return this.apply();
    const bridges = bridgeElements([...this.#bridges.values()]);
    const changes = changesBetween(written.bridges, bridges);
    if (changes.length > 0 && this.#changed('the bridges', changes)) this.#written = { ...written, bridges };
  }

  /** One transaction. False: somebody has taken what it builds on, and all was written anew. */
  #changed(what: string, changes: readonly ElementChange[]): boolean {
    try {
      this.#transact(changes);
      return true;
    } catch (err) {
      if (!(err instanceof NetlinkError)) throw err;
      log.info('the firewall table is another than it was', { table: this.table, what, err });
      this.apply();
      return false;
    }
  }

  #transact(changes: readonly ElementChange[]): void {
    netfilterSocket().runBatch(changeBatch(this.table, changes));
  }

  /** What decides which chains and sets there are. */
  #shape(): string {
    const closed = [...this.#bridges.values()].some((bridge) => !bridge.interContainer);
    return JSON.stringify([closed, closed && !passesRules(), this.#egress.size > 0, this.#bounce ?? null]);
  }

  get judgesSix(): boolean {
    return this.#policy.ip6 !== false;
  }

  get judges(): boolean {
    return this.#bounce !== undefined;
  }

  /** A published port is to be judged, whether or not that is possible yet. */
  get wantsJudging(): boolean {
    return [...this.#published.values()].some((port) => port.judged === true);
  }

  /** From now on published ports can be judged; `apply` writes it. Preconditions: the links are there. */
  setBounce(bounce: Bounce): void {
    this.#bounce = bounce;
  }

  /** Takes policies that are in force already into the state; `apply` writes them. */
  setEgress(policies: readonly FirewallEgress[]): void {
    for (const one of policies) this.#egress.set(one.id, one);
    this.#written = undefined;
  }

  /** Takes into the state who may talk where others may not; `apply` writes it. */
  setLinked(links: readonly FirewallLinked[]): void {
    this.#linked = links;
    this.#written = undefined;
  }

  /** As `setLinked`, and writes it when it is another than before. */
  putLinked(links: readonly FirewallLinked[]): void {
    if (JSON.stringify(links) === JSON.stringify(this.#linked)) return;
    this.#linked = links;
    this.apply();
  }

  /** Takes links into the state that are closed already; `apply` writes them. */
  setClosed(links: readonly string[]): void {
    for (const link of links) this.#closed.add(link);
    this.#written = undefined;
  }

  /** What comes in by this link reaches no other of its bridge. Preconditions: the tables know a bridge that is so. */
  closePort(link: string): void {
    this.#closed.add(link);
    this.#changeClosed(link, 'add');
  }

  /** Idempotent. */
  openPort(link: string): void {
    if (this.#closed.delete(link)) this.#changeClosed(link, 'delete');
  }

  #changeClosed(link: string, verb: 'add' | 'delete'): void {
    // br_netfilter comes and goes with other programs of the host.
    if (this.#isBridged === passesRules()) return this.apply();
    if (!this.#isBridged) return;
    this.#changed('closed ports', [{ verb, element: closedElement(link) }]);
  }

  /** Puts a policy in force, or another in its place: in one transaction. */
  putEgress(egress: FirewallEgress): void {
    const before = this.#egress.get(egress.id);
    const first = this.#egress.size === 0;
    this.#egress.set(egress.id, egress);
    try {
      if (first) this.apply();
      else this.#session.run('write the egress policy', egressText(this.table, egress, before));
    } catch (error) {
      if (!first && this.#rewrite()) return;
      if (before === undefined) this.#egress.delete(egress.id);
      else this.#egress.set(egress.id, before);
      throw error;
    }
  }

  /** Others have taken what a change builds on: everything anew, the change with it. False when that fails, too. */
  #rewrite(): boolean {
    try {
      this.apply();
      return true;
    } catch (err) {
      log.info('the firewall tables cannot be written anew', { table: this.table, err });
      return false;
    }
  }

  /** Idempotent. */
  removeEgress(id: string): void {
    const before = this.#egress.get(id);
    if (before === undefined) return;
    this.#egress.delete(id);
    try {
      this.#session.run('take the egress policy back', egressDeletion(this.table, before));
    } catch (err) {
      log.info('an egress policy was not in the table any more', { table: this.table, err });
      this.apply();
    }
  }

  /** What names had led these addresses to: it was another's, or by another policy. */
  forgetKnown(ips: readonly string[]): void {
    if (this.#egress.size === 0) return;
    const from = new Set(ips.map((ip) => addressText(addressBytes(ip))));
    const gone = knownSetNames.flatMap((set) =>
      knownOf(this.#session.json(`list set inet ${this.table} ${set}`), from).map(
        (key) => `delete element inet ${this.table} ${set} { ${key} }\n`,
      ),
    );
    if (gone.length > 0) this.#session.run('forget addresses of names', gone.join(''));
  }

  /** Chains of policies that nobody knows any more: a daemon was killed between a policy's end and its removal. */
  sweepEgress(): void {
    const known = new Set(this.#egress.keys());
    const names = listChains()
      .filter(({ family, table }) => family === 'inet' && table === this.table)
      .map(({ name }) => name);
    const gone = policyIdsOf(names).filter((id) => !known.has(id));
    if (gone.length > 0) this.#session.run('sweep egress policies', chainDeletion(this.table, gone));
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

  #change(port: FirewallPort, verb: ElementChange['verb']): void {
    const changes = portElements(port).map((element) => ({ verb, element }));
    this.#changed('the guard of a port', changes);
  }

  /** All or none. Preconditions: nobody else has these ports of the host. */
  publish(ports: readonly FirewallPublished[]): void {
    if (ports.length === 0) return;
    const elements = publishedElements(ports, this.#policy.directRouting);
    for (const port of ports) this.#published.set(keyOf(port), port);
    try {
      this.#changed(
        'published ports',
        elements.map((element) => ({ verb: 'add', element })),
      );
    } catch (error) {
      for (const port of ports) this.#published.delete(keyOf(port));
      throw error;
    }
  }

  /** Idempotent. */
  unpublish(ports: readonly FirewallPublished[]): void {
    const present = ports.filter((port) => this.#published.delete(keyOf(port)));
    const gone = goneElements(present, [...this.#published.values()], this.#policy.directRouting);
    if (gone.length === 0) return;
    this.#changed(
      'published ports',
      gone.map((element) => ({ verb: 'delete', element })),
    );
  }

  /** The same ports in another way, in one transaction. */
  republish(before: readonly FirewallPublished[], after: readonly FirewallPublished[]): void {
    const { directRouting } = this.#policy;
    const changes = changesBetween(publishedElements(before, directRouting), publishedElements(after, directRouting));
    for (const port of before) this.#published.delete(keyOf(port));
    for (const port of after) this.#published.set(keyOf(port), port);
    if (changes.length > 0) this.#changed('published ports', changes);
  }

  /** All rules of the host, as nft's JSON. */
  ruleset(): unknown {
    return this.#session.json('list ruleset');
  }

  openForeign(bridge: string, ipv6: boolean): ForeignChains {
    return openForeign({ table: this.table, bridge, ipv6 }, this.#session);
  }

  closeForeign(bridge: string): boolean {
    return closeForeign({ table: this.table, bridge });
  }

  /** One of the pair that judged packets take. */
  isOwnLink(name: string): boolean {
    return name === this.#bounce?.out || name === this.#bounce?.back;
  }

  /** Takes our tables away. */
  remove(): void {
    this.#session.run('remove the firewall table', deleteText(this.table));
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#session[Symbol.dispose]();
  }
}
