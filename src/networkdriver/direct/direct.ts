/**
 * The macvlan and ipvlan drivers: each container has a link of its own on a link of the host, and is a machine of that
 * link's network: no bridge, no translation, no rules of ours. The link is made in the container's namespace and goes
 * with it; on the host there is only the parent.
 */
import { randomBytes } from 'node:crypto';
import { conflict, invalidParameter, messageOf, systemError } from '#errdefs/errors.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import { contains, contains6, ipv4Number, ipv6Number, subnet6Of, subnetOf } from '#libcontainer/netlink/ip.ts';
import { createLink, renameLink } from '#libcontainer/netlink/links.ts';
import { deleteLink, getLink, setLinkUp, withoutLinkLocal } from '#libcontainer/netlink/rtnetlink.ts';
import { decodeLink, type Link } from '#libcontainer/netlink/rtnetlink-decode.ts';
import { isNetlinkErrno, NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import type { Addresses, Given } from '../addresses.ts';
import { hasIpv6 } from '../bridge-link.ts';
import {
  BOTH,
  type Endpoint,
  type EndpointRequest,
  type Families,
  type JoinOptions,
  type NetworkDriver,
  type PublishedPort,
} from '../driver.ts';
import { defaultRoutes, endpointAddresses, insideRequests, ipsOf, macOf } from '../inside.ts';
import { containerNameservers, hostNameservers } from '../nameservers.ts';
import type { DirectKind, DirectOptions } from './options.ts';
import { checkKernelHas, ensureParent, ownParentName, removeParent } from './parent.ts';

export interface DirectNetwork extends DirectOptions {
  readonly networkId: string;
  readonly addresses: Addresses;
  /** The way out of each subnet; '' for none. */
  readonly gateways: readonly { readonly subnet: string; readonly gateway: string }[];
  readonly internal: boolean;
  /** Who makes parents here: of the data root. */
  readonly owner: string;
  /** The parents that other networks stand on now. */
  readonly otherParents: () => readonly DirectParent[];
}

/** What a network takes of a link of the host. */
export interface DirectParent {
  readonly name: string;
  /** Nobody else can stand on it. */
  readonly alone: boolean;
}

const INSIDE = 'eth0';
const ADDRESS_TRIES_MAX = 150;
const ADDRESS_PAUSE_MS = 20;
const FIRST: JoinOptions = { interface: INSIDE, defaultRoute: BOTH };

export class DirectDriver implements NetworkDriver {
  readonly name: DirectKind;
  readonly leavesFromInside = true;
  readonly #network: DirectNetwork;
  readonly #netlink = new NetlinkSocket();

  constructor(network: DirectNetwork) {
    this.#network = network;
    this.name = network.link.kind;
  }

  get parent(): DirectParent {
    const { parent, networkId, link } = this.#network;
    const alone = link.kind === 'macvlan' && link.mode === 'passthru';
    return { name: parent ?? ownParentName(this.name, networkId), alone };
  }

  /** Errors: not-implemented naming what the kernel lacks; invalid-parameter; conflict when the parent is taken. */
  async ensure(): Promise<void> {
    const { name, alone } = this.parent;
    checkKernelHas(this.#netlink, this.name);
    const other = this.#network.otherParents().find((one) => one.name === name && (alone || one.alone));
    if (other !== undefined) throw conflict(`parent interface ${name} is in use by a passthru network`);
    ensureParent(this.#netlink, this.#parentWish());
  }

  #parentWish(): Parameters<typeof ensureParent>[1] {
    const { networkId, parent, owner } = this.#network;
    return { kind: this.name, networkId, parent, owner };
  }

  async allocate(containerId: string, request: EndpointRequest = {}): Promise<Endpoint> {
    const { networkId, addresses, internal, link } = this.#network;
    if (link.kind === 'ipvlan' && request.mac !== undefined) {
      throw invalidParameter('ipvlan interfaces do not support custom mac address assignment');
    }
    const given = await addresses.allocate(request);
    // Routing goes by addresses alone on layer 3: there is nobody to ask for the way.
    const layer3 = link.kind === 'ipvlan' && link.mode !== 'l2';
    const silent = internal || layer3;
    const gateways = { four: silent ? '' : this.#gatewayOf(given.four), six: silent ? '' : this.#gatewayOf(given.six) };
    return {
      id: randomBytes(32).toString('hex'),
      networkId,
      containerId,
      // Of these two kinds a link has its parent's address.
      ...endpointAddresses(given, link.kind === 'ipvlan' || this.parent.alone ? '' : macOf(request, given), gateways),
      ...(request.linkLocal === undefined ? {} : { linkLocal: request.linkLocal }),
      ...(layer3 && !internal ? { defaultLink: true } : {}),
      nameservers: containerNameservers(hostNameservers()),
      interface: INSIDE,
    };
  }

  #gatewayOf(given: Given | undefined): string {
    if (given === undefined) return '';
    const six = given.ip.includes(':');
    const own = this.#network.gateways.find(({ subnet }) => {
      if (subnet === '' || subnet.includes(':') !== six) return false;
      return six
        ? contains6(subnet6Of(subnet), ipv6Number(given.ip))
        : contains(subnetOf(subnet), ipv4Number(given.ip));
    });
    return own?.gateway ?? '';
  }

  async join(endpoint: Endpoint, gate: NetworkGate, options: JoinOptions = FIRST): Promise<undefined> {
    const { link, mtu } = this.#network;
    const { interface: name } = options;
    try {
      // Somebody may have taken away what was there when the network was made.
      const parent = ensureParent(this.#netlink, this.#parentWish());
      const mac = (endpoint.address ?? endpoint.address6)?.mac ?? '';
      using inside = new NetlinkSocket(gate.netlink);
      // Older kernels (6.1) look for its name in our namespace as well, where eth0 is often the parent itself.
      const passing = `b${randomBytes(7).toString('hex')}`;
      this.#netlink.run(
        createLink({
          name: passing,
          as: link,
          parent: parent.index,
          namespace: gate.namespace,
          ...(mac === '' ? {} : { mac }),
          ...(mtu === undefined ? {} : { mtu }),
        }),
      );
      const { index } = linkInside(inside, passing);
      try {
        inside.run(renameLink(index, name));
      } catch (error) {
        inside.run(deleteLink({ index }));
        throw error;
      }
      await bringUp(inside, index, endpoint.address6 === undefined);
      inside.run(...insideRequests(index, endpoint, options.defaultRoute));
    } catch (cause) {
      throw systemError(`Cannot connect container to ${this.name} network: ${messageOf(cause)}`, { cause });
    }
  }

  async lead(endpoint: Endpoint, gate: NetworkGate, families: Families = BOTH): Promise<void> {
    using inside = new NetlinkSocket(gate.netlink);
    inside.run(...defaultRoutes(linkInside(inside, endpoint.interface ?? INSIDE).index, endpoint, families));
  }

  /** Its ports are its own machine's: whoever reaches it reaches them. */
  publish(): readonly PublishedPort[] {
    return [];
  }

  unpublish(): void {}

  async leave(endpoint: Endpoint, gate: NetworkGate): Promise<void> {
    using inside = new NetlinkSocket(gate.netlink);
    try {
      inside.run(deleteLink({ name: endpoint.interface ?? INSIDE }));
    } catch (error) {
      if (!isNetlinkErrno(error, 'ENODEV')) throw error; // it never came to be, or is gone
    }
  }

  async release(endpoint: Endpoint): Promise<void> {
    await this.#network.addresses.release(ipsOf(endpoint));
  }

  async restore(alive: readonly Endpoint[]): Promise<void> {
    await this.ensure();
    for (const endpoint of alive) {
      for (const ip of ipsOf(endpoint)) {
        try {
          await this.#network.addresses.reserve(ip);
        } catch (err) {
          const { containerId: container } = endpoint;
          log.warn('address of a running container is not of the network', { container, ip, err });
        }
      }
    }
  }

  async remove(): Promise<void> {
    const { name } = this.parent;
    if (this.#network.otherParents().some((other) => other.name === name)) return;
    removeParent(this.#netlink, name, this.#network.owner);
  }

  async close(): Promise<void> {
    this.#netlink[Symbol.dispose]();
  }
}

/**
 * Two links of one parent cannot have one address, and the kernel takes the last container's link down a moment after its
 * end: one that starts again at once waits for it. Nothing tells of links in other namespaces.
 */
async function bringUp(inside: NetlinkSocket, index: number, withoutIpv6: boolean): Promise<void> {
  if (withoutIpv6 && hasIpv6()) inside.run(withoutLinkLocal(index));
  for (let tries = 1; ; tries++) {
    try {
      inside.run(setLinkUp(index));
      return;
    } catch (error) {
      if (!isNetlinkErrno(error, 'EADDRINUSE') || tries === ADDRESS_TRIES_MAX) throw error;
    }
    await Bun.sleep(ADDRESS_PAUSE_MS);
  }
}

const linkInside = (inside: NetlinkSocket, name: string): Link => decodeLink(inside.get(getLink({ name })));
