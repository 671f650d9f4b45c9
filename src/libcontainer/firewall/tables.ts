/**
 * The text of our nftables tables: `inet NAME` (address translation, published ports, isolation) and `bridge NAME`
 * (spoof guard). Pure. The whole of both is one transaction: tables and sets are declared, flushed and filled again in
 * one call, so that no packet ever sees half of it. Nothing outside these two tables is named.
 *
 * Grammar traps of nft 1.0.6: a chain's `}` needs a newline after it; `ip6` is no name for a set; the word `dstnat` is
 * refused in an output hook.
 */

import { addressBytes } from '#libcontainer/netlink/ip.ts';
import { egressChains, egressMaps, egressText, type FirewallEgress, knownText } from './egress-text.ts';
import {
  closedChains,
  closedSets,
  type FirewallLinked,
  linkedElements,
  linkedRules,
  linkedSets,
} from './linked-text.ts';
import { type Bounce, bounceText, judgedChain, judgedJump, judgedSets } from './host-firewall-text.ts';

/** A bridge of ours and how it may talk. */
export interface FirewallBridge {
  readonly name: string;
  /** '172.17.0.0/16', 'fd00:1::/64' */
  readonly subnets: readonly string[];
  /** Containers of this bridge may talk to each other. */
  readonly interContainer: boolean;
  /** Nothing goes in or out but among its containers and the host. */
  readonly internal: boolean;
  /** What leaves the host has the host's address. */
  readonly masquerade: boolean;
  /** The same of IPv6, where that is another. */
  readonly masquerade6?: boolean;
  /** Every port may be reached by its container's address, from everywhere but other networks of ours. */
  readonly open?: readonly Family[];
  /** Containers are reached by their own addresses: at published ports, and for a ping. */
  readonly routed?: readonly Family[];
  /** Instead of masquerading: what leaves the host has this address. */
  readonly sourceAddresses?: readonly string[];
  /** Links of the host from which every port may be reached. */
  readonly trusted?: readonly string[];
}

export type Family = 'four' | 'six';

/** A bridge port and the only addresses that may come out of it. */
export interface FirewallPort {
  /** Name of the host's end. */
  readonly link: string;
  readonly mac: string;
  /** IPv4 and IPv6. */
  readonly ips: readonly string[];
}

/** A port of the host that leads to a port of a container. */
export interface FirewallPublished {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** '0.0.0.0' and '::' are all addresses of the host. */
  readonly hostIp: string;
  readonly hostPort: number;
  readonly ip: string;
  readonly port: number;
  /** Packets from other machines must be what the host's input chains accept. */
  readonly judged?: boolean;
  /** No port of the host leads to it: it is reached by the container's own address. */
  readonly routed?: boolean;
}

/** What holds for all bridges. */
export interface FirewallPolicy {
  /** False: IPv6 is left alone. Default true. */
  readonly ip6?: boolean;
  /** Published ports are reached by the containers' own addresses as well. */
  readonly directRouting?: boolean;
  /** Packets with this mark may come in: '0x1' or '0x1/0x3'. */
  readonly acceptMark?: string;
}

export interface FirewallState {
  readonly bridges: readonly FirewallBridge[];
  readonly ports: readonly FirewallPort[];
  readonly published: readonly FirewallPublished[];
  /** The pair of links by which judged packets come back; none: nothing is judged. */
  readonly bounce?: Bounce;
  readonly egress?: readonly FirewallEgress[];
  /** Who may talk all the same on a bridge whose containers may not. */
  readonly linked?: readonly FirewallLinked[];
  /** Links of its containers; undefined: packets from one to another pass our forward chain. */
  readonly closed?: readonly string[];
  /** Where refusals are told. */
  readonly logGroup?: number;
  readonly policy?: FirewallPolicy;
}

/** Names reach nft's grammar: nothing else may. */
const NAME = /^[a-zA-Z0-9_.-]{1,15}$/;
const TABLE = /^[a-z][a-z0-9-]{0,30}$/;

