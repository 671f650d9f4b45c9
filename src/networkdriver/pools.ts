/** Which network a new bridge gets: the first of the default pools that overlaps nothing that this host can reach. */
import { conflict, unavailable } from '#errdefs/errors.ts';
import {
  contains,
  ipv4Text,
  overlaps,
  type Subnet,
  subnetOf,
  subnetSize,
  subnetText,
} from '#libcontainer/netlink/ip.ts';

export interface AddressPoolOption {
  /** '172.17.0.0/16' */
  readonly base: string;
  /** Prefix length of each network cut from it. */
  readonly size: number;
}

/** Docker's default-address-pools. */
export const defaultPools: readonly AddressPoolOption[] = [
  ...Array.from({ length: 3 }, (_, i) => ({ base: `172.${17 + i}.0.0/16`, size: 16 })),
  { base: '172.20.0.0/14', size: 16 },
  { base: '172.24.0.0/14', size: 16 },
  { base: '172.28.0.0/14', size: 16 },
  { base: '192.168.0.0/16', size: 20 },
];

/** Errors: unavailable when every network overlaps. */
export function choosePool(pools: readonly AddressPoolOption[], inUse: readonly Subnet[]): Subnet {
  for (const { base, size } of pools) {
    const { first, prefixLength } = subnetOf(base);
    const networks = 2 ** (size - prefixLength);
    for (let i = 0; i < networks; i++) {
      const candidate = { first: first + i * 2 ** (32 - size), prefixLength: size };
      if (!inUse.some((other) => overlaps(candidate, other))) return candidate;
    }
  }
  throw unavailable('Cannot find a network for the bridge: all predefined address pools have been fully subnetted');
}

export interface BridgeAddress {
  readonly subnet: Subnet;
  readonly gateway: string;
}

/** A network's first address is its gateway. */
export const firstAddressOf = (subnet: Subnet): BridgeAddress => ({ subnet, gateway: ipv4Text(subnet.first + 1) });

/** `--bip 10.1.0.1/16`. Errors: invalid-parameter; conflict when it is no host's address. */
export function parseBip(bip: string): BridgeAddress {
  const { first, prefixLength, address } = subnetOf(bip);
  const subnet = { first, prefixLength };
  const last = first + subnetSize(subnet) - 1;
  if (prefixLength > 30 || !contains(subnet, address) || address === first || address === last) {
    throw conflict(`Cannot use --bip "${bip}": "${ipv4Text(address)}" is no host's address in ${subnetText(subnet)}`);
  }
  return { subnet, gateway: ipv4Text(address) };
}
