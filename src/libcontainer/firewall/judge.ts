/**
 * What the input chains of the host would do with the first packet of a connection from another machine, read from nft's
 * own JSON. Pure. Only what can be told of any sender is told: where the answer hangs on the sender, the interface or a
 * match that is not read here, it is `unknown`.
 */
type Json = Readonly<Record<string, unknown>>;

export interface Probe {
  readonly version: 4 | 6;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
  /** Undefined: any address of the host. */
  readonly address?: string;
}

export interface Judgement {
  readonly verdict: 'accept' | 'drop' | 'unknown';
  /** The chain that decides: 'inet filter input'; '' when there is none. */
  readonly chain: string;
}

type Outcome = 'accept' | 'drop' | 'unknown';
type Match = 'yes' | 'no' | 'maybe';

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: string;
  readonly priority: number;
  readonly policy: string;
  readonly rules: readonly (readonly Json[])[];
}

interface Ruleset {
  readonly chains: ReadonlyMap<string, Chain>;
  /** Elements of named sets. */
  readonly sets: ReadonlyMap<string, readonly unknown[]>;
}

interface Walked {
  readonly outcomes: ReadonlySet<Outcome>;
  /** Nothing may have been decided. */
  readonly goesOn: boolean;
}

const DEPTH_MAX = 16;
/** A link of which nothing is known but that it is not the loopback. */
const SOME_LINK = ' some link';
const isRecord = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []); // as: looked at
const keyOf = (family: string, table: string, name: string): string => `${family} ${table} ${name}`;

export function decodeRuleset(json: unknown): Ruleset {
  const chains = new Map<string, Chain & { rules: (readonly Json[])[] }>();
  const sets = new Map<string, readonly unknown[]>();
  for (const object of list(isRecord(json) ? json['nftables'] : undefined)) {
    if (!isRecord(object)) continue;
    const { chain, rule, set } = object;
    if (isRecord(chain)) {
      const [family, table, name] = [text(chain['family']), text(chain['table']), text(chain['name'])];
      chains.set(keyOf(family, table, name), {
        family,
        table,
        name,
        hook: text(chain['hook']),
        priority: typeof chain['prio'] === 'number' ? chain['prio'] : 0,
        policy: text(chain['policy']),
        rules: [],
      });
    } else if (isRecord(rule)) {
      const of = chains.get(keyOf(text(rule['family']), text(rule['table']), text(rule['chain'])));
      of?.rules.push(list(rule['expr']).filter(isRecord));
    } else if (isRecord(set)) {
      sets.set(keyOf(text(set['family']), text(set['table']), text(set['name'])), list(set['elem']));
    }
  }
  return { chains, sets };
}

/** `ours`: name of our tables, which are not asked. */
export function judge(ruleset: Ruleset, probe: Probe, ours: string): Judgement {
  const families = ['inet', probe.version === 4 ? 'ip' : 'ip6'];
  const asked = [...ruleset.chains.values()]
    .filter((chain) => chain.hook === 'input' && chain.table !== ours && families.includes(chain.family))
    .sort((a, b) => a.priority - b.priority);
  let unknown: Judgement | undefined;
  for (const chain of asked) {
    const { outcomes, goesOn } = walk(ruleset, chain, probe, 0);
    const all = new Set(outcomes);
    if (goesOn) all.add(chain.policy === 'drop' ? 'drop' : 'accept');
    const name = keyOf(chain.family, chain.table, chain.name);
    if (all.size === 1 && all.has('drop')) return { verdict: 'drop', chain: name };
    if (all.size > 1 || all.has('unknown')) unknown ??= { verdict: 'unknown', chain: name };
  }
  return unknown ?? { verdict: 'accept', chain: '' };
}

function walk(ruleset: Ruleset, chain: Chain, probe: Probe, depth: number): Walked {
  const outcomes = new Set<Outcome>();
  if (depth > DEPTH_MAX) return { outcomes: new Set(['unknown']), goesOn: false };
  let mayReturn = false;
  for (const rule of chain.rules) {
    let matches: Match = 'yes';
    let ended = false;
    for (const statement of rule) {
      const step = decide(ruleset, chain, probe, statement, depth);
      if ('match' in step) {
        matches = both(matches, step.match);
        if (matches === 'no') break;
        continue;
      }
      for (const outcome of step.outcomes) outcomes.add(outcome);
      // Where the rule may not match, the next one may be asked.
      if (matches === 'yes' && !step.goesOn) ended = true;
      break;
    }
    if (ended) return { outcomes, goesOn: mayReturn };
    if (matches !== 'no' && rule.some((statement) => 'return' in statement)) {
      if (matches === 'yes') return { outcomes, goesOn: true };
      mayReturn = true;
    }
  }
  return { outcomes, goesOn: true };
}

const both = (a: Match, b: Match): Match => (a === 'no' || b === 'no' ? 'no' : a === 'yes' ? b : a);
const passes: { readonly match: Match } = { match: 'yes' };

