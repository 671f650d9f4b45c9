/** The addresses of a new network: what the user named is checked, what was left open is chosen. */
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
  type Subnet6,
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
  readonly choose6: (taken: readonly Subnet6[]) => Subnet6;
}

/** Errors: forbidden. */
export function checkOnePoolEach(config: readonly IpamPool[]): void {
  if (config.filter(isFour).length > 1 || config.filter((pool) => !isFour(pool)).length > 1) {
    throw forbidden("bridge driver doesn't support multiple subnets");
  }
}

/** Whether what the user wrote can be. Errors: invalid-parameter. */
export function checkPools(ipam: Ipam, context: Pick<IpamContext, 'ipv4' | 'ipv6'>): void {
  askedPools(ipam, { ...context, taken: [] });
}

interface AskedPools {
  readonly four: readonly IpamPool[];
  readonly six: readonly IpamPool[];
}

function askedPools(ipam: Ipam, context: Pick<IpamContext, 'ipv4' | 'ipv6' | 'taken'>): AskedPools {
  const config = ipam.Config ?? [];
  const asked = config.map((pool, at) => checkedPool(pool, [...context.taken, ...config.slice(0, at)]));
  const fours = asked.filter((pool) => isFour(pool));
  const sixes = asked.filter((pool) => !isFour(pool));
  if (sixes.length > 0 && !context.ipv6) {
    throw invalidParameter('invalid network config:\ninvalid subnet: IPv6 has not been enabled for this network');
  }
  if (fours.length > 0 && !context.ipv4) {
    throw invalidParameter('invalid network config:\ninvalid subnet: IPv4 has not been enabled for this network');
  }
  return { four: fours, six: sixes };
}

export function completeIpam(ipam: Ipam, context: IpamContext): Ipam {
  const asked = askedPools(ipam, context);
  const four = context.ipv4 && asked.four.length === 0 ? [subnetText(context.choose(takenFours(context.taken)))] : [];
  const six = context.ipv6 && asked.six.length === 0 ? [subnet6Text(context.choose6(takenSixes(context.taken)))] : [];
  const chosen = (networks: readonly string[]): IpamPool[] => networks.map((Subnet) => ({ Subnet }));
  return { ...ipam, Config: [...asked.four, ...chosen(four), ...asked.six, ...chosen(six)].map(withGateway) };
}

const isFour = (pool: IpamPool): boolean => !(pool.Subnet ?? '').includes(':');

function takenFours(taken: readonly IpamPool[]): Subnet[] {
  return taken.filter((pool) => isFour(pool) && pool.Subnet !== undefined).map((pool) => subnetOf(pool.Subnet ?? ''));
}

function takenSixes(taken: readonly IpamPool[]): Subnet6[] {
  return taken.flatMap((pool) => (isFour(pool) ? [] : [subnet6Of(pool.Subnet ?? '')]));
}

function withGateway(pool: IpamPool): IpamPool {
  if (pool.Gateway !== undefined && pool.Gateway !== '') return pool;
  const subnet = pool.Subnet ?? '';
  if (!isFour(pool)) return { ...pool, Gateway: ipv6Text(subnet6Of(subnet).first + 1n) };
  const { first } = pool.IPRange === undefined ? subnetOf(subnet) : subnetOf(pool.IPRange);
  return { ...pool, Gateway: ipv4Text(first === subnetOf(subnet).first ? first + 1 : first) };
}

function checkedPool(pool: IpamPool, taken: readonly IpamPool[]): IpamPool {
  const { Subnet: subnet = '' } = pool;
  if (subnet === '') throw invalidParameter('invalid network config:\ninvalid subnet : invalid CIDR block notation');
  checkNetwork(subnet, 'subnet', subnet);
  const others = taken.flatMap((other) => other.Subnet ?? []);
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
    throw invalidParameter(`invalid network config:\ninvalid ${what} ${text}: invalid CIDR block notation`, { cause });
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
  const the = what === 'ip-range' ? 'ip-range' : 'this address';
  if (!inside) {
    throw invalidParameter(
      `invalid network config:\ninvalid ${what} ${shown}: parent subnet ${subnet} doesn't contain ${the}`,
    );
  }
}

function overlap(a: string, b: string): boolean {
  if (a.includes(':') !== b.includes(':')) return false;
  if (!a.includes(':')) return overlaps(subnetOf(a), subnetOf(b));
  const [x, y] = [subnet6Of(a), subnet6Of(b)];
  return contains6(x, y.first) || contains6(y, x.first);
}
