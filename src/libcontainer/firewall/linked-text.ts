/**
 * Bridges whose containers may not talk to each other (`icc=false`), as nftables text. Pure, but for `passesRules`. What
 * stays on a bridge passes our forward chain where br_netfilter is on, and the bridge table's where it is not: that one
 * must not be there with br_netfilter, since it would drop what was translated. Both know which containers are linked, and
 * on which ports. Without such a bridge there is nothing of it on the way of packets.
 */
import { existsSync, readFileSync } from 'node:fs';

/** One container may open connections to a port of another. */
export interface FirewallLinked {
  readonly from: string;
  readonly to: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
}

export const linkedSets = {
  linked4: 'type ipv4_addr . ipv4_addr . inet_proto . inet_service;',
  linked6: 'type ipv6_addr . ipv6_addr . inet_proto . inet_service;',
} as const;

/** `closed`: links of containers that may not talk to others of their bridge. Not every kernel can ask for the bridge. */
export const closedSets = { closed: 'type ifname;', ...linkedSets } as const;

const there = [
  'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept',
  'ip saddr . ip daddr . meta l4proto . th dport @linked4 accept',
  'ip6 saddr . ip6 daddr . meta l4proto . th dport @linked6 accept',
];

/** In our forward chain, which knows connections. */
export const linkedRules = there.join('\n    ');

/** In the bridge table, which does not: answers are known by their port. */
export const closedChains = `
  chain between {
    ether type arp accept
    ${there.join('\n    ')}
    ip daddr . ip saddr . meta l4proto . th sport @linked4 accept
    ip6 daddr . ip6 saddr . meta l4proto . th sport @linked6 accept
    drop
  }
  chain forward {
    type filter hook forward priority filter;
    iifname @closed jump between
  }
`;

/** Packets from one port of a bridge to another pass our forward chain (br_netfilter). */
export function passesRules(): boolean {
  const families = ['iptables', ...(existsSync('/proc/sys/net/ipv6') ? ['ip6tables'] : [])];
  return families.every((one) => readOr(`/proc/sys/net/bridge/bridge-nf-call-${one}`, '0').trim() === '1');
}

function readOr(file: string, absent: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return absent; // the module is not there
  }
}