function decide(
  ruleset: Ruleset,
  chain: Chain,
  probe: Probe,
  statement: Json,
  depth: number,
): { readonly match: Match } | Walked {
  const [kind = ''] = Object.keys(statement);
  switch (kind) {
    case 'accept':
      return { outcomes: new Set(['accept']), goesOn: false };
    case 'drop':
    case 'reject':
      return { outcomes: new Set(['drop']), goesOn: false };
    case 'return':
      return { outcomes: new Set(), goesOn: true };
    case 'jump':
    case 'goto': {
      const target = isRecord(statement[kind]) ? text(statement[kind]['target']) : '';
      const next = ruleset.chains.get(keyOf(chain.family, chain.table, target));
      if (next === undefined) return { outcomes: new Set(['unknown']), goesOn: true };
      return walk(ruleset, next, probe, depth + 1);
    }
    case 'match':
      return { match: matchOf(ruleset, chain, probe, statement['match']) };
    case 'counter':
    case 'log':
    case 'comment':
    case 'mangle':
      return passes;
    case 'vmap':
      return mapped(ruleset, chain, probe, statement['vmap'], depth);
    case 'queue':
      return { outcomes: new Set(['unknown']), goesOn: true };
    case 'xt':
      // A match or a target of iptables, of which nft tells nothing.
      return { match: 'maybe' };
    default:
      return { match: 'maybe' };
  }
}

/** `ct state vmap { established : accept, … }`: the verdict of the element that matches; none: the next rule. */
function mapped(ruleset: Ruleset, chain: Chain, probe: Probe, vmap: unknown, depth: number): Walked {
  const undecided: Walked = { outcomes: new Set(['unknown']), goesOn: true };
  const data = isRecord(vmap) ? vmap['data'] : undefined;
  const value = isRecord(vmap) ? valueOf(probe, vmap['key']) : 'maybe';
  if (value === 'no') return { outcomes: new Set(), goesOn: true };
  if (value === 'maybe' || !isRecord(data)) return undecided;
  for (const pair of list(data['set'])) {
    const [key, verdict] = list(pair);
    const match = among(ruleset, chain, value.known, key);
    if (match === 'no') continue;
    if (match === 'maybe' || !isRecord(verdict)) return undecided;
    const step = decide(ruleset, chain, probe, verdict, depth);
    return 'match' in step ? { outcomes: new Set(), goesOn: true } : step;
  }
  return { outcomes: new Set(), goesOn: true };
}

function matchOf(ruleset: Ruleset, chain: Chain, probe: Probe, match: unknown): Match {
  if (!isRecord(match)) return 'maybe';
  const value = valueOf(probe, match['left']);
  if (value === 'no' || value === 'maybe') return value;
  const found = among(ruleset, chain, value.known, match['right']);
  if (found === 'maybe') return 'maybe';
  const op = text(match['op']);
  if (op === '==' || op === 'in') return found;
  if (op === '!=') return found === 'yes' ? 'no' : 'yes';
  return 'maybe';
}

/** What the probe has there; 'no': the packet has no such field. */
function valueOf(probe: Probe, left: unknown): { readonly known: string | number } | 'no' | 'maybe' {
  if (!isRecord(left)) return 'maybe';
  const { meta, payload, ct } = left;
  if (isRecord(ct)) return text(ct['key']) === 'state' ? { known: 'new' } : 'maybe';
  if (isRecord(meta)) {
    switch (text(meta['key'])) {
      case 'l4proto':
        return { known: probe.protocol };
      case 'nfproto':
        return { known: `ipv${probe.version}` };
      case 'protocol':
        return { known: probe.version === 4 ? 'ip' : 'ip6' };
      case 'iifname':
        return { known: SOME_LINK };
      default:
        return 'maybe';
    }
  }
  if (!isRecord(payload)) return 'maybe';
  const [protocol, field] = [text(payload['protocol']), text(payload['field'])];
  if (['tcp', 'udp', 'sctp'].includes(protocol) && protocol !== probe.protocol) return 'no';
  if (['tcp', 'udp', 'sctp', 'th'].includes(protocol)) return field === 'dport' ? { known: probe.port } : 'maybe';
  if (protocol === 'icmp' || protocol === 'icmpv6') return 'no';
  if (protocol === 'ip' || protocol === 'ip6') {
    if ((protocol === 'ip') !== (probe.version === 4)) return 'no';
    if (field === 'protocol' || field === 'nexthdr') return { known: probe.protocol };
    if (field === 'daddr' && probe.address !== undefined) return { known: probe.address };
  }
  return 'maybe';
}

function among(ruleset: Ruleset, chain: Chain, value: string | number, right: unknown): Match {
  if (typeof right === 'string' && right.startsWith('@')) {
    const elements = ruleset.sets.get(keyOf(chain.family, chain.table, right.slice(1)));
    return elements === undefined ? 'maybe' : anyOf(ruleset, chain, value, elements);
  }
  if (Array.isArray(right)) return anyOf(ruleset, chain, value, right as unknown[]); // as: each is looked at
  if (typeof right === 'string' || typeof right === 'number') {
    if (value === SOME_LINK && right !== 'lo') return 'maybe';
    return String(right) === String(value) ? 'yes' : 'no';
  }
  if (!isRecord(right)) return 'maybe';
  if (Array.isArray(right['set'])) return anyOf(ruleset, chain, value, right['set'] as unknown[]); // as: each is looked at
  if (isRecord(right['elem'])) return among(ruleset, chain, value, right['elem']['val']);
  const range = list(right['range']).map(Number);
  if (range.length === 2 && typeof value === 'number') {
    return value >= (range[0] ?? 0) && value <= (range[1] ?? 0) ? 'yes' : 'no';
  }
  return 'maybe';
}

function anyOf(ruleset: Ruleset, chain: Chain, value: string | number, elements: readonly unknown[]): Match {
  const matches = elements.map((element) => among(ruleset, chain, value, element));
  return matches.includes('yes') ? 'yes' : matches.includes('maybe') ? 'maybe' : 'no';
}
