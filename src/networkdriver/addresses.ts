/**
 * Who gives the addresses of a network: pools of ours here, an IPAM plugin elsewhere (remote/ipam.ts). Drivers ask for an
 * endpoint's addresses of both families at once, and give them back by their text.
 */
import type { Subnet, Subnet6 } from '#libcontainer/netlink/ip.ts';
import type { EndpointRequest } from './driver.ts';
import { AddressPool } from './ipam.ts';
import { AddressPool6 } from './ipam6.ts';

export interface Given {
  readonly ip: string;
  readonly prefixLength: number;
}

export interface GivenAddresses {
  readonly four?: Given;
  readonly six?: Given;
}

export interface Addresses {
  /** All or none. Errors: conflict when a wanted one is taken; unavailable when all are. */
  allocate(request: EndpointRequest): Promise<GivenAddresses>;
  /** Of an endpoint that lives on over a restart of the daemon. Errors: conflict. */
  reserve(ip: string): Promise<void>;
  /** Idempotent. */
  release(ips: readonly string[]): Promise<void>;
}

export interface PoolOptions<T> {
  readonly subnet: T;
  /** Addresses that are given unasked; all of the subnet when absent. */
  readonly range?: T;
  /** Addresses that never are. */
  readonly reserved: readonly string[];
}

export class LocalAddresses implements Addresses {
  readonly #four: AddressPool | undefined;
  readonly #six: AddressPool6 | undefined;

  /** `shown`: what messages call the network; by default its subnet. */
  constructor(four: PoolOptions<Subnet> | undefined, six: PoolOptions<Subnet6> | undefined, shown?: string) {
    this.#four = four === undefined ? undefined : new AddressPool(four.subnet, four.reserved, four.range, shown);
    this.#six = six === undefined ? undefined : new AddressPool6(six.subnet, six.reserved, six.range, shown);
  }

  async allocate(request: EndpointRequest): Promise<GivenAddresses> {
    const four = give(this.#four, request.ip);
    try {
      const six = give(this.#six, request.ip6);
      return { ...(four === undefined ? {} : { four }), ...(six === undefined ? {} : { six }) };
    } catch (error) {
      if (four !== undefined) this.#four?.release(four.ip);
      throw error;
    }
  }

  async reserve(ip: string): Promise<void> {
    (ip.includes(':') ? this.#six : this.#four)?.reserve(ip);
  }

  async release(ips: readonly string[]): Promise<void> {
    for (const ip of ips) (ip.includes(':') ? this.#six : this.#four)?.release(ip);
  }
}

function give(pool: AddressPool | AddressPool6 | undefined, wanted: string | undefined): Given | undefined {
  if (pool === undefined) return undefined;
  if (wanted !== undefined) pool.reserve(wanted);
  return { ip: wanted ?? pool.allocate(), prefixLength: pool.subnet.prefixLength };
}

/** Of a network whose endpoints get none (`--ipam-driver null`): they ask a server of theirs. */
export class NoAddresses implements Addresses {
  async allocate(): Promise<GivenAddresses> {
    return {};
  }

  async reserve(): Promise<void> {}

  async release(): Promise<void> {}
}
