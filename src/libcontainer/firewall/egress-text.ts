/**
 * Egress policies as nftables text. Pure. A policy is a chain of its own, reached by the container's address or by the
 * network's bridge through one look-up; `return` is "not refused here", so that a network's and a container's policy both
 * have their say. Addresses that allowed names have led to are in the `known` sets, which the DNS server fills and which no
 * rewriting of the tables empties.
 */
import { addressBytes } from '#libcontainer/netlink/ip.ts';
import type { EgressEntry, EgressPolicy, EgressPorts } from './egress-policy.ts';
import { quoted } from './parts.ts';

export interface FirewallEgress {
  /** Twelve hex digits of the container's or network's id. */
  readonly id: string;
  readonly policy: EgressPolicy;
  /** Whose packets it is about: of these addresses, or of these bridges. */
  readonly ips: readonly string[];
  readonly bridges: readonly string[];
}

export const egressMaps = {
  egressnet: 'type ifname : verdict;',
  egress4: 'type ipv4_addr : verdict;',
  egress6: 'type ipv6_addr : verdict;',
} as const;

const KNOWN_MAX = 65_536;
/** Who, where to, and for the second of each pair: on which port. */
const knownSets = {
  known4any: `type ipv4_addr . ipv4_addr; flags timeout; size ${KNOWN_MAX};`,
  known4: `type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags timeout; size ${KNOWN_MAX};`,
  known6any: `type ipv6_addr . ipv6_addr; flags timeout; size ${KNOWN_MAX};`,
  known6: `type ipv6_addr . ipv6_addr . inet_proto . inet_service; flags timeout; size ${KNOWN_MAX};`,
} as const;

export const knownSetNames: readonly string[] = Object.keys(knownSets);

/** Keys of elements whose first part is one of these addresses, from nft's JSON of a set. */
export function knownOf(json: unknown, ips: ReadonlySet<string>): string[] {
  return setElements(json).flatMap((element: unknown) => {
    const parts = concatOf(element);
    const [from] = parts;
    return from !== undefined && ips.has(from) ? [parts.map(checkedWord).join(' . ')] : [];
  });
}

const field = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;

function setElements(json: unknown): unknown[] {
  const objects = field(json, 'nftables');
  if (!Array.isArray(objects)) return [];
  return objects.flatMap((object: unknown) => {
    const elements = field(field(object, 'set'), 'elem');
    return Array.isArray(elements) ? (elements as unknown[]) : []; // as: of unknown shape, looked at by whoever reads it
  });
}

function concatOf(element: unknown): string[] {
  const concat = field(field(field(element, 'elem'), 'val') ?? element, 'concat');
  return Array.isArray(concat) ? concat.map(String) : [];
}

function checkedWord(word: string): string {
  if (!/^[0-9a-z.:]+$/.test(word)) throw new RangeError(`element ${JSON.stringify(word)}`);
  return word;
}

/** Never flushed: what names led to stays reachable while the tables are written anew. */
export const knownText = (table: string): string =>
  Object.entries(knownSets)
    .map(([name, body]) => `add set inet ${table} ${name} { ${body} }\n`)
    .join('');

/** Refusals are told to the daemon, but not more of them than somebody can read. */
const REFUSALS_PER_SECOND = 20;

/**
 * Without policies there is nothing on the way of packets. TCP is refused by a reset: what ICMP says is believed after a
 * second only. Neighbours are asked for by packets to the host.
 */
export const egressChains = (logGroup: number): string => `
  chain egress {
    icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } return
    iifname vmap @egressnet
    ip saddr vmap @egress4
    ip6 saddr vmap @egress6
  }
  chain refuse {
    limit rate ${REFUSALS_PER_SECOND}/second burst ${REFUSALS_PER_SECOND} packets log group ${logGroup} snaplen 64 queue-threshold 1
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }
  chain input {
    type filter hook input priority filter;
    ct state established,related accept
    iifname @bridges jump egress
  }
`;

const CHAIN_ID = /^[0-9a-f]{12}$/;

function chainOf(id: string): string {
  if (!CHAIN_ID.test(id)) throw new RangeError(`policy id ${JSON.stringify(id)}`);
  return `egress-${id}`;
}

