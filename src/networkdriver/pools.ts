/** Which network a new bridge gets: the first of the default pools that overlaps nothing that this host can reach. */
import { randomBytes } from 'node:crypto';
import { conflict, invalidParameter } from '#errdefs/errors.ts';
import {
  contains,
  contains6,
  ipv4Text,
  overlaps,
  type Subnet,
  type Subnet6,
  subnet6Of,
  subnet6Size,
  subnetOf,
  subnetSize,
  subnetText,
} from '#libcontainer/netlink/ip.ts';

export interface AddressPoolOption {
  /** '172.17.0.0/16', 'fd00:1::/48' */
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

const isSix = ({ base }: AddressPoolOption): boolean => base.includes(':');

/** IPv4's, or Docker's where the user's pools are all of IPv6. Errors: invalid-parameter, as dockerd says it, when every network overlaps. */
export function choosePool(pools: readonly AddressPoolOption[], inUse: readonly Subnet[]): Subnet {
  const fours = pools.filter((pool) => !isSix(pool));
  for (const { base, size } of fours.length === 0 ? defaultPools : fours) {
    const { first, prefixLength } = subnetOf(base);
    const [step, end] = [2 ** (32 - size), first + 2 ** (32 - prefixLength)];
    for (let at = first; at < end; ) {
      const candidate = { first: at, prefixLength: size };
      const other = inUse.find((one) => overlaps(candidate, one));
      if (other === undefined) return candidate;
      // All that lie in a greater one are skipped at once.
      at = Math.max(at + step, Math.ceil((other.first + subnetSize(other)) / step) * step);
    }
  }
  throw noneLeft();
}

const noneLeft = (): Error => invalidParameter('all predefined address pools have been fully subnetted');

const ULA_PREFIX_LENGTH = 64;

/** As `choosePool` of IPv6; a random network of RFC 4193 where no pool is of IPv6. */
export function choosePool6(pools: readonly AddressPoolOption[], inUse: readonly Subnet6[]): Subnet6 {
  const sixes = pools.filter(isSix);
  if (sixes.length === 0) {
    const address = Uint8Array.of(0xfd, ...randomBytes(7), ...new Uint8Array(8));
    return { first: BigInt(`0x${address.toHex()}`), prefixLength: ULA_PREFIX_LENGTH };
  }
  for (const { base, size } of sixes) {
    const pool = subnet6Of(base);
    const step = subnet6Size({ first: 0n, prefixLength: size });
    for (let at = pool.first; contains6(pool, at); ) {
      const candidate = { first: at, prefixLength: size };
      const other = inUse.find((one) => contains6(candidate, one.first) || contains6(one, at));
      if (other === undefined) return candidate;
      const after = ((other.first + subnet6Size(other) + step - 1n) / step) * step;
      at = after > at ? after : at + step;
    }
  }
  throw noneLeft();
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
