/**
 * The bridge driver: one bridge on the host, a veth pair for each endpoint, addresses from one pool, address translation
 * and the spoof guard in our nftables tables.
 *
 * The host's end of a pair is made and guarded before the container's end has an address, and it goes with the
 * container's namespace: nothing is deleted on the way of an exit.
 */
import { ok } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { systemError } from '#errdefs/errors.ts';
import { Firewall } from '#libcontainer/firewall/firewall.ts';
import { openForeign } from '#libcontainer/firewall/foreign.ts';
import { FirewallGuardian } from '#libcontainer/firewall/guardian.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import { ipv4Bytes, ipv4Number, ipv4Text, macText, subnetSize, subnetText } from '#libcontainer/netlink/ip.ts';
import {
  addAddress,
  addRoute,
  createVeth,
  deleteLink,
  getLink,
  listLinks,
  setLinkUp,
  withoutLinkLocal,
} from '#libcontainer/netlink/rtnetlink.ts';
import { decodeLink } from '#libcontainer/netlink/rtnetlink-decode.ts';
import { isNetlinkErrno, NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { type BridgeConfig, type BridgeState, ensureBridge, hasIpv6 } from './bridge-link.ts';
import type { Endpoint, EndpointAddress, NetworkDriver } from './driver.ts';
import { AddressPool } from './ipam.ts';
import { isLinkName, linkNameOf } from './link-name.ts';
import { containerNameservers, hostNameservers } from './nameservers.ts';

export interface BridgeOptions extends BridgeConfig {
  readonly networkId: string;
  /** Six hex digits for any but the default data root: names of links and of the table carry them. */
  readonly suffix?: string;
}

/** What /networks and inspect show. */
export interface BridgeFacts {
  readonly name: string;
  readonly subnet: string;
  readonly gateway: string;
  /** What of the host keeps packets from it. */
  readonly warnings: readonly string[];
}

interface Ready extends BridgeState {
  readonly pool: AddressPool;
}

const INSIDE = 'eth0';
const LOOPBACK_INDEX = 1;
/** The first free index of a new namespace. */
const INSIDE_INDEX = 2;

export class BridgeDriver implements NetworkDriver {
  readonly name = 'bridge';
  readonly #options: BridgeOptions;
  readonly #host: NetlinkSocket;
  readonly #firewall: Firewall;
  #ready: Ready | undefined;
  #guardian: FirewallGuardian | undefined;
  #warnings: readonly string[] = [];

  /** Touches nothing. Errors: unavailable when libnftables is missing. */
  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#firewall = new Firewall(options.suffix === undefined ? {} : { suffix: options.suffix });
    this.#host = new NetlinkSocket();
  }

  /** Errors: conflict when the name belongs to a link that is no bridge, or its addresses contradict --bip. */
  async ensure(): Promise<void> {
    const state = ensureBridge(this.#host, this.#options);
    // The pool outlives a repeated call: it knows what is allocated.
    const known = this.#ready;
    const same = known !== undefined && subnetText(known.address.subnet) === subnetText(state.address.subnet);
    const pool = same ? known.pool : new AddressPool(state.address.subnet, [state.address.gateway, ...state.others]);
    this.#firewall.setBridge({
      name: this.#options.bridge,
      subnet: subnetText(state.address.subnet),
      interContainer: true,
    });
    try {
      this.#firewall.apply();
    } catch (error) {
      if (state.made) this.#host.run(deleteLink({ index: state.index }));
      throw error;
    }
    this.#ready = { ...state, pool };
    this.#openForeign();
    this.#guardian ??= new FirewallGuardian(this.#firewall.table, () => this.#firewall.apply());
  }

  /** Firewalls of others refuse what they do not know: what can be opened is, the rest is told. */
  #openForeign(): void {
    const { bridge } = this.#options;
    let dropping: readonly string[] = [];
    try {
      dropping = openForeign(this.#firewall.table, bridge);
    } catch (err) {
      log.warn('cannot look at the firewall rules of others', { bridge, err });
    }
    this.#warnings = dropping.map((chain) => `nftables chain "${chain}" drops packets of bridge "${bridge}"`);
    for (const chain of dropping) log.warn('a firewall of others drops packets of the bridge', { bridge, chain });
  }

  /** Preconditions: ensured. */
  facts(): BridgeFacts {
    const { address } = this.#state();
    return {
      name: this.#options.bridge,
      subnet: subnetText(address.subnet),
      gateway: address.gateway,
      warnings: this.#warnings,
    };
  }

  async allocate(containerId: string): Promise<Endpoint> {
    const { pool, address } = this.#state();
    const ip = pool.allocate();
    return {
      id: randomBytes(32).toString('hex'),
      networkId: this.#options.networkId,
      containerId,
      address: {
        ip,
        prefixLength: address.subnet.prefixLength,
        gateway: address.gateway,
        mac: macText(Uint8Array.of(0x02, 0x42, ...ipv4Bytes(ipv4Number(ip)))),
      },
      nameservers: containerNameservers(hostNameservers()),
    };
  }

  async join(endpoint: Endpoint, gate: NetworkGate): Promise<void> {
    const { index: master } = this.#state();
    const { address } = endpoint;
    ok(address !== undefined, 'an endpoint of a bridge has an address');
    const link = this.#link(endpoint);
    try {
      using inside = new NetlinkSocket(gate.netlink);
      this.#firewall.addPort({ link, mac: address.mac, ip: address.ip });
      const index = this.#makePair({ link, master, address, gate, inside });
      inside.run(
        ...(hasIpv6() ? [withoutLinkLocal(index)] : []),
        setLinkUp(LOOPBACK_INDEX),
        addAddress({ index, ip: address.ip, prefixLength: address.prefixLength, broadcast: broadcastOf(address) }),
        setLinkUp(index),
        addRoute({ index, gateway: address.gateway }),
      );
    } catch (cause) {
      throw systemError(`Cannot connect container to network "bridge": ${String(cause)}`, { cause });
    }
  }

  /** Both ends; the index of the inner one. */
  #makePair(pair: {
    readonly link: string;
    readonly master: number;
    readonly address: EndpointAddress;
    readonly gate: NetworkGate;
    readonly inside: NetlinkSocket;
  }): number {
    const { link, master, address, gate, inside } = pair;
    const mtu = this.#options.mtu;
    const peer = { name: INSIDE, mac: address.mac, namespace: gate.namespace };
    const request = { name: link, master, ...(mtu === undefined ? {} : { mtu }) };
    try {
      this.#host.run(createVeth({ ...request, peer: { ...peer, index: INSIDE_INDEX } }));
      return INSIDE_INDEX;
    } catch (error) {
      // Where tunnel modules put links of their own into new namespaces, index 2 is taken.
      if (!isNetlinkErrno(error, 'EEXIST', 'EBUSY')) throw error;
      this.#host.run(createVeth({ ...request, peer }));
      return decodeLink(inside.get(getLink({ name: INSIDE }))).index;
    }
  }

  /** The link is the kernel's to take, with the namespace. */
  async release(endpoint: Endpoint): Promise<void> {
    this.#firewall.removePort(this.#link(endpoint));
    if (endpoint.address !== undefined) this.#state().pool.release(endpoint.address.ip);
  }

  async restore(alive: readonly Endpoint[]): Promise<void> {
    // Before the table is written: running containers stay guarded throughout.
    this.#firewall.setPorts(
      alive.flatMap((endpoint) =>
        endpoint.address === undefined
          ? []
          : [{ link: this.#link(endpoint), mac: endpoint.address.mac, ip: endpoint.address.ip }],
      ),
    );
    await this.ensure();
    const { pool, index } = this.#state();
    for (const { address, containerId } of alive) {
      if (address === undefined) continue;
      try {
        pool.reserve(address.ip);
      } catch (err) {
        // The container goes on with the address that it has; it is given to nobody else.
        log.warn('address of a running container is not of the bridge', {
          container: containerId,
          ip: address.ip,
          err,
        });
      }
    }
    this.#sweep(new Set(alive.map((endpoint) => this.#link(endpoint))), index);
  }

  /** Links of endpoints that nobody knows: their start was cut off. */
  #sweep(alive: ReadonlySet<string>, bridge: number): void {
    for (const link of this.#host.dump(listLinks, decodeLink)) {
      const ours = link.kind === 'veth' && isLinkName(link.name, this.#options.suffix);
      if (!ours || alive.has(link.name) || (link.master !== bridge && link.master !== 0)) continue;
      log.info('removing a link without a container', { link: link.name });
      try {
        this.#host.run(deleteLink({ index: link.index }));
      } catch (error) {
        if (!isNetlinkErrno(error, 'ENODEV')) throw error; // gone with its namespace meanwhile
      }
    }
  }

  /** Lets go; bridge, table and links of running containers stay. */
  async close(): Promise<void> {
    this.#guardian?.[Symbol.dispose]();
    this.#firewall[Symbol.dispose]();
    this.#host[Symbol.dispose]();
  }

  #link(endpoint: Endpoint): string {
    return linkNameOf(endpoint.id, this.#options.suffix);
  }

  #state(): Ready {
    ok(this.#ready !== undefined, 'the bridge driver is ensured before use');
    return this.#ready;
  }
}

function broadcastOf({ ip, prefixLength }: EndpointAddress): string {
  const size = subnetSize({ first: 0, prefixLength });
  return ipv4Text(Math.floor(ipv4Number(ip) / size) * size + size - 1);
}