/** A name of a link as nft reads it. Throws RangeError for what is none. */
export function quoted(link: string): string {
  if (!NAME.test(link)) throw new RangeError(`link name ${JSON.stringify(link)} cannot be written to a rule set`);
  return `"${link}"`;
}

function address(text: string): string {
  if (!/^[0-9a-f.:/]+$/.test(text)) throw new RangeError(`address ${JSON.stringify(text)} cannot be written`);
  return text;
}

/** Declarations of sets: name and body. */
const inetSets = {
  bridges: 'type ifname;',
  icc: 'type ifname . ifname;',
  internal: 'type ifname;',
  masq4: 'type ifname;',
  masq6: 'type ifname;',
  open4: 'type ifname;',
  open6: 'type ifname;',
  ping4: 'type ifname;',
  ping6: 'type ifname;',
  trusted: 'type ifname . ifname;',
  routed4: 'type ipv4_addr . inet_proto . inet_service;',
  routed6: 'type ipv6_addr . inet_proto . inet_service;',
  direct4: 'type ipv4_addr . inet_proto . inet_service;',
  direct6: 'type ipv6_addr . inet_proto . inet_service;',
  hairpin4: 'type ifname . ipv4_addr; flags interval;',
  hairpin6: 'type ifname . ipv6_addr; flags interval;',
} as const;

const inetMaps = {
  pub4: 'type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service;',
  pub4any: 'type inet_proto . inet_service : ipv4_addr . inet_service;',
  pub6: 'type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service;',
  pub6any: 'type inet_proto . inet_service : ipv6_addr . inet_service;',
  snat4: 'type ifname : ipv4_addr;',
  snat6: 'type ifname : ipv6_addr;',
} as const;

const guardSets = {
  guarded: 'type ifname;',
  okmac: 'type ifname . ether_addr;',
  ok4: 'type ifname . ether_addr . ipv4_addr;',
  ok6: 'type ifname . ether_addr . ipv6_addr;',
  nd6: 'typeof iifname . ether saddr . @th,64,128;',
} as const;

interface Parts {
  readonly bounce: Bounce | undefined;
  readonly egress: boolean;
  /** There are bridges whose containers may not talk to each other. */
  readonly closed: boolean;
  readonly logGroup: number;
  readonly policy: FirewallPolicy;
}

const MARK = /^(0x[0-9a-f]{1,8}|\d{1,10})(\/(0x[0-9a-f]{1,8}|\d{1,10}))?$/i;

/** `1` or `0x1/0x3` as nft reads it. Throws RangeError for what is none. */
function markMatch(mark: string): string {
  if (!MARK.test(mark)) throw new RangeError(`mark ${JSON.stringify(mark)} cannot be written`);
  const [value = '', mask] = mark.split('/');
  return mask === undefined ? `meta mark ${value}` : `meta mark & ${mask} == ${value}`;
}

