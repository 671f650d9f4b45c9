/**
 * Networks by a plugin (Docker's NetworkDriver protocol). The plugin makes a link on the host at `Join`; we move it into
 * the container's namespace, give it addresses and routes, and tell the plugin when endpoints and the network go.
 */
import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { IpamPool } from '#api/types/network.ts';
import { messageOf, systemError } from '#errdefs/errors.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import { moveLink } from '#libcontainer/netlink/links.ts';
import { addRoute, getLink, setLinkUp } from '#libcontainer/netlink/rtnetlink.ts';
import { decodeLink } from '#libcontainer/netlink/rtnetlink-decode.ts';
import { NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { PluginClient } from '#plugins/client.ts';
import type { Addresses, Given, GivenAddresses } from '../addresses.ts';
import { findLink } from '../bridge-link.ts';
import {
  BOTH,
  type Endpoint,
  type EndpointRequest,
  type Families,
  type JoinOptions,
  type NetworkDriver,
  type PortRequest,
  type PublishedPort,
} from '../driver.ts';
import { defaultRoutes, endpointAddresses, insideRequests, ipsOf, macOf } from '../inside.ts';
import { containerNameservers, hostNameservers } from '../nameservers.ts';
import { decodeJoin, fieldOf, givenOf, type Joined, textOf } from './answers.ts';

const SUBJECT = 'NetworkDriver';
const GENERIC = 'com.docker.network.generic';
const INSIDE = 'eth0';
const FIRST: JoinOptions = { interface: INSIDE, defaultRoute: BOTH };
const PROTOCOL = { tcp: 6, udp: 17, sctp: 132 } as const;

export interface RemoteNetwork {
  readonly plugin: string;
  readonly networkId: string;
  readonly options: Readonly<Record<string, string>>;
  readonly internal: boolean;
  readonly ipv6: boolean;
  readonly pools: readonly IpamPool[];
  readonly addresses: Addresses;
}

/** The protocol has every address with the length of its subnet. */
function withPrefix(addresses: Readonly<Record<string, string>>, subnet: string): Record<string, string> {
  const length = subnet.split('/')[1] ?? '';
  return Object.fromEntries(Object.entries(addresses).map(([name, address]) => [name, `${address}/${length}`]));
}

export class RemoteDriver implements NetworkDriver {
  readonly name: string;
  readonly #network: RemoteNetwork;
  readonly #client: PluginClient;
  readonly #netlink = new NetlinkSocket();

  constructor(network: RemoteNetwork) {
    this.#network = network;
    this.name = network.plugin;
    this.#client = new PluginClient(network.plugin);
  }

  #call(method: string, body: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
    return this.#client.call(`${SUBJECT}.${method}`, { NetworkID: this.#network.networkId, ...body });
  }

  async ensure(): Promise<void> {
    const { options, internal, ipv6, pools } = this.#network;
    const dataOf = (six: boolean) =>
      pools
        .filter(({ Subnet: subnet = '' }) => subnet.includes(':') === six)
        .map(({ Subnet: subnet = '', Gateway: gateway, AuxiliaryAddresses: auxiliary }) => ({
          AddressSpace: '',
          Pool: subnet,
          ...(gateway === undefined ? {} : { Gateway: `${gateway}/${subnet.split('/')[1] ?? ''}` }),
          ...(auxiliary === undefined ? {} : { AuxAddresses: withPrefix(auxiliary, subnet) }),
        }));
    await this.#call('CreateNetwork', {
      Options: {
        [GENERIC]: options,
        'com.docker.network.enable_ipv6': ipv6,
        ...(internal ? { 'com.docker.network.internal': true } : {}),
      },
      IPv4Data: dataOf(false),
      IPv6Data: dataOf(true),
    });
  }

  async allocate(containerId: string, request: EndpointRequest = {}): Promise<Endpoint> {
    const { addresses, networkId } = this.#network;
    const id = randomBytes(32).toString('hex');
    const given = await addresses.allocate(request);
    try {
      const answer = await this.#call('CreateEndpoint', {
        EndpointID: id,
        Interface: interfaceOf(given, request.mac ?? ''),
        Options: { ...request.options },
      });
      const own = answer['Interface'];
      // Only what was not given may come from the plugin.
      const four = given.four ?? givenOf(fieldOf(own, 'Address'));
      const six = given.six ?? givenOf(fieldOf(own, 'AddressIPv6'));
      const all: GivenAddresses = { ...(four === undefined ? {} : { four }), ...(six === undefined ? {} : { six }) };
      const mac = request.mac ?? textOf(fieldOf(own, 'MacAddress'));
      return {
        id,
        networkId,
        containerId,
        ...endpointAddresses(all, mac === '' ? macOf(request, all) : mac, { four: '', six: '' }),
        ...(request.linkLocal === undefined ? {} : { linkLocal: request.linkLocal }),
        nameservers: containerNameservers(hostNameservers()),
        interface: INSIDE,
      };
    } catch (error) {
      await addresses.release([given.four?.ip, given.six?.ip].filter((ip) => ip !== undefined));
      throw error;
    }
  }

  async join(endpoint: Endpoint, gate: NetworkGate, options: JoinOptions = FIRST): Promise<Endpoint> {
    const joined = decodeJoin(
      await this.#call('Join', {
        EndpointID: endpoint.id,
        SandboxKey: `/proc/${gate.pid}/ns/net`,
        Options: {},
      }),
    );
    const known = withGateways(endpoint, this.#network.internal ? { four: '', six: '' } : joined.gateways);
    if (joined.link === '') return { ...known, interface: '' };
    try {
      this.#bringIn(known, gate, { joined, name: options.interface, families: options.defaultRoute });
    } catch (cause) {
      throw systemError(`Cannot connect container to network of plugin "${this.name}": ${messageOf(cause)}`, { cause });
    }
    return known;
  }

  #bringIn(
    endpoint: Endpoint,
    gate: NetworkGate,
    { joined, name, families }: { readonly joined: Joined; readonly name: string; readonly families: Families },
  ): void {
    const link = findLink(this.#netlink, joined.link);
    if (link === undefined) throw systemError(`the plugin made no link "${joined.link}"`);
    const mac = (endpoint.address ?? endpoint.address6)?.mac ?? '';
    this.#netlink.run(setLinkUp(link.index, false));
    this.#netlink.run(...moveLink(link.index, { namespace: gate.namespace, name, mac }));
    using inside = new NetlinkSocket(gate.netlink);
    const { index } = decodeLink(inside.get(getLink({ name })));
    inside.run(...insideRequests(index, endpoint, families));
    for (const { destination, gateway } of joined.routes) {
      inside.run(addRoute({ index, destination, ...(gateway === '' ? {} : { gateway }), replace: true }));
    }
  }

  async lead(endpoint: Endpoint, gate: NetworkGate, families: Families = BOTH): Promise<void> {
    using inside = new NetlinkSocket(gate.netlink);
    const { index } = decodeLink(inside.get(getLink({ name: endpoint.interface ?? INSIDE })));
    inside.run(...defaultRoutes(index, endpoint, families));
  }

  /** The plugin is told, and does what it can; which ports of the host lead in is its own affair. */
  publish(endpoint: Endpoint, requests: readonly PortRequest[]): readonly PublishedPort[] {
    const ports = requests.map(({ protocol, hostIp, hostPort, hostPortEnd, port }) => ({
      Proto: PROTOCOL[protocol],
      IP: '',
      Port: port,
      HostIP: hostIp,
      HostPort: hostPort,
      HostPortEnd: hostPortEnd,
    }));
    this.#tell('ProgramExternalConnectivity', {
      EndpointID: endpoint.id,
      Options: { 'com.docker.network.portmap': ports },
    });
    return [];
  }

  unpublish(): void {}

  /** Of what a plugin may or may not know. */
  #tell(method: string, body: Readonly<Record<string, unknown>>): void {
    this.#call(method, body).catch((err: unknown) => {
      log.warn('a network plugin did not do what it was told', { plugin: this.name, method, err });
    });
  }

  async leave(endpoint: Endpoint): Promise<void> {
    await this.#call('Leave', { EndpointID: endpoint.id });
  }

  async release(endpoint: Endpoint): Promise<void> {
    // The plugin's failure must not keep the address.
    try {
      await this.#call('Leave', { EndpointID: endpoint.id });
    } catch (err) {
      log.debug('a network plugin knows the endpoint no longer', { plugin: this.name, endpoint: endpoint.id, err });
    }
    try {
      await this.#call('DeleteEndpoint', { EndpointID: endpoint.id });
    } finally {
      await this.#network.addresses.release(ipsOf(endpoint));
    }
  }

  /** The plugin knows its endpoints by itself; only the addresses may have to be told to another one. */
  async restore(alive: readonly Endpoint[]): Promise<void> {
    for (const endpoint of alive) {
      for (const ip of ipsOf(endpoint)) await this.#network.addresses.reserve(ip);
    }
  }

  async agreeToRemoval(): Promise<void> {
    await this.#call('DeleteNetwork', {});
  }

  async remove(): Promise<void> {}

  async close(): Promise<void> {
    this.#netlink[Symbol.dispose]();
  }
}

function interfaceOf({ four, six }: GivenAddresses, mac: string): Readonly<Record<string, string>> {
  const text = (given: Given | undefined) => (given === undefined ? '' : `${given.ip}/${given.prefixLength}`);
  return { Address: text(four), AddressIPv6: text(six), MacAddress: mac };
}

function withGateways(endpoint: Endpoint, { four, six }: { readonly four: string; readonly six: string }): Endpoint {
  const { address, address6 } = endpoint;
  const valid = (ip: string) => (isIP(ip) === 0 ? '' : ip);
  return {
    ...endpoint,
    address: address === undefined ? undefined : { ...address, gateway: valid(four) },
    ...(address6 === undefined ? {} : { address6: { ...address6, gateway: valid(six) } }),
  };
}
