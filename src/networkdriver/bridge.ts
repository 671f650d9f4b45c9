/**
 * The bridge driver: one bridge on the host, a veth pair for each endpoint, addresses from one pool, address translation
 * and the spoof guard in our nftables tables.
 *
 * The host's end of a pair is made and guarded before the container's end has an address, and it goes with the
 * container's namespace: nothing is deleted on the way of an exit.
 */
import { ok } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { messageOf, systemError } from '#errdefs/errors.ts';
import { closeForeign, openForeign } from '#libcontainer/firewall/foreign.ts';
import type { FirewallPort } from '#libcontainer/firewall/tables.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import {
  ipv4Bytes,
  ipv4Number,
  macText,
  type Subnet,
  type Subnet6,
  subnet6Text,
  subnetText,
} from '#libcontainer/netlink/ip.ts';
import {
  addAddress,
  addLoopbackRoute,
  addRoute,
  createVeth,
  deleteLink,
  getLink,
  listLinks,
  setLinkUp,
  setMaster,
  withoutLinkLocal,
} from '#libcontainer/netlink/rtnetlink.ts';
import { decodeLink } from '#libcontainer/netlink/rtnetlink-decode.ts';
import { isNetlinkErrno, NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { broadcastOf, forgetUdp, linkLocalOf, toFirewall } from './bridge-endpoint.ts';
import { BridgeHost } from './bridge-host.ts';
import { type BridgeConfig, type BridgeState, ensureBridge, hasIpv6 } from './bridge-link.ts';
import type {
  Endpoint,
  EndpointAddress,
  EndpointRequest,
  JoinOptions,
  NetworkDriver,
  PortRequest,
  PublishedPort,
} from './driver.ts';
import { AddressPool } from './ipam.ts';
import { AddressPool6 } from './ipam6.ts';
import { isLinkName, linkNameOf } from './link-name.ts';
import { deleteLinkAside } from './link-aside.ts';
import { containerNameservers, hostNameservers } from './nameservers.ts';

export interface BridgeOptions extends BridgeConfig {
  readonly networkId: string;
  /** Shared with other bridges; by default one of its own. */
  readonly host?: BridgeHost;
  /** For a host of its own. */
  readonly suffix?: string;
  /** Parts of the IPv4 network: addresses that are given unasked, and addresses that never are. */
  readonly range?: Subnet;
  readonly reserved?: readonly string[];
  readonly ipv6?: {
    readonly subnet: Subnet6;
    readonly gateway: string;
    readonly range?: Subnet6;
    readonly reserved?: readonly string[];
  };
  /** Containers of the network may talk to each other. Default true. */
  readonly interContainer?: boolean;
  /** Default true. */
  readonly masquerade?: boolean;
  /** Nothing leads in or out. */
  readonly internal?: boolean;
  /** Address of the host on which ports are published that name none. */
  readonly hostBinding?: string;
}

/** What /networks and inspect show. */
export interface BridgeFacts {
  readonly name: string;
  readonly subnet: string;
  readonly gateway: string;
  readonly interContainer: boolean;
  readonly masquerade: boolean;
  readonly hostBinding: string;
  readonly mtu: number;
  /** What of the host keeps packets from it. */
  readonly warnings: readonly string[];
}

interface Ready extends BridgeState {
  readonly pool: AddressPool;
  readonly pool6: AddressPool6 | undefined;
}

const ANY_ADDRESS = '0.0.0.0';
/** The kernel's, of a bridge. */
const MTU_DEFAULT = 1500;
const INSIDE = 'eth0';
const FIRST: JoinOptions = { interface: INSIDE, defaultRoute: true };
const LOOPBACK_INDEX = 1;
/** The first free index of a new namespace. */
const INSIDE_INDEX = 2;

export class BridgeDriver implements NetworkDriver {
  readonly name = 'bridge';
  readonly #options: BridgeOptions;
  readonly #host: BridgeHost;
  #ready: Ready | undefined;
  #warnings: readonly string[] = [];
  /** 127.0.0.1 and ::1 of the host lead to the bridge only once a port asks for it. */
  #loopback = false;

  /** Touches nothing. Errors: unavailable when libnftables is missing. */
  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#host = options.host ?? new BridgeHost(options.suffix);
  }

  /** Errors: conflict when the name belongs to a link that is no bridge, or its addresses contradict --bip. */
  async ensure(): Promise<void> {
    const { bridge, internal = false, interContainer = true, masquerade = true, ipv6 } = this.#options;
    const { netlink } = this.#host;
    const state = ensureBridge(netlink, { pools: this.#host.pools, ...this.#options });
    // The pools outlive a repeated call: they know what is allocated.
    const known = this.#ready;
    const same = known !== undefined && subnetText(known.address.subnet) === subnetText(state.address.subnet);
    try {
      if (ipv6 !== undefined) this.#ensureIpv6(state.index, ipv6);
      this.#host.firewall.setBridge({
        name: bridge,
        subnets: [subnetText(state.address.subnet), ...(ipv6 === undefined ? [] : [subnet6Text(ipv6.subnet)])],
        interContainer,
        internal,
        masquerade,
      });
      this.#host.apply();
    } catch (error) {
      this.#host.firewall.forgetBridge(bridge);
      if (state.made) netlink.run(deleteLink({ index: state.index }));
      throw error;
    }
    this.#ready = same ? { ...state, pool: known.pool, pool6: known.pool6 } : { ...state, ...this.#pools(state) };
    this.#openForeign();
  }

  #ensureIpv6(index: number, { subnet, gateway }: NonNullable<BridgeOptions['ipv6']>): void {
    try {
      this.#host.netlink.run(addAddress({ index, ip: gateway, prefixLength: subnet.prefixLength }));
    } catch (error) {
      if (!isNetlinkErrno(error, 'EEXIST')) throw error;
    }
    writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1');
  }

  #pools(state: BridgeState): Pick<Ready, 'pool' | 'pool6'> {
    const { range, reserved = [], ipv6 } = this.#options;
    return {
      pool: new AddressPool(state.address.subnet, [state.address.gateway, ...state.others, ...reserved], range),
      pool6:
        ipv6 === undefined
          ? undefined
          : new AddressPool6(ipv6.subnet, [ipv6.gateway, ...(ipv6.reserved ?? [])], ipv6.range),
    };
  }

  /** Firewalls of others refuse what they do not know: what can be opened is, the rest is told. */
  #openForeign(): void {
    const { bridge } = this.#options;
    let dropping: readonly string[] = [];
    try {
      dropping = openForeign(this.#host.firewall.table, bridge);
    } catch (err) {
      log.warn('cannot look at the firewall rules of others', { bridge, err });
    }
    this.#warnings = dropping.map((chain) => `nftables chain "${chain}" drops packets of bridge "${bridge}"`);
    for (const chain of dropping) log.warn('a firewall of others drops packets of the bridge', { bridge, chain });
  }

  /** Preconditions: ensured. */
  facts(): BridgeFacts {
    const { address } = this.#state();
    const { interContainer = true, masquerade = true, hostBinding = '', mtu = MTU_DEFAULT } = this.#options;
    return {
      name: this.#options.bridge,
      subnet: subnetText(address.subnet),
      gateway: address.gateway,
      interContainer,
      masquerade,
      hostBinding: hostBinding === '' ? ANY_ADDRESS : hostBinding,
      mtu,
      warnings: this.#warnings,
    };
  }

  /** Errors: conflict when a wanted address is taken; unavailable when all are. */
  async allocate(containerId: string, request: EndpointRequest = {}): Promise<Endpoint> {
    const { pool, pool6, address } = this.#state();
    const { internal = false, ipv6 } = this.#options;
    if (request.ip !== undefined) pool.reserve(request.ip);
    const ip = request.ip ?? pool.allocate();
    const mac = request.mac ?? macText(Uint8Array.of(0x02, 0x42, ...ipv4Bytes(ipv4Number(ip))));
    let ip6: string | undefined;
    try {
      if (pool6 !== undefined) {
        if (request.ip6 !== undefined) pool6.reserve(request.ip6);
        ip6 = request.ip6 ?? pool6.allocate();
      }
    } catch (error) {
      pool.release(ip);
      throw error;
    }
    return {
      id: randomBytes(32).toString('hex'),
      networkId: this.#options.networkId,
      containerId,
      address: {
        ip,
        prefixLength: address.subnet.prefixLength,
        gateway: internal ? '' : address.gateway,
        mac,
      },
      ...(ip6 === undefined || ipv6 === undefined
        ? {}
        : {
            address6: {
              ip: ip6,
              prefixLength: ipv6.subnet.prefixLength,
              gateway: internal ? '' : ipv6.gateway,
              mac,
            },
          }),
      nameservers: containerNameservers(hostNameservers()),
      interface: INSIDE,
      ...(request.unguarded === true ? { unguarded: true } : {}),
    };
  }

  async join(endpoint: Endpoint, gate: NetworkGate, options: JoinOptions = FIRST): Promise<void> {
    const { index: master } = this.#state();
    const { address, address6 } = endpoint;
    ok(address !== undefined, 'an endpoint of a bridge has an address');
    const link = this.#link(endpoint);
    try {
      using inside = new NetlinkSocket(gate.netlink);
      if (endpoint.unguarded !== true) this.#host.firewall.addPort(this.#guarded(endpoint, address));
      const index = this.#makePair({ link, master, address, gate, inside, name: options.interface });
      const { ip, prefixLength } = address;
      inside.run(
        ...(hasIpv6() && address6 === undefined ? [withoutLinkLocal(index)] : []),
        setLinkUp(LOOPBACK_INDEX),
        addAddress({ index, ip, prefixLength, broadcast: broadcastOf(address) }),
        ...(address6 === undefined
          ? []
          : [addAddress({ index, ip: address6.ip, prefixLength: address6.prefixLength })]),
        setLinkUp(index),
        ...[address, address6]
          .map((a) => a?.gateway ?? '')
          .filter((gateway) => gateway !== '' && options.defaultRoute)
          .map((gateway) => addRoute({ index, gateway })),
      );
    } catch (cause) {
      throw systemError(`Cannot connect container to network "bridge": ${messageOf(cause)}`, { cause });
    }
  }

  /** All addresses that may come out of the link, the kernel's own link-local one included. */
  #guarded({ id, address6 }: Endpoint, { ip, mac }: EndpointAddress): FirewallPort {
    const link = linkNameOf(id, this.#host.suffix);
    return { link, mac, ips: [ip, ...(address6 === undefined ? [] : [address6.ip, linkLocalOf(mac)])] };
  }

  /** Both ends; the index of the inner one. */
  #makePair(pair: {
    readonly link: string;
    readonly master: number;
    readonly address: EndpointAddress;
    readonly gate: NetworkGate;
    readonly inside: NetlinkSocket;
    readonly name: string;
  }): number {
    const { link, master, address, gate, inside, name } = pair;
    const mtu = this.#options.mtu;
    const peer = { name, mac: address.mac, namespace: gate.namespace };
    const request = { name: link, master, ...(mtu === undefined ? {} : { mtu }) };
    const { netlink } = this.#host;
    if (name === INSIDE) {
      try {
        netlink.run(createVeth({ ...request, peer: { ...peer, index: INSIDE_INDEX } }));
        return INSIDE_INDEX;
      } catch (error) {
        // Where tunnel modules put links of their own into new namespaces, index 2 is taken.
        if (!isNetlinkErrno(error, 'EEXIST', 'EBUSY')) throw error;
      }
    }
    netlink.run(createVeth({ ...request, peer }));
    return decodeLink(inside.get(getLink({ name }))).index;
  }

  async lead(endpoint: Endpoint, gate: NetworkGate): Promise<void> {
    using inside = new NetlinkSocket(gate.netlink);
    const { index } = decodeLink(inside.get(getLink({ name: endpoint.interface ?? INSIDE })));
    inside.run(
      ...[endpoint.address, endpoint.address6]
        .map((address) => address?.gateway ?? '')
        .filter((gateway) => gateway !== '')
        .map((gateway) => addRoute({ index, gateway })),
    );
  }

  publish(endpoint: Endpoint, requests: readonly PortRequest[]): readonly PublishedPort[] {
    const { address, address6 } = endpoint;
    const taken: PublishedPort[] = [];
    try {
      for (const request of requests) {
        for (const hostIp of this.#hostIpsOf(request.hostIp, address6 !== undefined)) {
          const target = hostIp.includes(':') ? address6 : address;
          if (target === undefined) continue;
          // One port of the host for both families, when any will do.
          const same = taken.find((t) => t.port === request.port && t.protocol === request.protocol);
          const any = request.hostPort === 0 && request.hostIp === '' && same !== undefined;
          const wanted = any ? { ...request, hostPort: same.hostPort, hostPortEnd: same.hostPort } : request;
          taken.push(this.#host.ports.take(wanted, hostIp, target.ip));
        }
      }
      if (taken.length > 0) this.#openLoopback(address6 !== undefined);
      if (taken.some((port) => port.judged === true)) this.#host.judge();
      this.#host.firewall.publish(toFirewall(endpoint, taken));
    } catch (error) {
      for (const port of taken) this.#host.ports.release(port);
      throw error;
    }
    return taken;
  }

  #hostIpsOf(hostIp: string, v6: boolean): string[] {
    if (hostIp !== '') return [hostIp];
    const { hostBinding } = this.#options;
    if (hostBinding !== undefined && hostBinding !== '') return [hostBinding];
    return v6 ? [ANY_ADDRESS, '::'] : [ANY_ADDRESS];
  }

  /** The kernel may lead packets to 127.0.0.1 and ::1 out to this bridge; forged ones are dropped in our chain `raw`. */
  #openLoopback(v6: boolean): void {
    if (this.#loopback) return;
    const { bridge } = this.#options;
    writeFileSync(`/proc/sys/net/ipv4/conf/${bridge}/route_localnet`, '1');
    if (v6) {
      try {
        this.#host.netlink.run(addLoopbackRoute(this.#state().index));
      } catch (error) {
        if (!isNetlinkErrno(error, 'EEXIST')) throw error;
      }
    }
    this.#loopback = true;
  }

  unpublish(endpoint: Endpoint, ports: readonly PublishedPort[]): void {
    this.#host.firewall.unpublish(toFirewall(endpoint, ports));
    for (const port of ports) this.#host.ports.release(port);
    if (ports.some(({ protocol }) => protocol === 'udp')) forgetUdp(endpoint);
  }

  /** The link goes from the bridge at once; deleting it takes the kernel tens of milliseconds, beside us. */
  async leave(endpoint: Endpoint): Promise<void> {
    const link = this.#link(endpoint);
    let index: number;
    try {
      index = decodeLink(this.#host.netlink.get(getLink({ name: link }))).index;
    } catch (error) {
      if (isNetlinkErrno(error, 'ENODEV')) return;
      throw error;
    }
    this.#host.netlink.run(setLinkUp(index, false), setMaster(index, 0));
    await deleteLinkAside(index);
  }

  /** The link is the kernel's to take, with the namespace. */
  async release(endpoint: Endpoint): Promise<void> {
    const { address, address6, ports = [] } = endpoint;
    this.unpublish(endpoint, ports);
    this.#host.firewall.removePort(this.#link(endpoint));
    if (address !== undefined) this.#state().pool.release(address.ip);
    if (address6 !== undefined) this.#state().pool6?.release(address6.ip);
  }

  async restore(alive: readonly Endpoint[]): Promise<void> {
    // Before the table is written: running containers stay guarded throughout.
    const { firewall, ports } = this.#host;
    firewall.setPorts(
      alive.flatMap((endpoint) =>
        endpoint.address === undefined || endpoint.unguarded === true
          ? []
          : [this.#guarded(endpoint, endpoint.address)],
      ),
    );
    firewall.setPublished(alive.flatMap((endpoint) => toFirewall(endpoint, endpoint.ports ?? [])));
    await this.ensure();
    const { pool, pool6, index } = this.#state();
    for (const endpoint of alive) {
      for (const [addresses, of] of [
        [pool, endpoint.address],
        [pool6, endpoint.address6],
      ] as const) {
        if (of === undefined) continue;
        try {
          addresses?.reserve(of.ip);
        } catch (err) {
          // The container goes on with the address that it has; it is given to nobody else.
          const { containerId: container } = endpoint;
          log.warn('address of a running container is not of the bridge', { container, ip: of.ip, err });
        }
      }
      for (const port of endpoint.ports ?? []) ports.restore(port);
      if ((endpoint.ports ?? []).length > 0) this.#openLoopback(endpoint.address6 !== undefined);
    }
    this.#sweep(new Set(alive.map((endpoint) => this.#link(endpoint))), index);
  }

  /** Links of endpoints that nobody knows: their start was cut off. */
  #sweep(alive: ReadonlySet<string>, bridge: number): void {
    for (const link of this.#host.netlink.dump(listLinks, decodeLink)) {
      const ours = link.kind === 'veth' && isLinkName(link.name, this.#host.suffix);
      if (!ours || alive.has(link.name) || (link.master !== bridge && link.master !== 0)) continue;
      log.info('removing a link without a container', { link: link.name });
      try {
        this.#host.netlink.run(deleteLink({ index: link.index }));
      } catch (error) {
        if (!isNetlinkErrno(error, 'ENODEV')) throw error; // gone with its namespace meanwhile
      }
    }
  }

  async remove(): Promise<void> {
    const { bridge } = this.#options;
    const { netlink, firewall } = this.#host;
    firewall.forgetBridge(bridge);
    firewall.apply();
    try {
      closeForeign(firewall.table, bridge);
    } catch (err) {
      log.warn('rules of a bridge stay in the firewall of others', { bridge, err });
    }
    this.#ready = undefined;
    let index: number;
    try {
      index = decodeLink(netlink.get(getLink({ name: bridge }))).index;
    } catch (error) {
      if (isNetlinkErrno(error, 'ENODEV')) return;
      throw error;
    }
    // Its network is free for others at once; the kernel takes its time for the rest.
    netlink.run(setLinkUp(index, false));
    await deleteLinkAside(index);
  }

  /** Lets go; bridge, table and links of running containers stay. */
  async close(): Promise<void> {
    if (this.#options.host === undefined) this.#host[Symbol.dispose]();
  }

  #link(endpoint: Endpoint): string {
    return linkNameOf(endpoint.id, this.#host.suffix);
  }

  #state(): Ready {
    ok(this.#ready !== undefined, 'the bridge driver is ensured before use');
    return this.#ready;
  }
}