const inetChains = ({ bounce, egress, closed, logGroup, policy: { ip6 = true, acceptMark } }: Parts): string => `
  chain raw {
    type filter hook prerouting priority raw;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
    ${ip6 ? 'iifname != "lo" ip6 daddr ::1 drop' : ''}
  }
  chain publish {
    dnat ip to ip daddr . meta l4proto . th dport map @pub4
    dnat ip to meta l4proto . th dport map @pub4any
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @pub6
    dnat ip6 to meta l4proto . th dport map @pub6any
  }
${bounce === undefined ? '' : judgedChain}${egress ? egressChains(logGroup) : ''}
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ${bounce === undefined ? '' : judgedJump(bounce)}
    fib daddr type local meta l4proto { tcp, udp, sctp } jump publish
  }
  chain output {
    type nat hook output priority -100;
    fib daddr type local meta l4proto { tcp, udp, sctp } jump publish
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ${ip6 ? '' : 'meta nfproto ipv6 return'}
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    oifname @bridges ip6 saddr ::1 masquerade
    ct status dnat oifname . ip saddr @hairpin4 masquerade
    ct status dnat oifname . ip6 saddr @hairpin6 masquerade
    oifname != @bridges snat ip to iifname map @snat4
    oifname != @bridges snat ip6 to iifname map @snat6
    meta nfproto ipv4 iifname @masq4 oifname != @bridges masquerade
    meta nfproto ipv6 iifname @masq6 oifname != @bridges masquerade
  }
  chain forward {
    type filter hook forward priority filter;
    ${ip6 ? '' : 'meta nfproto ipv6 accept'}
    ct state established,related accept
    iifname . oifname @icc accept
    ${closed ? linkedRules : ''}
    ${egress ? 'iifname @bridges jump egress' : ''}
    iifname @internal drop
    oifname @internal drop
    iifname @bridges oifname != @bridges accept
    oifname @bridges ct status dnat accept
    ip daddr . meta l4proto . th dport @routed4 accept
    ip6 daddr . meta l4proto . th dport @routed6 accept
    oifname @ping4 icmp type echo-request accept
    oifname @ping6 icmpv6 type echo-request accept
    iifname @bridges oifname @bridges drop
    ${acceptMark === undefined ? '' : `oifname @bridges ${markMatch(acceptMark)} accept`}
    iifname . oifname @trusted accept
    oifname @open4 meta nfproto ipv4 accept
    oifname @open6 meta nfproto ipv6 accept
    ip daddr . meta l4proto . th dport @direct4 accept
    ip6 daddr . meta l4proto . th dport @direct6 accept
    oifname @bridges drop
    iifname @bridges drop
  }
`;

/** Ports answer for their own address only; what is neither IPv4, ARP nor IPv6 is dropped. */
const guardChains = `
  chain pre {
    type filter hook prerouting priority -300;
    iifname @guarded jump check
  }
  chain check {
    iifname . ether saddr != @okmac drop
    ether type vmap { ip : goto v4, arp : goto arps, ip6 : goto v6 }
    drop
  }
  chain v4 {
    iifname . ether saddr . ip saddr != @ok4 drop
  }
  chain arps {
    arp htype 1 arp ptype ip iifname . arp saddr ether . arp saddr ip @ok4 accept
    drop
  }
  chain v6 {
    icmpv6 type { nd-router-advert, nd-redirect } drop
    ip6 saddr :: icmpv6 type nd-neighbor-solicit accept
    ip6 saddr :: icmpv6 type mld2-listener-report accept
    iifname . ether saddr . ip6 saddr != @ok6 drop
    icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 != @nd6 drop
  }
`;

export interface Elements {
  readonly set: string;
  readonly elements: readonly string[];
}

const isIpv6 = (text: string): boolean => text.includes(':');

/** What the sets of `inet` have of all bridges. */
export function bridgeElements(bridges: readonly FirewallBridge[]): Elements[] {
  const names = (wanted: readonly FirewallBridge[]) => wanted.map((b) => quoted(b.name));
  const hairpin = (v6: boolean) =>
    bridges.flatMap((b) =>
      b.subnets.filter((subnet) => isIpv6(subnet) === v6).map((subnet) => `${quoted(b.name)} . ${address(subnet)}`),
    );
  const source = (v6: boolean) =>
    bridges.flatMap((b) =>
      (b.sourceAddresses ?? []).filter((ip) => isIpv6(ip) === v6).map((ip) => `${quoted(b.name)} : ${address(ip)}`),
    );
  return [
    { set: 'bridges', elements: names(bridges) },
    { set: 'icc', elements: names(bridges.filter((b) => b.interContainer)).map((name) => `${name} . ${name}`) },
    { set: 'internal', elements: names(bridges.filter((b) => b.internal)) },
    { set: 'masq4', elements: names(bridges.filter((b) => b.masquerade && !b.internal)) },
    { set: 'masq6', elements: names(bridges.filter((b) => (b.masquerade6 ?? b.masquerade) && !b.internal)) },
    { set: 'open4', elements: names(bridges.filter((b) => b.open?.includes('four') === true)) },
    { set: 'open6', elements: names(bridges.filter((b) => b.open?.includes('six') === true)) },
    { set: 'ping4', elements: names(bridges.filter((b) => b.routed?.includes('four') === true)) },
    { set: 'ping6', elements: names(bridges.filter((b) => b.routed?.includes('six') === true)) },
    {
      set: 'trusted',
      elements: bridges.flatMap((b) => (b.trusted ?? []).map((link) => `${quoted(link)} . ${quoted(b.name)}`)),
    },
    { set: 'snat4', elements: source(false) },
    { set: 'snat6', elements: source(true) },
    { set: 'hairpin4', elements: hairpin(false) },
    { set: 'hairpin6', elements: hairpin(true) },
  ];
}

