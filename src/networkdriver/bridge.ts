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
import type { Family, FirewallBridge, FirewallPort } from '#libcontainer/firewall/state.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import type { Request } from '#libcontainer/netlink/codec.ts';
import { subnet6Text, subnetText } from '#libcontainer/netlink/ip.ts';
import {
  addAddress,
  createVeth,
  deleteLink,
  getLink,
  isolatePort,
  listLinks,
  setHairpin,
  setLinkUp,
  setMaster,
} from '#libcontainer/netlink/rtnetlink.ts';
import { decodeLink } from '#libcontainer/netlink/rtnetlink-decode.ts';
import { isNetlinkErrno, NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { type Addresses, LocalAddresses } from './addresses.ts';
import { forgetAll, linkLocalOf, toFirewall } from './bridge-endpoint.ts';
import { BridgeHost } from './bridge-host.ts';
import type { BridgeFacts, BridgeOptions, GatewayMode } from './bridge-options.ts';
import { type BridgeState, ensureBridge, findLink } from './bridge-link.ts';
import { BridgePorts } from './bridge-ports.ts';
import {
  BOTH,
  type Endpoint,
  type EndpointRequest,
  type Families,
  type JoinOptions,
  type NetworkDriver,
  type PortRequest,
  type PublishedPort,
} from './driver.ts';
import { defaultRoutes, endpointAddresses, insideRequests, ipsOf, macOf } from './inside.ts';
import { isLinkName, linkNameOf } from './link-name.ts';
import { deleteLinkAside } from './link-aside.ts';
import { containerNameservers, hostNameservers } from './nameservers.ts';

interface Ready extends BridgeState {
  readonly addresses: Addresses;
}

const ANY_ADDRESS = '0.0.0.0';
/** The kernel's, of a bridge. */
const MTU_DEFAULT = 1500;
const INSIDE = 'eth0';
const FIRST: JoinOptions = { interface: INSIDE, defaultRoute: BOTH };
/** The first free index of a new namespace. */
const INSIDE_INDEX = 2;

interface Pair {
  readonly link: string;
  readonly mac: string;
  readonly gate: NetworkGate;
  readonly inside: NetlinkSocket;
  readonly name: string;
}

/** The address that the bridge had: containers have theirs by it. */
const bipOf = (known: Ready | undefined): { readonly bip?: string } =>
  known?.address === undefined ? {} : { bip: `${known.address.gateway}/${known.address.subnet.prefixLength}` };

export class BridgeDriver implements NetworkDriver {
  readonly name = 'bridge';
  readonly #options: BridgeOptions;
  readonly #host: BridgeHost;
  #ready: Ready | undefined;
  #warnings: readonly string[] = [];
  readonly #ports: BridgePorts;
  /** There may be rules of ours in the chains of others. */
  #accepted = true;
  /** Ids of the endpoints that are there. */
  readonly #endpoints = new Set<string>();

  /** Touches nothing. Errors: unavailable when libnftables is missing. */
  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#host = options.host ?? new BridgeHost(options.suffix);
    this.#ports = new BridgePorts(this.#host, options);
  }

  /** Errors: conflict when the name belongs to a link that is no bridge, or its addresses contradict --bip. */
  async ensure(): Promise<void> {
    const { bridge, ipv6, mode4 = 'nat' } = this.#options;
    const { netlink } = this.#host;
    const withoutAddress = this.#options.withoutAddress === true || mode4 === 'isolated';
    // The pools outlive a repeated call: they know what is allocated.
    const known = this.#ready;
    const state = ensureBridge(netlink, {
      pools: this.#host.pools,
      ...bipOf(known),
      ...this.#options,
      withoutAddress,
    });
    const same = known !== undefined && networkOf(known) === networkOf(state);
    try {
      if (ipv6 !== undefined) this.#ensureIpv6(state.index, ipv6);
      this.#host.firewall.setBridge(this.#rules(state));
      this.#host.applyBridges();
    } catch (error) {
      this.#host.firewall.forgetBridge(bridge);
      if (state.made) netlink.run(deleteLink({ index: state.index }));
      throw error;
    }
    this.#ready = { ...state, addresses: same ? known.addresses : this.#addresses(state) };
    await this.#openForeign();
    this.#host.lookers.add(this.#look);
  }

  #rules({ address }: BridgeState): FirewallBridge {
    const { bridge, internal = false, interContainer = true, masquerade = true, ipv6 } = this.#options;
    const { mode4 = 'nat', mode6 = 'nat', sourceAddresses = [], trusted = [] } = this.#options;
    const families = (mode: GatewayMode): Family[] => [
      ...(mode4 === mode ? ['four' as const] : []),
      ...(mode6 === mode ? ['six' as const] : []),
    ];
    return {
      name: bridge,
      subnets: [
        ...(address === undefined ? [] : [subnetText(address.subnet)]),
        ...(ipv6 === undefined ? [] : [subnet6Text(ipv6.subnet)]),
      ],
      interContainer,
      internal,
      masquerade: masquerade && mode4.startsWith('nat'),
      masquerade6: masquerade && mode6.startsWith('nat'),
      open: families('nat-unprotected'),
      routed: families('routed'),
      sourceAddresses: masquerade
        ? sourceAddresses.filter((ip) => (ip.includes(':') ? mode6 : mode4).startsWith('nat'))
        : [],
      trusted,
    };
  }

  #ensureIpv6(index: number, { subnet, gateway }: NonNullable<BridgeOptions['ipv6']>): void {
    if (this.#options.mode6 !== 'isolated') {
      try {
        this.#host.netlink.run(addAddress({ index, ip: gateway, prefixLength: subnet.prefixLength }));
      } catch (error) {
        if (!isNetlinkErrno(error, 'EEXIST')) throw error;
      }
    }
    if (this.#options.keepForwarding !== true) writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1');
  }

  #addresses({ address, others }: BridgeState): Addresses {
    const { addresses, range, reserved = [], ipv6, gateway4, gateway6 } = this.#options;
    if (addresses !== undefined) return addresses;
    const given = (ip: string | undefined): string[] => (ip === undefined ? [] : [ip]);
    const four = address && {
      subnet: address.subnet,
      reserved: [address.gateway, ...others, ...reserved, ...given(gateway4)],
      ...(range === undefined ? {} : { range }),
    };
    const six = ipv6 && { ...ipv6, reserved: [ipv6.gateway, ...(ipv6.reserved ?? []), ...given(gateway6)] };
    return new LocalAddresses(four === undefined ? [] : [four], six === undefined ? [] : [six], this.#options.shown);
  }

  readonly #look = (): void => void this.#openForeign();

  /** Firewalls of others refuse what they do not know: what can be opened is, the rest is told. */
  async #openForeign(): Promise<void> {
    if (this.#host.proxied.four) return;
    const { bridge } = this.#options;
    let dropping: readonly string[] = [];
    this.#accepted = true;
    const look = () => this.#host.firewall.openForeign(bridge, this.#options.ipv6 !== undefined);
    try {
      let found = look();
      if (found.firewalld && (await (await import('./firewalld.ts')).joinFirewalld(bridge))) found = look();
      dropping = found.dropping;
      this.#accepted = found.accepted;
    } catch (err) {
      log.warn('cannot look at the firewall rules of others', { bridge, err });
    }
    const known = this.#warnings.length;
    this.#warnings = dropping.map((chain) => `nftables chain "${chain}" drops packets of bridge "${bridge}"`);
    if (known === dropping.length) return;
    for (const chain of dropping) log.warn('a firewall of others drops packets of the bridge', { bridge, chain });
  }

  /** True: firewalld is there, and may have the bridge in a zone. */
  #closeForeign(): boolean {
    if (this.#host.proxied.four || !this.#accepted) return false;
    const { bridge } = this.#options;
    try {
      return this.#host.firewall.closeForeign(bridge);
    } catch (err) {
      log.warn('rules of a bridge stay in the firewall of others', { bridge, err });
      return false;
    }
  }

  /** Preconditions: ensured. */
  facts(): BridgeFacts {
    const { address } = this.#state();
    const { interContainer = true, masquerade = true, hostBinding = '', mtu = MTU_DEFAULT, ipv6 } = this.#options;
    return {
      name: this.#options.bridge,
      subnet: address === undefined ? '' : subnetText(address.subnet),
      gateway: address?.gateway ?? '',
      ipv6: ipv6 === undefined ? undefined : { subnet: subnet6Text(ipv6.subnet), gateway: ipv6.gateway },
      interContainer,
      masquerade,
      hostBinding: hostBinding === '' ? ANY_ADDRESS : hostBinding,
      mtu,
      warnings: this.#warnings,
    };
  }

  /** Errors: conflict when a wanted address is taken; unavailable when all are. */
  async allocate(containerId: string, request: EndpointRequest = {}): Promise<Endpoint> {
    const { addresses } = this.#state();
    const given = await addresses.allocate(request);
    const endpoint: Endpoint = {
      id: randomBytes(32).toString('hex'),
      networkId: this.#options.networkId,
      containerId,
      ...endpointAddresses(given, macOf(request, given), this.#gateways()),
      ...(request.linkLocal === undefined ? {} : { linkLocal: request.linkLocal }),
      nameservers: containerNameservers(hostNameservers()),
      interface: INSIDE,
      ...(request.unguarded === true ? { unguarded: true } : {}),
    };
    this.#endpoints.add(endpoint.id);
    return endpoint;
  }

  #gateways(): { readonly four: string; readonly six: string } {
    const { internal = false, gateway4, gateway6, ipv6 } = this.#options;
    if (internal) return { four: '', six: '' };
    return { four: gateway4 ?? this.#state().address?.gateway ?? '', six: gateway6 ?? ipv6?.gateway ?? '' };
  }

  async join(endpoint: Endpoint, gate: NetworkGate, options: JoinOptions = FIRST): Promise<undefined> {
    const link = this.#link(endpoint);
    try {
      using inside = new NetlinkSocket(gate.netlink);
      const port = this.#guarded(endpoint);
      if (this.#isClosed()) this.#host.firewall.closePort(link);
      if (endpoint.unguarded !== true) this.#host.firewall.addPort(port);
      const pair = { link, mac: port.mac, gate, inside, name: options.interface };
      const index = await this.#makePairAnyhow(pair);
      this.#isolate(link);
      this.#equip(inside, pair, index, (at) => insideRequests(at, endpoint, options.defaultRoute));
    } catch (cause) {
      throw systemError(`Cannot connect container to network "bridge": ${messageOf(cause)}`, { cause });
    }
  }

  /** Who had an eth0 before gets another index than was asked for, and the kernel says nothing: the name finds it then. */
  #equip(inside: NetlinkSocket, { name }: Pair, index: number, requests: (index: number) => Request[]): void {
    try {
      inside.run(...requests(index));
    } catch (error) {
      if (index !== INSIDE_INDEX || !isNetlinkErrno(error, 'ENODEV')) throw error;
      inside.run(...requests(decodeLink(inside.get(getLink({ name }))).index));
    }
  }

  /** All addresses that may come out of the link, the kernel's own link-local one included. */
  #guarded(endpoint: Endpoint): FirewallPort {
    const { id, address, address6 } = endpoint;
    const mac = (address ?? address6)?.mac;
    ok(mac !== undefined, 'an endpoint of a bridge has an address');
    const link = linkNameOf(id, this.#host.suffix);
    const own = [...ipsOf(endpoint), ...(endpoint.linkLocal ?? [])];
    return { link, mac, ips: [...own, ...(address6 === undefined ? [] : [linkLocalOf(mac)])] };
  }

  /** Where no rule of ours keeps containers apart. */
  #isolate(link: string): void {
    const ruled = !this.#host.proxied.four;
    if (this.#isClosed() && !ruled) this.#host.netlink.run(isolatePort(link));
  }

  #isClosed(): boolean {
    return this.#options.interContainer === false;
  }

  async #makePairAnyhow(pair: Pair): Promise<number> {
    try {
      return this.#makePair(pair);
    } catch (error) {
      if (!isNetlinkErrno(error, 'EINVAL', 'ENODEV') || !(await this.#heal())) throw error;
      // The attempt that failed had index 2, and the kernel gives none twice.
      return this.#makePair(pair, false);
    }
  }

  /** A bridge that somebody has deleted is made anew, with all that was on it. False: it is there. */
  async #heal(): Promise<boolean> {
    const { bridge, ipv6 } = this.#options;
    if (findLink(this.#host.netlink, bridge)?.index === this.#state().index) return false;
    log.warn('the bridge was deleted by somebody and is made anew', { bridge });
    await this.ensure();
    const { index } = this.#state();
    this.#reattach(index);
    this.#ports.reopen(index, ipv6 !== undefined);
    this.#options.remade?.();
    return true;
  }

  /** Links of our endpoints that are in no bridge. */
  #reattach(bridge: number): void {
    const { netlink, suffix } = this.#host;
    for (const id of this.#endpoints) {
      const link = findLink(netlink, linkNameOf(id, suffix));
      if (link === undefined || link.master !== 0) continue;
      log.info('putting a link back into its bridge', { link: link.name });
      netlink.run(setMaster(link.index, bridge), setHairpin(link.name));
      this.#isolate(link.name);
    }
  }

  /** Both ends; the index of the inner one. `first`: nothing but the loopback was in the namespace ever. */
  #makePair({ link, mac, gate, inside, name }: Pair, first = name === INSIDE): number {
    const { index: master } = this.#state();
    const mtu = this.#options.mtu;
    const peer = { name, mac, namespace: gate.namespace };
    const request = { name: link, master, ...(mtu === undefined ? {} : { mtu }) };
    const { netlink } = this.#host;
    if (first) {
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

  async lead(endpoint: Endpoint, gate: NetworkGate, families: Families = BOTH): Promise<void> {
    using inside = new NetlinkSocket(gate.netlink);
    const { index } = decodeLink(inside.get(getLink({ name: endpoint.interface ?? INSIDE })));
    inside.run(...defaultRoutes(index, endpoint, families));
  }

  publish(endpoint: Endpoint, requests: readonly PortRequest[], families: Families = BOTH): readonly PublishedPort[] {
    return this.#ports.publish(endpoint, requests, { families, index: this.#state().index });
  }

  unpublish(endpoint: Endpoint, ports: readonly PublishedPort[]): void {
    this.#ports.unpublish(endpoint, ports);
  }

  rejudge(endpoint: Endpoint, before: readonly PublishedPort[], after: readonly PublishedPort[]): void {
    this.#ports.rejudge(endpoint, before, after);
  }

  guard(endpoint: Endpoint): void {
    if (endpoint.unguarded === true) this.#host.firewall.removePort(this.#link(endpoint));
    else this.#host.firewall.addPort(this.#guarded(endpoint));
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
    forgetAll(endpoint);
    await deleteLinkAside(index);
  }

  /** The link is the kernel's to take, with the namespace. */
  async release(endpoint: Endpoint): Promise<void> {
    this.#ports.unpublish(endpoint, endpoint.ports ?? [], true);
    this.#host.firewall.removePort(this.#link(endpoint));
    this.#host.firewall.openPort(this.#link(endpoint));
    this.#endpoints.delete(endpoint.id);
    this.#host.lingering.expectGone(this.#link(endpoint));
    await this.#state().addresses.release(ipsOf(endpoint));
  }

  async restore(alive: readonly Endpoint[], everywhere: readonly Endpoint[] = alive): Promise<void> {
    // Before the table is written: running containers stay guarded throughout.
    const { firewall } = this.#host;
    firewall.setPorts(alive.filter((e) => ipsOf(e).length > 0 && e.unguarded !== true).map((e) => this.#guarded(e)));
    if (this.#isClosed()) firewall.setClosed(alive.map((endpoint) => this.#link(endpoint)));
    firewall.setPublished(alive.flatMap((endpoint) => toFirewall(endpoint, this.#ports.ruled(endpoint.ports ?? []))));
    this.#host.trash.sweep();
    await this.ensure();
    const { addresses, index } = this.#state();
    for (const endpoint of alive) {
      this.#endpoints.add(endpoint.id);
      for (const ip of ipsOf(endpoint)) {
        try {
          await addresses.reserve(ip);
        } catch (err) {
          // The container goes on with the address that it has; it is given to nobody else.
          log.warn('address of a running container is not of the bridge', { container: endpoint.containerId, ip, err });
        }
      }
      this.#ports.restore(endpoint, index);
    }
    this.#reattach(index);
    // A link that is in no bridge may be another network's, whose bridge is yet to be made again.
    this.#sweep(new Set(everywhere.map((endpoint) => this.#link(endpoint))), index);
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
    firewall.applyBridges();
    this.#host.lookers.delete(this.#look);
    if (this.#closeForeign()) await (await import('./firewalld.ts')).leaveFirewalld(bridge);
    this.#ready = undefined;
    let index: number;
    try {
      index = decodeLink(netlink.get(getLink({ name: bridge }))).index;
    } catch (error) {
      if (!isNetlinkErrno(error, 'ENODEV')) throw error;
      // A removal that was cut off has got further than this.
      this.#host.trash.sweep();
      return;
    }
    await this.#host.trash.put(index);
  }

  /**
   * Lets go; bridge, table and links of running containers stay. The accept in the firewall of others stays while a
   * container needs it: those go on without a daemon.
   */
  async close(): Promise<void> {
    this.#host.lookers.delete(this.#look);
    if (this.#ready !== undefined && this.#endpoints.size === 0) this.#closeForeign();
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

const networkOf = ({ address }: Pick<BridgeState, 'address'>): string =>
  address === undefined ? '' : subnetText(address.subnet);
