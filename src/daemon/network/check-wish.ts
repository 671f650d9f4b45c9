/**
 * Whether a network can give what is asked of a container's connection to it: told at create and connect, in the words
 * of dockerd. A network that is not there (yet) is the start's to miss.
 */
import { isIPv4, isIPv6 } from 'node:net';
import type { NetworkWish } from '#container/network-wish.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { contains, contains6, ipv4Number, ipv6Number, subnet6Of, subnetOf } from '#libcontainer/netlink/ip.ts';
import type { Services } from '../services.ts';
import { isPredefined } from './names.ts';
import type { NetworkRecord } from './record.ts';

/** Errors: invalid-parameter with everything that is wrong. */
export function checkWish({ name, userSubnets }: NetworkRecord, wish: NetworkWish): void {
  const { ip, ip6, aliases } = wish;
  const problems: string[] = [];
  const asked = ip !== '' || ip6 !== '';
  if (isPredefined(name)) {
    if (asked) problems.push('user specified IP address is supported on user defined networks only');
    if (aliases.length > 0) {
      problems.push('network-scoped alias is supported only for containers in user defined networks');
    }
  }
  for (const [address, six] of [
    [ip, false],
    [ip6, true],
  ] as const) {
    if (address === '') continue;
    const problem = addressProblem(
      address,
      userSubnets.filter((subnet) => subnet.includes(':') === six),
    );
    if (problem !== undefined) problems.push(problem);
  }
  if (problems.length === 0) return;
  const list = problems.length === 1 ? problems : problems.map((problem) => `* ${problem}`);
  throw invalidParameter(`invalid endpoint settings:\n${list.join('\n')}`);
}

function addressProblem(address: string, subnets: readonly string[]): string | undefined {
  if (subnets.length === 0) {
    return 'user specified IP address is supported only when connecting to networks with user configured subnets';
  }
  const inside = subnets.some((subnet) => {
    if (isIPv4(address)) return contains(subnetOf(subnet), ipv4Number(address));
    return isIPv6(address) && contains6(subnet6Of(subnet), ipv6Number(address));
  });
  return inside ? undefined : `no configured subnet or ip-range contain the IP address ${address}`;
}

/** By the networks' names: clients also ask by an id or the beginning of one, and look for the name afterwards. */
export function byNetworkName<T>(
  services: Services,
  asked: Readonly<Record<string, T>> | null,
): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(asked ?? {}).map(([name, wish]) => [networkName(services, name), wish]));
}

export const networkName = ({ networks }: Services, asked: string): string =>
  networks.find(asked)?.record.name ?? asked;

/** At create. Errors: invalid-parameter naming the network. */
export function checkWishes({ networks }: Services, wishes: Readonly<Record<string, NetworkWish>>): void {
  for (const [name, wish] of Object.entries(wishes)) {
    if (wish.ip === '' && wish.ip6 === '' && wish.aliases.length === 0) continue;
    const network = networks.find(name);
    if (network === undefined) continue;
    try {
      checkWish(network.record, wish);
    } catch (cause) {
      throw invalidParameter(`invalid config for network ${name}: ${messageOf(cause)}`, { cause });
    }
  }
}
