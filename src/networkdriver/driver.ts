/**
 * A network driver connects a container's network namespace to a network.
 *
 * Lifecycle of an endpoint: `allocate` (address, names; before the namespace exists) → `join` (at the gate, or in the
 * namespace of a running container: links, addresses, routes) → `publish` → `leave` (only while the namespace lives on)
 * → `release`. `release` is idempotent and also right after a crash at any point. Deleting a veth is never on the way of
 * an exit: the namespace takes it along.
 */
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';

export interface EndpointAddress {
  /** '172.17.0.2' or 'fd00::2' */
  readonly ip: string;
  readonly prefixLength: number;
  /** '' on a network that leads nowhere. */
  readonly gateway: string;
  readonly mac: string;
}

/** A port of the host that leads to one of the container, as it is in force. */
export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly hostIp: string;
  /** 0: no port of the host leads to it, it is reached by the container's own address. */
  readonly hostPort: number;
  readonly port: number;
  /** The firewall of the host has its say (publish-policy host-firewall). */
  readonly judged?: boolean;
}

/** A port that is to be published. */
export interface PortRequest {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** '' is the network's default. */
  readonly hostIp: string;
  /** The first free one of this range; 0 to 0: any. */
  readonly hostPort: number;
  readonly hostPortEnd: number;
  readonly port: number;
  readonly judged?: boolean;
}

export interface Endpoint {
  readonly id: string;
  readonly networkId: string;
  readonly containerId: string;
  readonly address: EndpointAddress | undefined;
  readonly address6?: EndpointAddress;
  /** What goes into the container's /etc/resolv.conf. */
  readonly nameservers: readonly string[];
  /** Name of its link inside; none where it has no link. */
  readonly interface?: string;
  readonly ports?: readonly PublishedPort[];
  /** Its packets may have any sender. */
  readonly unguarded?: boolean;
  /** Further addresses of its link, good on this link only. */
  readonly linkLocal?: readonly string[];
  /** Its default routes lead out of the link without a gateway. */
  readonly defaultLink?: boolean;
}

/** What a user asks of an endpoint. */
export interface EndpointRequest {
  readonly ip?: string;
  readonly ip6?: string;
  readonly mac?: string;
  readonly unguarded?: boolean;
  readonly linkLocal?: readonly string[];
  /** Options of the endpoint, by their whole names; only plugins are told. */
  readonly options?: Readonly<Record<string, string>>;
}

/** IPv4, IPv6. */
export interface Families {
  readonly four: boolean;
  readonly six: boolean;
}

export const BOTH: Families = { four: true, six: true };

export interface JoinOptions {
  /** 'eth0' */
  readonly interface: string;
  /** Which default routes lead through this network. */
  readonly defaultRoute: Families;
}

export interface NetworkDriver {
  /** As `docker network ls` shows it. */
  readonly name: string;
  /** Makes the network's own things on the host (bridge, rules) when missing. Idempotent. */
  ensure(): Promise<void>;
  /** Errors: conflict when an address is taken, unavailable when all are. */
  allocate(containerId: string, request?: EndpointRequest): Promise<Endpoint>;
  /** An endpoint that is another one for having joined is told by its new self. */
  join(endpoint: Endpoint, gate: NetworkGate, options?: JoinOptions): Promise<Endpoint | undefined>;
  /** Makes a joined endpoint the one that these default routes lead through. */
  lead(endpoint: Endpoint, gate: NetworkGate, families?: Families): Promise<void>;
  /** Leads ports of the host to the endpoint's addresses of these families (default both): all or none. Errors: conflict, system. */
  publish(endpoint: Endpoint, ports: readonly PortRequest[], families?: Families): readonly PublishedPort[];
  unpublish(endpoint: Endpoint, ports: readonly PublishedPort[]): void;
  /** From now on the firewall of the host has its say in these ports, or no longer: `after` are the same ones. */
  rejudge?(endpoint: Endpoint, before: readonly PublishedPort[], after: readonly PublishedPort[]): void;
  /** Holds what a joined endpoint sends to its addresses, or no longer when it is `unguarded`. Idempotent. */
  guard?(endpoint: Endpoint): void;
  /** `leave` needs the gate: nothing of the link is on the host. */
  readonly leavesFromInside?: boolean;
  /** Takes the link out of a namespace that lives on. */
  leave(endpoint: Endpoint, gate?: NetworkGate): Promise<void>;
  release(endpoint: Endpoint): Promise<void>;
  /**
   * Tells the driver at start-up which endpoints are alive; everything else of this driver is removed, but what belongs to
   * endpoints of other networks (`everywhere`).
   */
  restore(alive: readonly Endpoint[], everywhere?: readonly Endpoint[]): Promise<void>;
  /** Asks who has a word in it whether the network may go. */
  agreeToRemoval?(): Promise<void>;
  /** Takes the network's own things off the host. Preconditions: no endpoint is left. */
  remove(): Promise<void>;
  close(): Promise<void>;
}
