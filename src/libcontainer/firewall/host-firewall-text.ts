/**
 * Published ports that the host's own firewall judges (publish-policy host-firewall), as nftables text. Pure.
 *
 * The first packet of a connection is not translated: it passes every input chain of the host as itself, and only what
 * survives them is sent out of one end of a veth pair and comes back in by the other, where it is translated. Later packets
 * follow the connection. `dup` is there in the families ip and ip6 only, hence two further tables.
 */

/** Both ends of the pair; what goes out of the first comes in by the second. */
export interface Bounce {
  readonly out: string;
  readonly back: string;
}

export const BOUNCE = {
  out4: { ip: '169.254.77.1', prefixLength: 30 },
  out6: { ip: 'fd00:77::1', prefixLength: 126 },
  /** Without an address the kernel takes nothing in. */
  back4: { ip: '169.254.77.5', prefixLength: 32 },
  next4: '169.254.77.2',
  next6: 'fd00:77::2',
  mac: '02:be:00:00:00:02',
} as const;

export const judgedSets = {
  judged4: 'type ipv4_addr . inet_proto . inet_service;',
  judged4any: 'type inet_proto . inet_service;',
  judged6: 'type ipv6_addr . inet_proto . inet_service;',
  judged6any: 'type inet_proto . inet_service;',
} as const;

/** After all that others decide. The highest priority of all loops. */
const LAST = 1_000_000;

/** Into `prerouting`, before the translation. */
export const judgedJump = (bounce: Bounce): string =>
  `iifname != { "lo", "${bounce.back}" } iifname != @bridges fib daddr type local meta l4proto { tcp, udp, sctp } jump judged`;

export const judgedChain = `
  chain judged {
    ip daddr . meta l4proto . th dport @judged4 accept
    meta nfproto ipv4 meta l4proto . th dport @judged4any accept
    ip6 daddr . meta l4proto . th dport @judged6 accept
    meta nfproto ipv6 meta l4proto . th dport @judged6any accept
  }
`;

/** The whole tables `ip` and `ip6`, without elements. */
export function bounceText(table: string, { out, back }: Bounce): string {
  return (['4', '6'] as const)
    .map((version) => {
      const family = version === '4' ? 'ip' : 'ip6';
      const next = version === '4' ? BOUNCE.next4 : BOUNCE.next6;
      const sets = [`judged${version}`, `judged${version}any`] as const;
      return [
        `add table ${family} ${table}\nflush table ${family} ${table}\n`,
        ...sets.map(
          (set) => `add set ${family} ${table} ${set} { ${judgedSets[set]} }\nflush set ${family} ${table} ${set}\n`,
        ),
        `table ${family} ${table} {
  chain in {
    type filter hook input priority ${LAST};
    iifname "${back}" drop
    iifname != "lo" ${family} daddr . meta l4proto . th dport @judged${version} dup to ${next} device "${out}" drop
    iifname != "lo" meta l4proto . th dport @judged${version}any dup to ${next} device "${out}" drop
  }
}
`,
      ].join('');
    })
    .join('');
}
