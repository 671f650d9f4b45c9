/** What the tables are made of: bridges, their ports, ports of the host, and what holds for all. Types alone. */

/** A bridge of ours and how it may talk. */
export interface FirewallBridge {
  readonly name: string;
  /** '172.17.0.0/16', 'fd00:1::/64' */
  readonly subnets: readonly string[];
  /** Containers of this bridge may talk to each other. */
  readonly interContainer: boolean;
  /** Nothing goes in or out but among its containers and the host. */
  readonly internal: boolean;
  /** What leaves the host has the host's address. */
  readonly masquerade: boolean;
  /** The same of IPv6, where that is another. */
  readonly masquerade6?: boolean;
  /** Every port may be reached by its container's address, from everywhere but other networks of ours. */
  readonly open?: readonly Family[];
  /** Containers are reached by their own addresses: at published ports, and for a ping. */
  readonly routed?: readonly Family[];
  /** Instead of masquerading: what leaves the host has this address. */
  readonly sourceAddresses?: readonly string[];
  /** Links of the host from which every port may be reached. */
  readonly trusted?: readonly string[];
}

export type Family = 'four' | 'six';

/** A bridge port and the only addresses that may come out of it. */
export interface FirewallPort {
  /** Name of the host's end. */
  readonly link: string;
  readonly mac: string;
  /** IPv4 and IPv6. */
  readonly ips: readonly string[];
}

/** A port of the host that leads to a port of a container. */
export interface FirewallPublished {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** '0.0.0.0' and '::' are all addresses of the host. */
  readonly hostIp: string;
  readonly hostPort: number;
  readonly ip: string;
  readonly port: number;
  /** Packets from other machines must be what the host's input chains accept. */
  readonly judged?: boolean;
  /** No port of the host leads to it: it is reached by the container's own address. */
  readonly routed?: boolean;
}

/** What holds for all bridges. */
export interface FirewallPolicy {
  /** False: IPv6 is left alone. Default true. */
  readonly ip6?: boolean;
  /** Published ports are reached by the containers' own addresses as well. */
  readonly directRouting?: boolean;
  /** Packets with this mark may come in: '0x1' or '0x1/0x3'. */
  readonly acceptMark?: string;
}
