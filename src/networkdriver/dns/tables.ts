/**
 * Who is who: the names of each network and which networks a container sees. Pure. A container resolves names of its own
 * networks only; with several addresses of one name each answer begins with the next one.
 */
import { addressBytes } from '#libcontainer/netlink/ip.ts';
import type { EgressView } from './egress.ts';
import { answerTo, nameBytes, type Question, RCODE, reversedAddress, TYPE } from './message.ts';

export interface NamedEndpoint {
  readonly names: readonly string[];
  readonly ip?: string;
  readonly ip6?: string;
}

export interface NamedNetwork {
  readonly id: string;
  readonly name: string;
  readonly endpoints: readonly NamedEndpoint[];
}

export interface View {
  /** Ids of its networks. */
  readonly networks: readonly string[];
  /** Its private names for others (links): alias → addresses. */
  readonly links: readonly NamedEndpoint[];
  /** Servers for every other name; none: there is no way out. */
  readonly upstream: readonly string[];
  /** What of other names it may ask for. */
  readonly egress?: EgressView;
}

interface Found {
  readonly four: Uint8Array[];
  readonly six: Uint8Array[];
}

interface Index {
  readonly name: string;
  readonly byName: ReadonlyMap<string, Found>;
  /** Hex of the address → 'name.network'. */
  readonly byAddress: ReadonlyMap<string, string>;
}

/** Names for the host end so. */
export const HOST_DOMAIN = 'berth.internal';

/** Docker's. */
const TTL_SECONDS = 600;
/** Resolvers of hosts keep what they are told; containers come and go. */
const HOST_TTL_SECONDS = 1;

function indexOf(name: string, endpoints: readonly NamedEndpoint[]): Index {
  const byName = new Map<string, Found>();
  const byAddress = new Map<string, string>();
  for (const { names, ip, ip6 } of endpoints) {
    const four = ip === undefined ? [] : [addressBytes(ip)];
    const six = ip6 === undefined ? [] : [addressBytes(ip6)];
    for (const one of names) {
      const key = one.toLowerCase();
      const found = byName.get(key) ?? { four: [], six: [] };
      found.four.push(...four);
      found.six.push(...six);
      byName.set(key, found);
    }
    const [first = ''] = names;
    for (const bytes of [...four, ...six]) byAddress.set(bytes.toHex(), `${first}.${name}`);
  }
  return { name, byName, byAddress };
}

export class NameTables {
  readonly #networks = new Map<string, Index>();
  readonly #views = new Map<string, View & { readonly linked: Index }>();
  #turn = 0;

  setNetworks(networks: readonly NamedNetwork[]): void {
    this.#networks.clear();
    for (const { id, name, endpoints } of networks) this.#networks.set(id, indexOf(name, endpoints));
  }

  setView(container: string, view: View): void {
    this.#views.set(container, { ...view, linked: indexOf('', view.links) });
  }

  forget(container: string): void {
    this.#views.delete(container);
  }

  upstreamOf(container: string): readonly string[] {
    return this.#views.get(container)?.upstream ?? [];
  }

  egressOf(container: string): EgressView | undefined {
    return this.#views.get(container)?.egress;
  }

  /** An answer from what is known here; undefined: others have to be asked. */
  answer(container: string, query: Uint8Array, question: Question): Uint8Array | undefined {
    const indexes = this.#indexesOf(container);
    if (question.type === TYPE.PTR) {
      const address = reversedAddress(question.name);
      const name = address === undefined ? undefined : first(indexes, (index) => index.byAddress.get(address));
      if (name === undefined) return undefined;
      return answerTo(query, question, { code: RCODE.ok, data: [nameBytes(name)], ttlSeconds: TTL_SECONDS });
    }
    const found = this.#find(indexes, question.name);
    if (found === undefined) return undefined;
    const known = question.type === TYPE.A ? found.four : question.type === TYPE.AAAA ? found.six : [];
    return answerTo(query, question, { code: RCODE.ok, data: this.#turned(known), ttlSeconds: TTL_SECONDS });
  }

  /** For the host, which sees all networks: NAME.NETWORK.berth.internal, and addresses backwards. */
  answerHost(query: Uint8Array, question: Question): Uint8Array {
    const answer = (code: number, data: readonly Uint8Array[] = []): Uint8Array =>
      answerTo(query, question, { code, data, ttlSeconds: HOST_TTL_SECONDS });
    const all = [...this.#networks.values()];
    if (question.type === TYPE.PTR) {
      const address = reversedAddress(question.name);
      const name = address === undefined ? undefined : first(all, (index) => index.byAddress.get(address));
      return name === undefined ? answer(RCODE.nameError) : answer(RCODE.ok, [nameBytes(`${name}.${HOST_DOMAIN}`)]);
    }
    if (question.name === HOST_DOMAIN) return answer(RCODE.ok);
    if (!question.name.endsWith(`.${HOST_DOMAIN}`)) return answer(RCODE.refused);
    const name = question.name.slice(0, -HOST_DOMAIN.length - 1);
    const found = first(all, (index) => ofNetwork(index, name));
    if (found === undefined) return answer(RCODE.nameError);
    const known = question.type === TYPE.A ? found.four : question.type === TYPE.AAAA ? found.six : [];
    return answer(RCODE.ok, this.#turned(known));
  }

  #indexesOf(container: string): Index[] {
    const view = this.#views.get(container);
    if (view === undefined) return [];
    return [view.linked, ...view.networks.flatMap((id) => this.#networks.get(id) ?? [])];
  }

  /** 'name', or 'name.network'. */
  #find(indexes: readonly Index[], name: string): Found | undefined {
    const plain = first(indexes, (index) => index.byName.get(name));
    if (plain !== undefined) return plain;
    return first(indexes, (index) => ofNetwork(index, name));
  }

  #turned(all: readonly Uint8Array[]): Uint8Array[] {
    if (all.length < 2) return [...all];
    this.#turn = (this.#turn + 1) % 0xffff;
    const from = this.#turn % all.length;
    return [...all.slice(from), ...all.slice(0, from)];
  }
}

/** 'name.network'; either may have dots of its own. */
function ofNetwork(index: Index, name: string): Found | undefined {
  const end = `.${index.name.toLowerCase()}`;
  return name.endsWith(end) ? index.byName.get(name.slice(0, -end.length)) : undefined;
}

function first<T, R>(all: readonly T[], find: (one: T) => R | undefined): R | undefined {
  for (const one of all) {
    const found = find(one);
    if (found !== undefined) return found;
  }
  return undefined;
}