function portElements(ports: readonly FirewallPort[]): Elements[] {
  const each = (v6: boolean, element: (port: FirewallPort, ip: string) => string) =>
    ports.flatMap((port) => port.ips.filter((ip) => isIpv6(ip) === v6).map((ip) => element(port, ip)));
  const own = (port: FirewallPort) => `${quoted(port.link)} . ${address(port.mac)}`;
  return [
    { set: 'okmac', elements: ports.map(own) },
    { set: 'ok4', elements: each(false, (port, ip) => `${own(port)} . ${address(ip)}`) },
    { set: 'ok6', elements: each(true, (port, ip) => `${own(port)} . ${address(ip)}`) },
    { set: 'nd6', elements: each(true, (port, ip) => `${own(port)} . 0x${addressBytes(ip).toHex()}`) },
    { set: 'guarded', elements: ports.map((p) => quoted(p.link)) },
  ];
}

interface PublishedElement {
  readonly table: 'inet' | 'ip' | 'ip6';
  readonly set: string;
  readonly key: string;
  /** What the key of a map leads to. */
  readonly value?: string;
}

/** What the tables have of a published port: where it leads, and what may come to the container itself. */
function publishedElements(port: FirewallPublished, directRouting: boolean): PublishedElement[] {
  const v6 = isIpv6(port.ip);
  const own = `${address(port.ip)} . ${port.protocol} . ${wholePort(port.port)}`;
  if (port.routed === true) return [{ table: 'inet', set: v6 ? 'routed6' : 'routed4', key: own }];
  const any = port.hostIp === (v6 ? '::' : '0.0.0.0');
  const service = `${port.protocol} . ${wholePort(port.hostPort)}`;
  const key = any ? service : `${address(port.hostIp)} . ${service}`;
  const name = `${v6 ? '6' : '4'}${any ? 'any' : ''}`;
  const led: PublishedElement[] = [
    { table: 'inet', set: `pub${name}`, key, value: `${address(port.ip)} . ${wholePort(port.port)}` },
    ...(port.judged === true
      ? (['inet', v6 ? 'ip6' : 'ip'] as const).map((table) => ({ table, set: `judged${name}`, key }))
      : []),
  ];
  return directRouting ? [...led, { table: 'inet', set: v6 ? 'direct6' : 'direct4', key: own }] : led;
}

function wholePort(port: number): number {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new RangeError(`port ${port}`);
  return port;
}

export interface PublishedChange {
  readonly verb: 'add' | 'delete';
  readonly policy?: FirewallPolicy;
  /** All that are published after a deletion: several ports of the host may lead to one of a container. */
  readonly remaining?: readonly FirewallPublished[];
}

/** One transaction that adds or takes away published ports. Preconditions for taking away: all are there. */
export function publishedText(
  tableName: string,
  ports: readonly FirewallPublished[],
  { verb, policy = {}, remaining = [] }: PublishedChange,
): string {
  const table = checked(tableName);
  const direct = policy.directRouting === true;
  const shared = direct || ports.some(({ routed }) => routed === true);
  const elements = (some: readonly FirewallPublished[]) => some.flatMap((port) => publishedElements(port, direct));
  const kept = new Set(shared ? elements(remaining).map(({ set, key }) => `${set} ${key}`) : []);
  const lines = elements(ports)
    .filter(({ set, key }) => !kept.has(`${set} ${key}`))
    .map(({ table: family, set, key, value }) => {
      const leading = verb === 'add' && value !== undefined ? ` : ${value}` : '';
      return `${verb} element ${family} ${table} ${set} { ${key}${leading} }\n`;
    });
  return [...new Set(lines)].join('');
}

