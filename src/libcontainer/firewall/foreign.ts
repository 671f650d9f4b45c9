/**
 * Forward chains of others that drop what they do not know (dockerd and ufw set such a policy). Our table cannot
 * overrule them: a packet must pass every chain. Where the owner offers a place for rules of others (DOCKER-USER) our
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

/** Chains that are there for rules of others. */
const PLACES: readonly Pick<Chain, 'family' | 'table' | 'name'>[] = [
  { family: 'ip', table: 'filter', name: 'DOCKER-USER' },
];

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

const nameOf = ({ family, table, name }: Pick<Chain, 'family' | 'table' | 'name'>): string =>
  `${family} ${table} ${name}`;

/**
 * Chains that would drop a container's packets: dropping by policy, for IPv4, and no place in the same table. Pure.
 * `ours`: name of our tables.
 */
export function droppingChains(chains: readonly Chain[], ours: string): string[] {
  const withPlace = new Set(chains.filter(isPlace).map((chain) => `${chain.family} ${chain.table}`));
  return chains
    .filter((chain) => chain.hook === 'forward' && chain.policy === 'drop' && chain.table !== ours)
    .filter((chain) => chain.family !== 'ip6' && !withPlace.has(`${chain.family} ${chain.table}`))
    .map(nameOf);
}

/** Accepts the bridge where others offer it; the chains that will drop its packets all the same. Idempotent. */
export function openForeign(table: string, bridge: string): string[] {
  using session = new NftablesSession();
  const chains = decodeChains(session.json('list chains'));
  for (const chain of chains.filter(isPlace)) {
    const present = rulesIn(session, chain, `${table}: ${bridge}`);
    if (present.length === 2) continue;
    const rules = ['iifname', 'oifname'].map(
      (way) => `insert rule ${nameOf(chain)} ${way} ${quoted(bridge)} counter accept comment "${table}: ${bridge}"\n`,
    );
    session.run(`accept "${bridge}" in "${nameOf(chain)}"`, `${deletion(chain, present)}${rules.join('')}`);
  }
  return droppingChains(chains, table);
}

/** Takes back what `openForeign` has put into the places of others. Idempotent. */
export function closeForeign(table: string, bridge: string): void {
  using session = new NftablesSession();
  for (const chain of decodeChains(session.json('list chains')).filter(isPlace)) {
    const present = rulesIn(session, chain, `${table}: ${bridge}`);
    if (present.length > 0) session.run(`leave "${nameOf(chain)}"`, deletion(chain, present));
  }
}

const rulesIn = (session: NftablesSession, chain: Chain, comment: string): Rule[] =>
  decodeRules(session.json(`list chain ${nameOf(chain)}`)).filter((rule) => rule.comment === comment);

const deletion = (chain: Chain, rules: readonly Rule[]): string =>
  rules.map(({ handle }) => `delete rule ${nameOf(chain)} handle ${handle}\n`).join('');
