/**
 * Forward chains of others that drop what they do not know (dockerd and ufw set such a policy, firewalld such a rule). Our table cannot
 * overrule them: a packet must pass every chain. Where the owner offers a place for rules of others our
 * bridge is accepted there by two rules that carry our comment; every other such chain is told to the user.
 *
 * Nothing else of others is touched. The two rules go with the chain or by hand; without our bridge they match nothing.
 */
import { NftablesSession } from './session.ts';
import { quoted } from './tables.ts';

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: string | undefined;
  readonly policy: string | undefined;
}

interface Rule {
  readonly handle: number;
  readonly comment: string | undefined;
}

/** Chains that are there for rules of others: dockerd's, and those of `ufw route`. */
const PLACES: readonly Pick<Chain, 'family' | 'table' | 'name'>[] = [
  { family: 'ip', table: 'filter', name: 'DOCKER-USER' },
  { family: 'ip6', table: 'filter', name: 'DOCKER-USER' },
  { family: 'ip', table: 'filter', name: 'ufw-user-forward' },
  { family: 'ip6', table: 'filter', name: 'ufw6-user-forward' },
];

export const placeNames: readonly string[] = PLACES.map(({ name }) => name);

/** Of firewalld while it reloads: gone in a moment. */
const PASSING = 'firewalld_policy_drop';

/** firewalld's refuses in its last rule what no zone lets through, and has no chain for others: it wants to be asked. */
const FIREWALLD = { family: 'inet', table: 'firewalld', name: 'filter_FORWARD' } as const;

type Json = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Json => typeof value === 'object' && value !== null;
const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** Objects of one kind in nft's JSON; what has another shape is left out. */
function objects(json: unknown, kind: string): Json[] {
  const list = isRecord(json) ? json['nftables'] : undefined;
  if (!Array.isArray(list)) return [];
  return list.flatMap((entry: unknown) => {
    const object = isRecord(entry) ? entry[kind] : undefined;
    return isRecord(object) ? [object] : [];
  });
}

export function decodeChains(json: unknown): Chain[] {
  return objects(json, 'chain').map((chain) => ({
    family: textOf(chain['family']) ?? '',
    table: textOf(chain['table']) ?? '',
    name: textOf(chain['name']) ?? '',
    hook: textOf(chain['hook']),
    policy: textOf(chain['policy']),
  }));
}

function decodeRules(json: unknown): Rule[] {
  return objects(json, 'rule').map((rule) => ({
    handle: typeof rule['handle'] === 'number' ? rule['handle'] : 0,
    comment: textOf(rule['comment']),
  }));
}

const isPlace = (chain: Chain): boolean =>
  PLACES.some(({ family, table, name }) => chain.family === family && chain.table === table && chain.name === name);

const isFirewalld = (chain: Chain): boolean =>
  chain.family === FIREWALLD.family && chain.table === FIREWALLD.table && chain.name === FIREWALLD.name;

const nameOf = ({ family, table, name }: Pick<Chain, 'family' | 'table' | 'name'>): string =>
  `${family} ${table} ${name}`;

/**
 * Chains that would drop a container's packets: dropping by policy, of a family that the bridge has, and no place in the
 * same table. Pure. `ours`: name of our tables.
 */
export function droppingChains(chains: readonly Chain[], ours: string, ipv6 = false): string[] {
  const withPlace = new Set(chains.filter(isPlace).map((chain) => `${chain.family} ${chain.table}`));
  return chains
    .filter((chain) => chain.hook === 'forward' && chain.policy === 'drop')
    .filter((chain) => chain.table !== ours && chain.table !== PASSING)
    .filter((chain) => (ipv6 || chain.family !== 'ip6') && !withPlace.has(`${chain.family} ${chain.table}`))
    .map(nameOf);
}

export interface ForeignChains {
  /** Others offer a place, and our rules are in it; or there is firewalld, which may be asked. */
  readonly accepted: boolean;
  /** Chains that drop the bridge's packets all the same. */
  readonly dropping: readonly string[];
  /** firewalld is one of them: the bridge is in none of its zones. */
  readonly firewalld: boolean;
}

/** Accepts the bridge where others offer it; the chains that will drop its packets all the same. Idempotent. */
export function openForeign(table: string, bridge: string, ipv6 = false): ForeignChains {
  using session = new NftablesSession();
  const chains = decodeChains(session.json('list chains'));
  let accepted = chains.some(isFirewalld);
  for (const chain of chains.filter(isPlace)) {
    if (chain.family === 'ip6' && !ipv6) continue;
    accepted = true;
    const present = rulesIn(session, chain, `${table}: ${bridge}`);
    if (present.length === 2) continue;
    const rules = ['iifname', 'oifname'].map(
      (way) => `insert rule ${nameOf(chain)} ${way} ${quoted(bridge)} counter accept comment "${table}: ${bridge}"\n`,
    );
    session.run(`accept "${bridge}" in "${nameOf(chain)}"`, `${deletion(chain, present)}${rules.join('')}`);
  }
  const firewalld = refusesAll(session, chains, bridge);
  const refusing = firewalld ? [nameOf(FIREWALLD)] : [];
  return { accepted, dropping: [...droppingChains(chains, table, ipv6), ...refusing], firewalld };
}

/** firewalld is there, and the bridge is in none of its zones. */
function refusesAll(session: NftablesSession, chains: readonly Chain[], bridge: string): boolean {
  if (!chains.some(isFirewalld)) return false;
  const rules = JSON.stringify(session.json(`list table ${FIREWALLD.family} ${FIREWALLD.table}`));
  return !rules.includes(JSON.stringify(bridge));
}

/** Takes back what `openForeign` has put into the places of others. Idempotent. True: there is firewalld. */
export function closeForeign(table: string, bridge: string): boolean {
  using session = new NftablesSession();
  const chains = decodeChains(session.json('list chains'));
  for (const chain of chains.filter(isPlace)) {
    const present = rulesIn(session, chain, `${table}: ${bridge}`);
    if (present.length > 0) session.run(`leave "${nameOf(chain)}"`, deletion(chain, present));
  }
  return chains.some(isFirewalld);
}

const rulesIn = (session: NftablesSession, chain: Chain, comment: string): Rule[] =>
  decodeRules(session.json(`list chain ${nameOf(chain)}`)).filter((rule) => rule.comment === comment);

const deletion = (chain: Chain, rules: readonly Rule[]): string =>
  rules.map(({ handle }) => `delete rule ${nameOf(chain)} handle ${handle}\n`).join('');