const declare = (family: string, table: string, kind: 'set' | 'map', sets: Readonly<Record<string, string>>): string =>
  Object.entries(sets)
    .map(
      ([name, body]) =>
        `add ${kind} ${family} ${table} ${name} { ${body} }\nflush ${kind} ${family} ${table} ${name}\n`,
    )
    .join('');

const fill = (family: string, table: string, all: readonly Elements[]): string =>
  all
    .filter(({ elements }) => elements.length > 0)
    .map(({ set, elements }) => `add element ${family} ${table} ${set} { ${elements.join(', ')} }\n`)
    .join('');

/** One transaction that makes the sets of `before` those of `after`; '': nothing to do. Elements of maps have values. */
export function elementsChange(tableName: string, before: readonly Elements[], after: readonly Elements[]): string {
  const table = checked(tableName);
  const of = (all: readonly Elements[], set: string) => all.find((one) => one.set === set)?.elements ?? [];
  const without = (all: readonly string[], others: readonly string[]) => {
    const known = new Set(others);
    return [...new Set(all)].filter((element) => !known.has(element));
  };
  const lines = (verb: string, set: string, elements: readonly string[]) =>
    elements.map((element) => `${verb} element inet ${table} ${set} { ${element} }\n`);
  const sets = [...new Set([...before, ...after].map(({ set }) => set))];
  return [
    ...sets.flatMap((set) => lines('delete', set, without(of(before, set), of(after, set)))),
    ...sets.flatMap((set) => lines('add', set, without(of(after, set), of(before, set)))),
  ].join('');
}

function checked(table: string): string {
  if (!TABLE.test(table)) throw new RangeError(`table name ${JSON.stringify(table)}`);
  return table;
}

/** Our tables as they shall be, whatever is there. */
export function wholeText(tableName: string, state: FirewallState): string {
  const table = checked(tableName);
  const { bounce, egress = [], logGroup = 0, linked = [], closed } = state;
  const isClosed = state.bridges.some(({ interContainer }) => !interContainer);
  const allowed = isClosed ? linkedElements(linked) : [];
  return [
    `add table inet ${table}\nadd table bridge ${table}\n`,
    // Rules first: a set in use can be flushed, but not a chain that another rule jumps to be missing.
    `flush table inet ${table}\nflush table bridge ${table}\n`,
    declare('inet', table, 'set', {
      ...inetSets,
      ...(bounce === undefined ? {} : judgedSets),
      ...(isClosed ? linkedSets : {}),
    }),
    declare('inet', table, 'map', { ...inetMaps, ...(egress.length === 0 ? {} : egressMaps) }),
    egress.length === 0 ? '' : knownText(table),
    declare('bridge', table, 'set', { ...guardSets, ...(closed === undefined ? {} : closedSets) }),
    bounce === undefined ? '' : bounceText(table, bounce),
    `table inet ${table} {${inetChains({ bounce, egress: egress.length > 0, closed: isClosed, logGroup, policy: state.policy ?? {} })}}\n`,
    `table bridge ${table} {${guardChains}${closed === undefined ? '' : closedChains}}\n`,
    fill('inet', table, bridgeElements(state.bridges)),
    publishedText(table, state.published, {
      verb: 'add',
      ...(state.policy === undefined ? {} : { policy: state.policy }),
    }),
    fill('bridge', table, portElements(state.ports)),
    fill('inet', table, allowed),
    fill('bridge', table, closed === undefined ? [] : [...allowed, { set: 'closed', elements: closed.map(quoted) }]),
    ...egress.map((one) => egressText(table, one, quoted)),
  ].join('');
}

export function deleteText(tableName: string): string {
  const table = checked(tableName);
  // Declared first, since deleting what is not there fails.
  return ['inet', 'bridge', 'ip', 'ip6']
    .map((family) => `add table ${family} ${table}\ndelete table ${family} ${table}\n`)
    .join('');
}
