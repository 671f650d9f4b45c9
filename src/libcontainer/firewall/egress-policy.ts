/**
 * What containers may reach outside their networks: lists of names, networks and ports, as users write them. Pure: reading
 * and matching; the rules are in egress-text.ts, names are judged by the DNS server.
 *
 * An entry is `TARGET[:PORT[-PORT]][/PROTOCOL]`. A target is a name (`example.com`), names below one (`*.example.com`), any
 * name (`*`), an address or network (`10.0.0.0/8`, `[fd00::/8]`), or `host`: the host's own addresses.
 */
import { isIP } from 'node:net';
import { invalidParameter } from '#errdefs/errors.ts';

export type EgressProtocol = 'tcp' | 'udp' | 'sctp';

export interface EgressPorts {
  /** Undefined: tcp, udp and sctp. */
  readonly protocol?: EgressProtocol;
  /** 0 to 65535: all. */
  readonly first: number;
  readonly last: number;
}

export type EgressTarget =
  | { readonly kind: 'network'; readonly network: string }
  | { readonly kind: 'host' }
  | { readonly kind: 'name'; readonly pattern: string };

export interface EgressEntry {
  readonly target: EgressTarget;
  /** Undefined: everything, also what has no ports. */
  readonly ports?: EgressPorts;
}

export interface EgressPolicy {
  /** What no entry allows is refused. */
  readonly refusesRest: boolean;
  readonly allow: readonly EgressEntry[];
  /** Goes before what is allowed. */
  readonly deny: readonly EgressEntry[];
}

/** Where a name's addresses may be reached; undefined: everything. */
export type NameReach =
  | { readonly allowed: false }
  | { readonly allowed: true; readonly ports?: readonly EgressPorts[] };

const ENTRIES_MAX = 256;
/** Each port of a name is an element for each of its addresses. */
const NAME_PORTS_MAX = 16;
const PORT_MAX = 65_535;
const PROTOCOLS: readonly string[] = ['tcp', 'udp', 'sctp'];
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

export interface EgressTexts {
  /** `allow` or `deny`; '': `deny` when something is allowed by an entry. */
  readonly rest: string;
  /** Entries, with commas or spaces between them. */
  readonly allow: string;
  readonly deny: string;
}

/** Undefined when nothing is asked for. Errors: invalid-parameter naming the entry. */
export function parseEgress({ rest, allow, deny }: EgressTexts): EgressPolicy | undefined {
  if (!['', 'allow', 'deny'].includes(rest)) {
    throw invalidParameter(`invalid egress default "${rest}": it must be allow or deny`);
  }
  const [allowed, denied] = [allow, deny].map((text) => entriesOf(text));
  if (allowed === undefined || denied === undefined || (rest === '' && allowed.length + denied.length === 0)) {
    return undefined;
  }
  if (rest === 'allow' && denied.length === 0) return undefined;
  return { refusesRest: rest === 'deny' || (rest === '' && allowed.length > 0), allow: allowed, deny: denied };
}

function entriesOf(text: string): EgressEntry[] {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  if (words.length > ENTRIES_MAX) throw invalidParameter(`${words.length} egress entries: ${ENTRIES_MAX} at most`);
  return words.map(parseEgressEntry);
}

/** Errors: invalid-parameter naming the entry. */
export function parseEgressEntry(text: string): EgressEntry {
  const refused = (why: string): Error => invalidParameter(`invalid egress entry "${text}": ${why}`);
  const { target: targetText, ports: portsText, protocol } = partsOf(text);
  const target = targetOf(targetText);
  if (target === undefined) throw refused('want a name, an address, a network or "host"');
  if (protocol !== undefined && !PROTOCOLS.includes(protocol)) throw refused(`unknown protocol "${protocol}"`);
  if (portsText === undefined && protocol === undefined) return { target };
  const [, from = '0', to = portsText === undefined ? String(PORT_MAX) : from] =
    /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(portsText ?? '') ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (portsText !== undefined && (first < 1 || last < first || last > PORT_MAX))
    throw refused('want a port or a range');
  if (target.kind === 'name' && portsText !== undefined && last - first >= NAME_PORTS_MAX) {
    throw refused(`a name takes at most ${NAME_PORTS_MAX} ports`);
  }
  if (target.kind === 'name' && portsText === undefined) throw refused('a protocol of a name needs a port');
  // as: checked above.
  return {
    target,
    ports: { first, last, ...(protocol === undefined ? {} : { protocol: protocol as EgressProtocol }) },
  };
}

