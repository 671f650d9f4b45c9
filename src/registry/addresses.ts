/**
 * Addresses of the names of registries, for `insecure-registries` with CIDRs: as in dockerd they mean every registry
 * whose name leads there, and 127.0.0.0/8 is always one of them. A name that cannot be looked up is not trusted.
 */
import * as dns from 'node:dns';
import { isIP } from 'node:net';
import { hostnameOf } from './settings.ts';

/** An unreachable name server must not hold up what will fail by itself. */
const LIMIT_MS = 3000;
const KEPT_MS = 30_000;
const KEPT_MAX = 256;

export type Lookup = (name: string) => Promise<readonly string[]>;

const system: Lookup = async (name) => (await dns.promises.lookup(name, { all: true })).map(({ address }) => address);

export class Addresses {
  readonly #lookup: Lookup;
  readonly #now: () => number;
  readonly #known = new Map<string, { readonly addresses: readonly string[]; readonly atMs: number }>();

  constructor(now: () => number, lookup: Lookup = system) {
    this.#lookup = lookup;
    this.#now = now;
  }

  /** Of a host with or without a port; none for addresses and for what nobody knows. */
  async of(host: string): Promise<readonly string[]> {
    const name = hostnameOf(host);
    if (name === '' || isIP(name) !== 0) return [];
    const known = this.#known.get(name);
    if (known !== undefined && known.atMs + KEPT_MS > this.#now()) return known.addresses;
    const addresses = await this.#ask(name);
    if (this.#known.size >= KEPT_MAX) this.#known.clear();
    this.#known.set(name, { addresses, atMs: this.#now() });
    return addresses;
  }

  async #ask(name: string): Promise<readonly string[]> {
    const late = Promise.withResolvers<readonly string[]>();
    const timer = setTimeout(() => late.resolve([]), LIMIT_MS);
    try {
      return await Promise.race([this.#lookup(name), late.promise]);
    } catch {
      return [];
    } finally {
      clearTimeout(timer);
    }
  }
}
