/** What all bridges of a daemon share: the host's netlink socket, our nftables tables and their guardian, host ports. */
import { Firewall, type Rules } from '#libcontainer/firewall/firewall.ts';
import { FirewallGuardian } from '#libcontainer/firewall/guardian.ts';
import type { FirewallPolicy } from '#libcontainer/firewall/state.ts';
import type { Subnet, Subnet6 } from '#libcontainer/netlink/ip.ts';
import { NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { bounceOf, ensureBounce, hasBounce } from './bounce.ts';
import { networksInUse, networksInUse6 } from './bridge-link.ts';
import type { Families } from './driver.ts';
import { LingeringLinks } from './link-aside.ts';
import { LinkTrash } from './link-trash.ts';
import { HostPorts } from './host-ports.ts';
import { NoFirewall } from './no-firewall.ts';
import { type AddressPoolOption, choosePool, choosePool6, defaultPools } from './pools.ts';
import { PortProxy } from './proxy/proxy.ts';

export class BridgeHost implements Disposable {
  /** Six hex digits for any but the default data root: names of links and of the tables carry them. */
  readonly suffix: string | undefined;
  /** Networks that are given unasked. */
  readonly pools: readonly AddressPoolOption[];
  readonly netlink = new NetlinkSocket();
  readonly lingering = new LingeringLinks(this.netlink);
  readonly trash: LinkTrash;
  /** Called when others had emptied the tables and they are there again. */
  repaired: () => void = () => undefined;
  readonly firewall: Rules;
  /** Families whose published ports no rule leads: the proxy does. */
  readonly proxied: Families;
  readonly proxy = new PortProxy();
  readonly ports: HostPorts;
  /** Bridges that look again at the chains of others when those have changed. */
  readonly lookers = new Set<() => void>();
  #guardian: FirewallGuardian | undefined;

  /** `policy` 'none': no rules of ours. Touches nothing else. Errors: unavailable when libnftables is missing. */
  constructor(
    suffix: string | undefined,
    pools: readonly AddressPoolOption[] = [],
    policy: FirewallPolicy | 'none' = {},
  ) {
    this.suffix = suffix;
    this.trash = new LinkTrash(this.netlink, suffix);
    this.pools = pools.length === 0 ? defaultPools : pools;
    const none = policy === 'none';
    this.proxied = { four: none, six: none || policy.ip6 === false };
    this.firewall = none
      ? new NoFirewall(suffix)
      : new Firewall({ policy, ...(suffix === undefined ? {} : { suffix }) });
    this.ports = new HostPorts((hostIp) => this.isProxied(hostIp));
  }

  isProxied(hostIp: string): boolean {
    return hostIp.includes(':') ? this.proxied.six : this.proxied.four;
  }

  /** The first default pool that overlaps neither these nor what this host reaches. Errors: invalid-parameter. */
  chooseSubnet(taken: readonly Subnet[]): Subnet {
    return choosePool(this.pools, [...networksInUse(this.netlink), ...taken]);
  }

  /** The same of IPv6. */
  chooseSubnet6(taken: readonly Subnet6[]): Subnet6 {
    return choosePool6(this.pools, [...networksInUse6(this.netlink), ...taken]);
  }

  /** Before the first port that the firewall of the host judges is published. Idempotent. */
  judge(): void {
    if (this.firewall.judges) return;
    this.#makeBounce();
    this.apply();
  }

  #makeBounce(): void {
    const bounce = bounceOf(this.suffix);
    ensureBounce(this.netlink, bounce);
    this.firewall.setBounce(bounce);
  }

  /** Writes the tables, and from then on repairs them. */
  apply(): void {
    this.#guard();
    this.firewall.apply();
  }

  /** As `apply`, where only bridges have changed. */
  applyBridges(): void {
    // Of a daemon before us: its tables are there, too.
    if (!this.firewall.judges && (this.firewall.wantsJudging || hasBounce(this.netlink, bounceOf(this.suffix))))
      this.#makeBounce();
    this.#guard();
    this.firewall.applyBridges();
  }

  /** Before the tables are written: what others take of them then is noticed. */
  #guard(): void {
    if (this.proxied.four) return;
    const repair = (): void => {
      this.firewall.apply();
      this.repaired();
    };
    const moved = (): void => {
      for (const look of this.lookers) look();
    };
    this.#guardian ??= new FirewallGuardian(this.firewall.table, repair, moved);
  }

  [Symbol.dispose](): void {
    this.#guardian?.[Symbol.dispose]();
    this.firewall[Symbol.dispose]();
    this.lingering[Symbol.dispose]();
    this.trash[Symbol.dispose]();
    this.netlink[Symbol.dispose]();
    this.proxy[Symbol.dispose]();
    this.ports.close();
  }
}