interface Parts {
  readonly target: string;
  readonly ports: string | undefined;
  readonly protocol: string | undefined;
}

function partsOf(text: string): Parts {
  const bracketed = /^\[([^\]]*)\](?::([^/]*))?(?:\/(.*))?$/.exec(text);
  if (bracketed !== null) return { target: bracketed[1] ?? '', ports: bracketed[2], protocol: bracketed[3] };
  // Several colons are an IPv6 address without ports.
  if (text.split(':').length > 2) return { target: text, ports: undefined, protocol: undefined };
  const [target = '', ports] = text.split(':');
  if (ports !== undefined) {
    const [range = '', protocol] = ports.split(/\/(.*)/s);
    return { target, ports: range, protocol };
  }
  const protocol = /\/([a-z]+)$/.exec(target)?.[1];
  return {
    target: protocol === undefined ? target : target.slice(0, -protocol.length - 1),
    ports: undefined,
    protocol,
  };
}

function targetOf(text: string): EgressTarget | undefined {
  if (text === 'host') return { kind: 'host' };
  const [address = '', length, more] = text.split('/');
  const family = isIP(address);
  if (family !== 0) {
    const bits = family === 4 ? 32 : 128;
    if (more !== undefined || address.includes('%')) return undefined;
    if (length !== undefined && (!/^\d{1,3}$/.test(length) || Number(length) > bits)) return undefined;
    return { kind: 'network', network: `${address.toLowerCase()}/${length ?? bits}` };
  }
  if (text === '*') return { kind: 'name', pattern: '*' };
  const name = text.toLowerCase().replace(/\.$/, '');
  const labels = name.replace(/^\*\./, '').split('.');
  // All digits is an address that is none.
  if (name.length > 253 || !labels.every((label) => LABEL.test(label)) || /^[\d.]+$/.test(name)) return undefined;
  return { kind: 'name', pattern: name };
}

/** `example.com` is itself only, `*.example.com` everything below it. `name` in lower case, without the dot at its end. */
export function matchesName(pattern: string, name: string): boolean {
  if (pattern === '*') return true;
  return pattern.startsWith('*.') ? name.endsWith(pattern.slice(1)) && name.length >= pattern.length : name === pattern;
}

const ALL = { allowed: true } as const;
const NONE = { allowed: false } as const;

function reachByOne(policy: EgressPolicy, name: string): NameReach {
  const matching = (entries: readonly EgressEntry[]): EgressEntry[] =>
    entries.filter(({ target }) => target.kind === 'name' && matchesName(target.pattern, name));
  // A name that is denied on some ports is still to be found for the others.
  if (matching(policy.deny).some(({ ports }) => ports === undefined)) return NONE;
  if (!policy.refusesRest) return ALL;
  const entries = matching(policy.allow);
  if (entries.length === 0) return NONE;
  const ports = entries.flatMap((entry) => entry.ports ?? []);
  return ports.length < entries.length ? ALL : { allowed: true, ports };
}

/** By all policies together: each must allow it. */
export function reachOfName(policies: readonly EgressPolicy[], name: string): NameReach {
  let reach: NameReach = ALL;
  for (const policy of policies) {
    const next = reachByOne(policy, name);
    if (!next.allowed) return NONE;
    const both: readonly EgressPorts[] | undefined =
      reach.ports === undefined ? next.ports : next.ports === undefined ? reach.ports : common(reach.ports, next.ports);
    reach = both === undefined ? ALL : { allowed: true, ports: both };
  }
  return reach;
}

function common(some: readonly EgressPorts[], others: readonly EgressPorts[]): EgressPorts[] {
  return some.flatMap((a) =>
    others.flatMap((b): EgressPorts[] => {
      const [first, last] = [Math.max(a.first, b.first), Math.min(a.last, b.last)];
      const protocol = a.protocol ?? b.protocol;
      if (first > last || (a.protocol !== undefined && b.protocol !== undefined && a.protocol !== b.protocol))
        return [];
      return [{ first, last, ...(protocol === undefined ? {} : { protocol }) }];
    }),
  );
}

/** Names can only be judged by who answers for them. */
export const judgesNames = (policy: EgressPolicy): boolean =>
  policy.refusesRest || policy.deny.some(({ target }) => target.kind === 'name');
