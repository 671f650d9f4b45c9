/** Networks beyond Docker's API, on the wire: who can reach published ports, and names for the host. */

export interface AuditedPort {
  Container: string;
  ContainerID: string;
  Network: string;
  Protocol: string;
  HostIp: string;
  HostPort: number;
  ContainerPort: number;
  /** `host`: it is the host's own port, which a container in the host's network listens on. */
  Policy: 'docker' | 'host-firewall' | 'host';
  /** From other machines. `unknown`: it depends on the sender, or on rules that cannot be read. */
  Outside: 'yes' | 'no' | 'unknown';
  /** Addresses of the host at which it is published. */
  Addresses: string[];
  Reason: string;
}

export interface PortsAudit {
  Ports: AuditedPort[];
  /** Containers in the host's network; what they listen on at the moment is among the ports. */
  HostNetwork: { Container: string; ContainerID: string }[];
}

export interface HostNamesRequest {
  Enabled: boolean;
  /** Leave the host's resolver as it is. */
  Manual: boolean;
}

/** NAME.NETWORK.Domain is answered at Address, port 53, to the host alone. */
export interface HostNames {
  Enabled: boolean;
  /** systemd-resolved asks there for names of the domain. */
  Resolver: boolean;
  Domain: string;
  /** '' while there is no default bridge. */
  Address: string;
  Warnings: string[] | null;
}

/** `POST /berth/networks/{id}/update`; null takes away, what is absent stays. */
export interface NetworkUpdateRequest {
  /** Those of egress policies only. */
  Options?: Record<string, string | null>;
  Labels?: Record<string, string | null>;
  /** The revision that the change was made for: another one is a conflict. */
  Revision?: number;
}

export interface NetworkUpdateResponse {
  /** Counts the updates of the network. */
  Revision: number;
}
