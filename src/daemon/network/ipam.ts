/** The addresses of a new network: what the user named is checked, what was left open is chosen. */
import { randomBytes } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';
import type { Ipam, IpamPool } from '#api/types/network.ts';
import { forbidden, invalidParameter } from '#errdefs/errors.ts';
import {
  contains,
  contains6,
  ipv4Number,
  ipv4Text,
  ipv6Number,
  ipv6Text,
  overlaps,
  type Subnet,
  subnet6Of,
  subnet6Text,
  subnetOf,
  subnetText,
} from '#libcontainer/netlink/ip.ts';

export interface IpamContext {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Pools of all other networks. */
  readonly taken: readonly IpamPool[];
  /** The first default pool that overlaps neither these nor what this host reaches. */
  readonly choose: (taken: readonly Subnet[]) => Subnet;
}

const ULA_PREFIX_LENGTH = 64;

export function completeIpam(ipam: Ipam, context: IpamContext): Ipam {
  const asked = (ipam.Config ?? []).map((pool) => checkedPool(pool, context));
  const fours = asked.filter((pool) => isFour(pool));
  const sixes = asked.filter((pool) => !isFour(pool));
  if (fours.length > 1) throw invalidParameter('invalid IPAM configuration: more than one IPv4 subnet');
  if (sixes.length > 1) throw invalidParameter('invalid IPAM configuration: more than one IPv6 subnet');
  if (sixes.length > 0 && !context.ipv6) {
    throw invalidParameter('invalid network config:\ninvalid subnet: IPv6 has not been enabled for this network');
  }
  if (fours.length > 0 && !context.ipv4) {
    throw invalidParameter('invalid network config:\ninvalid subnet: IPv4 has not been enabled for this network');
  }
  const four = context.ipv4
    ? (fours[0] ?? { Subnet: subnetText(context.choose(takenFours(context.taken))) })
    : undefined;
  const six = sixes[0] ?? (context.ipv6 ? { Subnet: localSubnet6() } : undefined);
  return { ...ipam, Config: [four, six].filter((pool) => pool !== undefined).map(withGateway) };
}

const isFour = (pool: IpamPool): boolean => !(pool.Subnet ?? '').includes(':');

function takenFours(taken: readonly IpamPool[]): Subnet[] {
  return taken.filter((pool) => isFour(pool) && pool.Subnet !== undefined).map((pool) => subnetOf(pool.Subnet ?? ''));
}

/** A random network of RFC 4193. */
function localSubnet6(): string {
  const bytes = randomBytes(7).toString('hex');
  return subnet6Text(
    subnet6Of(
      `fd${bytes.slice(0, 2)}:${bytes.slice(2, 6)}:${bytes.slice(6, 10)}:${bytes.slice(10, 14)}::/${ULA_PREFIX_LENGTH}`,
    ),
  );
}

function withGateway(pool: IpamPool): IpamPool {
  if (pool.Gateway !== undefined && pool.Gateway !== '') return pool;
  const subnet = pool.Subnet ?? '';
  if (!isFour(pool)) return { ...pool, Gateway: ipv6Text(subnet6Of(subnet).first + 1n) };
  const { first } = pool.IPRange === undefined ? subnetOf(subnet) : subnetOf(pool.IPRange);
  return { ...pool, Gateway: ipv4Text(first === subnetOf(subnet).first ? first + 1 : first) };
}

function checkedPool(pool: IpamPool, context: IpamContext): IpamPool {
  const { Subnet: subnet = '' } = pool;
  if (subnet === '') throw invalidParameter('invalid network config:\ninvalid subnet : subnet is missing');
  checkNetwork(subnet, 'subnet', subnet);
  const others = context.taken.flatMap((other) => other.Subnet ?? []);
  if (others.some((other) => overlap(other, subnet))) {
    throw forbidden('invalid pool request: Pool overlaps with other one on this address space');
  }
  if ((pool.IPRange ?? '') !== '') {
    checkNetwork(pool.IPRange ?? '', 'ip-range', subnet);
    checkInside(subnet, (pool.IPRange ?? '').split('/')[0] ?? '', 'ip-range', pool.IPRange ?? '');
  }
  if ((pool.Gateway ?? '') !== '') checkInside(subnet, pool.Gateway ?? '', 'gateway', pool.Gateway ?? '');
  for (const [name, ip] of Object.entries(pool.AuxiliaryAddresses ?? {})) {
    checkInside(subnet, ip, 'auxiliary address', `${name}=${ip}`);
  }
  const kept = Object.entries(pool).filter(([, value]) => value !== '' && value !== undefined && value !== null);
  return Object.fromEntries(kept);
}

function checkNetwork(text: string, what: string, shown: string): void {
  const six = text.includes(':');
  let normal: string;
  try {
    normal = six ? subnet6Text(subnet6Of(text)) : subnetText(subnetOf(text));
  } catch (cause) {
    throw invalidParameter(`invalid ${what} ${text}: invalid CIDR block notation`, { cause });
  }
  const same = six ? subnet6Text(subnet6Of(normal)) === normal && sameAddress6(text, normal) : normal === text;
  if (!same && what === 'subnet') {
    throw invalidParameter(`invalid network config:\ninvalid subnet ${shown}: it should be ${normal}`);
  }
}

function sameAddress6(a: string, b: string): boolean {
  return ipv6Number(a.split('/')[0] ?? '') === ipv6Number(b.split('/')[0] ?? '');
}

function checkInside(subnet: string, ip: string, what: string, shown: string): void {
  const six = subnet.includes(':');
  if (!(six ? isIPv6(ip) : isIPv4(ip))) throw invalidParameter(`invalid ${what} ${shown}: invalid address`);
  const inside = six ? contains6(subnet6Of(subnet), ipv6Number(ip)) : contains(subnetOf(subnet), ipv4Number(ip));
  if (!inside)
    throw invalidParameter(`invalid network config:\ninvalid ${what} ${shown}: not contained in subnet ${subnet}`);
}

function overlap(a: string, b: string): boolean {
  if (a.includes(':') !== b.includes(':')) return false;
  if (!a.includes(':')) return overlaps(subnetOf(a), subnetOf(b));
  const [x, y] = [subnet6Of(a), subnet6Of(b)];
  return contains6(x, y.first) || contains6(y, x.first);
}
