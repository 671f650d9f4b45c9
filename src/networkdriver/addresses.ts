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

type Pool = AddressPool | AddressPool6;

export class LocalAddresses implements Addresses {
  readonly #four: readonly AddressPool[];
  readonly #six: readonly AddressPool6[];

  /** Of one family the earlier pools are used up first. `shown`: what messages call the network; by default its subnet. */
  constructor(four: readonly PoolOptions<Subnet>[], six: readonly PoolOptions<Subnet6>[], shown?: string) {
    this.#four = four.map((pool) => new AddressPool(pool.subnet, pool.reserved, pool.range, shown));
    this.#six = six.map((pool) => new AddressPool6(pool.subnet, pool.reserved, pool.range, shown));
  }

  async allocate(request: EndpointRequest): Promise<GivenAddresses> {
    const four = give(this.#four, request.ip);
    try {
      const six = give(this.#six, request.ip6);
      return { ...(four === undefined ? {} : { four }), ...(six === undefined ? {} : { six }) };
    } catch (error) {
      if (four !== undefined) await this.release([four.ip]);
      throw error;
    }
  }

  async reserve(ip: string): Promise<void> {
    const pools = this.#poolsFor(ip);
    poolOf(pools, ip)?.reserve(ip);
  }

  async release(ips: readonly string[]): Promise<void> {
    for (const ip of ips) for (const pool of this.#poolsFor(ip)) if (pool.contains(ip)) pool.release(ip);
  }

  #poolsFor(ip: string): readonly Pool[] {
    return ip.includes(':') ? this.#six : this.#four;
  }
}

/** Whose address it is; one of none is refused by the first. */
const poolOf = <T extends Pool>(pools: readonly T[], ip: string): T | undefined =>
  pools.find((pool) => pool.contains(ip)) ?? pools[0];

function give(pools: readonly Pool[], wanted: string | undefined): Given | undefined {
  const pool = wanted === undefined ? (pools.find(({ isFull }) => !isFull) ?? pools[0]) : poolOf(pools, wanted);
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
