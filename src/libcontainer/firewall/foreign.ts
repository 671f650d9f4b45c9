/**
 * Forward chains of others that drop what they do not know (dockerd and ufw set such a policy, firewalld such a rule). Our table cannot
 * overrule them: a packet must pass every chain. Where the owner offers a place for rules of others our
 * bridge is accepted there by two rules that carry our comment; every other such chain is told to the user.
 *
 * Nothing else of others is touched. The two rules go with the chain or by hand; without our bridge they match nothing.
 */
import { isNetlinkErrno } from '#libcontainer/netlink/socket.ts';
import { netfilterSocket } from '#libcontainer/netlink/netfilter.ts';
import { type Chain, listChains } from './chains.ts';
import { batchOf, type NftFamily } from './nfnetlink.ts';
import { acceptLink, deleteRule, listRules, type Rule } from './rules.ts';
import type { NftablesSession } from './session.ts';

/** Chains that are there for rules of others: dockerd's, and those of `ufw route`. */
const PLACES: readonly { family: NftFamily; table: string; name: string }[] = [
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

/** Whose rules, and which bridge they let through. */
export interface Opening {
  /** Name of our tables. */
  readonly table: string;
  readonly bridge: string;
  readonly ipv6?: boolean;
}

const commentOf = ({ table, bridge }: Opening): string => `${table}: ${bridge}`;

/** Accepts the bridge where others offer it; the chains that will drop its packets all the same. Idempotent. */
export function openForeign(opening: Opening, session: NftablesSession): ForeignChains {
  const { table, bridge, ipv6 = false } = opening;
  const chains = listChains();
  let accepted = chains.some(isFirewalld);
  for (const chain of chains.filter(isPlace)) {
    if (chain.family === 'ip6' && !ipv6) continue;
    accepted = true;
    const present = rulesIn(chain, opening);
    if (present.length === 2) continue;
    const rules = (['iifname', 'oifname'] as const).map((way) =>
      acceptLink(chain, { way, link: bridge, comment: commentOf(opening) }),
    );
    netfilterSocket().runBatch(batchOf([...present.map((rule) => deleteRule(chain, rule)), ...rules]));
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
export function closeForeign(opening: Opening): boolean {
  const chains = listChains();
  for (const chain of chains.filter(isPlace)) {
    const present = rulesIn(chain, opening);
    if (present.length > 0) netfilterSocket().runBatch(batchOf(present.map((rule) => deleteRule(chain, rule))));
  }
  return chains.some(isFirewalld);
}

/** Ours; none where the chain has gone meanwhile. */
function rulesIn(chain: Chain, opening: Opening): Rule[] {
  try {
    return listRules(chain).filter(({ comment }) => comment === commentOf(opening));
  } catch (error) {
    if (isNetlinkErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
