/** The networks of a daemon: their records, and the driver of each. */
import { BerthError, conflict, notFound } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { Subnet, Subnet6 } from '#libcontainer/netlink/ip.ts';
import type { NetworkDriver } from '#networkdriver/driver.ts';
import { IpamPlugin } from '#networkdriver/remote/ipam.ts';
import { log } from '#pkg/log/log.ts';
import { isPredefined } from './names.ts';
import { decodeNetwork, NETWORK_KIND, type NetworkRecord } from './record.ts';

export interface Network {
  readonly record: NetworkRecord;
  readonly driver: NetworkDriver;
}

export type MakeDriver = (record: NetworkRecord) => NetworkDriver;

export class Networks {
  readonly #db: GraphDb;
  readonly #make: MakeDriver;
  readonly #byId = new Map<string, Network>();
  /** The network for one that names none. Errors: invalid-parameter. */
  readonly choose: (taken: readonly Subnet[]) => Subnet;
  readonly choose6: (taken: readonly Subnet6[]) => Subnet6;

  constructor(options: {
    readonly db: GraphDb;
    readonly make: MakeDriver;
    readonly choose: (taken: readonly Subnet[]) => Subnet;
    readonly choose6: (taken: readonly Subnet6[]) => Subnet6;
    readonly predefined: readonly Network[];
  }) {
    const { db, make, choose, choose6, predefined } = options;
    this.#db = db;
    this.#make = make;
    this.choose = choose;
    this.choose6 = choose6;
    for (const network of predefined) this.#byId.set(network.record.id, network);
  }

  /** Those of the database, at start; removals that were cut off are finished by `restored`. */
  load(): { readonly unfinished: readonly Network[] } {
    const unfinished: Network[] = [];
    for (const { id, document } of this.#db.list(NETWORK_KIND)) {
      const record = decodeNetwork(id, document);
      try {
        const network = { record, driver: this.#make(record) };
        if (record.removing) unfinished.push(network);
        else this.#byId.set(id, network);
      } catch (err) {
        log.error('a network cannot be opened', { network: record.name, err });
      }
    }
    return { unfinished };
  }

  all(): Network[] {
    return [...this.#byId.values()];
  }

  get(id: string): Network | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): Network | undefined {
    return this.all().find(({ record }) => record.name === name);
  }

  /** By full id, name, or unique part of the id. Errors: not-found; conflict when several ids begin so. */
  resolve(reference: string): Network {
    const found = this.#byId.get(reference) ?? this.byName(reference);
    if (found !== undefined) return found;
    const matching = reference === '' ? [] : this.all().filter(({ record }) => record.id.startsWith(reference));
    if (matching.length > 1)
      throw conflict(`network ${reference} is ambiguous (${matching.length} matches found on ID prefix)`);
    const [only] = matching;
    if (only === undefined) throw notFound(`network ${reference} not found`);
    return only;
  }

  find(reference: string): Network | undefined {
    try {
      return this.resolve(reference);
    } catch (error) {
      if (error instanceof BerthError) return undefined;
      throw error;
    }
  }

  /** Intent first: a crash leaves a record whose bridge is made at the next start. */
  async add(record: NetworkRecord): Promise<Network> {
    const network = { record, driver: this.#make(record) };
    this.#db.transaction(() => this.#db.put(NETWORK_KIND, record.id, record));
    this.#byId.set(record.id, network);
    try {
      await network.driver.ensure();
    } catch (error) {
      this.#byId.delete(record.id);
      this.#db.transaction(() => this.#db.delete(NETWORK_KIND, record.id));
      await network.driver.close();
      throw error;
    }
    return network;
  }

  /** Another record for a network that is there. */
  update(record: NetworkRecord): void {
    const { id } = record;
    const network = this.#byId.get(id);
    if (network === undefined) throw notFound(`network ${record.name} not found`);
    this.#db.transaction(() => this.#db.put(NETWORK_KIND, id, record));
    this.#byId.set(id, { ...network, record });
  }

  /** Nobody sees it any more when this returns; `gone` settles when the host is rid of it. */
  remove(network: Network): { readonly gone: Promise<void> } {
    const { record } = network;
    this.#db.transaction(() => this.#db.put(NETWORK_KIND, record.id, { ...record, removing: true }));
    this.#byId.delete(record.id);
    return { gone: this.finishRemoval(network) };
  }

  async finishRemoval({ record, driver }: Network): Promise<void> {
    await driver.remove();
    await driver.close();
    if (record.pools !== undefined) await new IpamPlugin(record.ipam.Driver).releasePools(record.pools);
    this.#db.transaction(() => this.#db.delete(NETWORK_KIND, record.id));
  }

  /** Of networks other than those from the start. */
  userNetworks(): Network[] {
    return this.all().filter(({ record }) => !isPredefined(record.name));
  }

  async close(): Promise<void> {
    for (const { driver } of this.#byId.values()) await driver.close();
  }
}
