/**
 * The text of our nftables tables: `inet NAME` (address translation, published ports, isolation) and `bridge NAME`
 * (spoof guard). Pure. The whole of both is one transaction: tables and sets are declared, flushed and filled again in
 * one call, so that no packet ever sees half of it. Nothing outside these two tables is named.
 *
 * Grammar traps of nft 1.0.6: a chain's `}` needs a newline after it; `ip6` is no name for a set; the word `dstnat` is
 * refused in an output hook.
 */

import {
  bridgeElements,
  closedElement,
  fillText,
  linkedElements,
  portElements,
  publishedElements,
} from './elements.ts';
import { egressChains, egressMaps, egressText, type FirewallEgress, knownText } from './egress-text.ts';
import { closedChains, closedSets, type FirewallLinked, linkedRules, linkedSets } from './linked-text.ts';
import type { FirewallBridge, FirewallPolicy, FirewallPort, FirewallPublished } from './state.ts';
import { type Bounce, bounceText, judgedChain, judgedJump, judgedSets } from './host-firewall-text.ts';

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

const TABLE = /^[a-z][a-z0-9-]{0,30}$/;

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

const declare = (family: string, table: string, kind: 'set' | 'map', sets: Readonly<Record<string, string>>): string =>
  Object.entries(sets)
    .map(
      ([name, body]) =>
        `add ${kind} ${family} ${table} ${name} { ${body} }\nflush ${kind} ${family} ${table} ${name}\n`,
    )
    .join('');

function checked(table: string): string {
  if (!TABLE.test(table)) throw new RangeError(`table name ${JSON.stringify(table)}`);
  return table;
}

/** Our tables as they shall be, whatever is there. */
export function wholeText(tableName: string, state: FirewallState): string {
  const table = checked(tableName);
  const { bounce, egress = [], logGroup = 0, linked = [], closed } = state;
  const isClosed = state.bridges.some(({ interContainer }) => !interContainer);
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
    fillText(table, [
      ...bridgeElements(state.bridges),
      ...publishedElements(state.published, state.policy?.directRouting),
      ...state.ports.flatMap(portElements),
      ...(isClosed ? linkedElements(linked, 'inet') : []),
      ...(closed === undefined ? [] : [...linkedElements(linked, 'bridge'), ...closed.map(closedElement)]),
    ]),
    ...egress.map((one) => egressText(table, one)),
  ].join('');
}

export function deleteText(tableName: string): string {
  const table = checked(tableName);
  // Declared first, since deleting what is not there fails.
  return ['inet', 'bridge', 'ip', 'ip6']
    .map((family) => `add table ${family} ${table}\ndelete table ${family} ${table}\n`)
    .join('');
}