/** The ids of policies whose chains are in a table, by the chains' names. */
export const policyIdsOf = (chains: readonly string[]): string[] =>
  chains.flatMap((name) => (name.startsWith('egress-') ? [name.slice('egress-'.length)] : []));

function matchOf({ target, ports }: EgressEntry): string[] {
  if (target.kind === 'name') return [];
  const on = (what: string): string => (ports === undefined ? '' : ` ${portsText(ports, what)}`);
  if (target.kind === 'network') {
    return [`${target.network.includes(':') ? 'ip6' : 'ip'} daddr ${checkedNetwork(target.network)}${on('th dport')}`];
  }
  // Ports that the host has published lead on: they are known by where they were meant to go.
  return [`fib daddr type local${on('th dport')}`, `ct status dnat${on('ct original proto-dst')}`];
}

function portsText({ protocol, first, last }: EgressPorts, what: string): string {
  const protocols = protocol === undefined ? '{ tcp, udp, sctp }' : protocol;
  const all = first === 0 && last === 65_535;
  return `meta l4proto ${protocols}${all ? '' : ` ${what} ${wholePort(first)}-${wholePort(last)}`}`;
}

function wholePort(port: number): number {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError(`port ${port}`);
  return port;
}

/** Nothing but an address and a length reaches the grammar. */
function checkedNetwork(network: string): string {
  const [address = '', length = ''] = network.split('/');
  if (!/^[0-9a-f.:]+$/.test(address) || !/^\d{1,3}$/.test(length)) throw new RangeError(`network "${network}"`);
  addressBytes(address);
  return `${address}/${length}`;
}

function rulesOf({ refusesRest, allow, deny }: EgressPolicy): string[] {
  return [
    ...deny.flatMap(matchOf).map((match) => `${match} goto refuse`),
    ...(refusesRest
      ? [
          'ip saddr . ip daddr @known4any return',
          'ip saddr . ip daddr . meta l4proto . th dport @known4 return',
          'ip6 saddr . ip6 daddr @known6any return',
          'ip6 saddr . ip6 daddr . meta l4proto . th dport @known6 return',
        ]
      : []),
    ...allow.flatMap(matchOf).map((match) => `${match} return`),
    ...(refusesRest ? ['goto refuse'] : []),
  ];
}

const elementsOf = ({ ips, bridges }: Pick<FirewallEgress, 'ips' | 'bridges'>) => [
  ...bridges.map((bridge) => ({ map: 'egressnet', key: quoted(bridge) })),
  ...ips.map((ip) => {
    const bytes = addressBytes(ip);
    return { map: bytes.length === 4 ? 'egress4' : 'egress6', key: ip };
  }),
];

/** Makes the policy's chain what it shall be; `before`: what the table has of it. */
export function egressText(table: string, egress: FirewallEgress, before?: FirewallEgress): string {
  const chain = chainOf(egress.id);
  const now = elementsOf(egress);
  const gone = (before === undefined ? [] : elementsOf(before)).filter(
    ({ map, key }) => !now.some((one) => one.map === map && one.key === key),
  );
  return [
    `add chain inet ${table} ${chain}`,
    `flush chain inet ${table} ${chain}`,
    ...rulesOf(egress.policy).map((rule) => `add rule inet ${table} ${chain} ${rule}`),
    ...gone.map(({ map, key }) => `delete element inet ${table} ${map} { ${key} }`),
    ...now.map(({ map, key }) => `add element inet ${table} ${map} { ${key} : jump ${chain} }`),
    '',
  ].join('\n');
}

/** Preconditions: the table has it. */
export function egressDeletion(table: string, egress: FirewallEgress): string {
  const chain = chainOf(egress.id);
  return [
    ...elementsOf(egress).map(({ map, key }) => `delete element inet ${table} ${map} { ${key} }`),
    `flush chain inet ${table} ${chain}`,
    `delete chain inet ${table} ${chain}`,
    '',
  ].join('\n');
}

/** Of policies that nobody knows: their chains, which nothing leads to. */
export const chainDeletion = (table: string, ids: readonly string[]): string =>
  ids.map((id) => `flush chain inet ${table} ${chainOf(id)}\ndelete chain inet ${table} ${chainOf(id)}\n`).join('');
