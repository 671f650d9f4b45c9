/**
 * A network driver connects a container's network namespace to a network.
 *
 * Lifecycle of an endpoint: `allocate` (address, names; before the namespace exists) → `join` (at the gate: links,
 * addresses, routes) → `release`. `release` is idempotent and also right after a crash at any point. Deleting a veth
 * is never on the way of an exit: the namespace takes it along.
 */
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';

export interface EndpointAddress {
  /** '172.17.0.2' */
  readonly ip: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly mac: string;
}

export interface Endpoint {
  readonly id: string;
  readonly networkId: string;
  readonly containerId: string;
  readonly address: EndpointAddress | undefined;
  /** What goes into the container's /etc/resolv.conf. */
  readonly nameservers: readonly string[];
}

export interface NetworkDriver {
  readonly name: 'bridge' | 'host' | 'none';
  /** Makes the network's own things on the host (bridge, rules) when missing. Idempotent. */
  ensure(): Promise<void>;
  allocate(containerId: string): Promise<Endpoint>;
  join(endpoint: Endpoint, gate: NetworkGate): Promise<void>;
  release(endpoint: Endpoint): Promise<void>;
  /** Tells the driver at start-up which endpoints are alive; everything else of this driver is removed. */
  restore(alive: readonly Endpoint[]): Promise<void>;
  close(): Promise<void>;
}
