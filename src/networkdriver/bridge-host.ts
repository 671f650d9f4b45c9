/** What all bridges of a daemon share: the host's netlink socket, our nftables tables and their guardian, host ports. */
import { Firewall } from '#libcontainer/firewall/firewall.ts';
import { FirewallGuardian } from '#libcontainer/firewall/guardian.ts';
import type { Subnet } from '#libcontainer/netlink/ip.ts';
import { NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { bounceOf, ensureBounce, hasBounce } from './bounce.ts';
import { networksInUse } from './bridge-link.ts';
import { HostPorts } from './host-ports.ts';
import { type AddressPoolOption, choosePool, defaultPools } from './pools.ts';

export class BridgeHost implements Disposable {
  /** Six hex digits for any but the default data root: names of links and of the tables carry them. */
  readonly suffix: string | undefined;
  /** Networks that are given unasked. */
  readonly pools: readonly AddressPoolOption[];
  readonly netlink = new NetlinkSocket();
  readonly firewall: Firewall;
  readonly ports = new HostPorts();
  /** Called when others had emptied the tables and they are there again. */
  repaired: () => void = () => undefined;
  #guardian: FirewallGuardian | undefined;

  /** Touches nothing. Errors: unavailable when libnftables is missing. */
  constructor(suffix: string | undefined, pools: readonly AddressPoolOption[] = []) {
    this.suffix = suffix;
    this.pools = pools.length === 0 ? defaultPools : pools;
    this.firewall = new Firewall(suffix === undefined ? {} : { suffix });
  }

  /** The first default pool that overlaps neither these nor what this host reaches. Errors: unavailable. */
  chooseSubnet(taken: readonly Subnet[]): Subnet {
    return choosePool(this.pools, [...networksInUse(this.netlink), ...taken]);
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
    // Of a daemon before us: its tables are there, too.
    if (!this.firewall.judges && (this.firewall.wantsJudging || hasBounce(this.netlink, bounceOf(this.suffix))))
      this.#makeBounce();
    this.firewall.apply();
    this.#guardian ??= new FirewallGuardian(this.firewall.table, () => {
      this.firewall.apply();
      this.repaired();
    });
  }

  [Symbol.dispose](): void {
    this.#guardian?.[Symbol.dispose]();
    this.firewall[Symbol.dispose]();
    this.netlink[Symbol.dispose]();
    this.ports.close();
  }
}
