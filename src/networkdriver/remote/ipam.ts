/**
 * Addresses by an IPAM plugin (Docker's IpamDriver protocol): pools are asked for when a network is made, addresses when
 * an endpoint is, and both are given back. A plugin that says so is told again at a start of the daemon what it gave.
 */
import type { Ipam, IpamPool } from '#api/types/network.ts';
import { messageOf, systemError } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { isIP } from 'node:net';
import { PluginClient } from '#plugins/client.ts';
import type { Addresses, Given, GivenAddresses } from '../addresses.ts';
import type { EndpointRequest } from '../driver.ts';

const SUBJECT = 'IpamDriver';
const ADDRESS_TYPE = 'RequestAddressType';
const GATEWAY = 'com.docker.network.gateway';
const MAC = 'com.docker.network.endpoint.macaddress';

/** A pool as the plugin gave it; part of the network's record. */
export interface PluginPool {
  readonly id: string;
  /** '10.0.0.0/24' */
  readonly subnet: string;
  /** Without length; '' for none. */
  readonly gateway: string;
  /** The gateway was asked for, and is given back. */
  readonly gatewayTaken: boolean;
}

export class IpamPlugin {
  readonly #client: PluginClient;
  #capabilities: { readonly macs: boolean; readonly replay: boolean } | undefined;

  constructor(name: string) {
    this.#client = new PluginClient(name);
  }

  async #call(method: string, body: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
    return this.#client.call(`${SUBJECT}.${method}`, body);
  }

  /** A plugin that does not know the question has none of them. */
  async #asksFor(): Promise<{ readonly macs: boolean; readonly replay: boolean }> {
    if (this.#capabilities !== undefined) return this.#capabilities;
    let answer: Record<string, unknown> = {};
    try {
      answer = await this.#call('GetCapabilities', {});
    } catch (err) {
      log.debug('an IPAM plugin tells no capabilities', { plugin: this.#client.name, err });
    }
    this.#capabilities = {
      macs: answer['RequiresMACAddress'] === true,
      replay: answer['RequiresRequestReplay'] === true,
    };
    return this.#capabilities;
  }

  /** All or none. Errors: the plugin's. */
  async requestPools(
    ipam: Ipam,
    { ipv4, ipv6 }: { readonly ipv4: boolean; readonly ipv6: boolean },
  ): Promise<{ readonly config: IpamPool[]; readonly pools: PluginPool[] }> {
    const spaces = await this.#call('GetDefaultAddressSpaces', {});
    const space = textOf(spaces['LocalDefaultAddressSpace']);
    const asked = ipam.Config ?? [];
    const isSix = (pool: IpamPool) => (pool.Subnet ?? '').includes(':');
    const fours = asked.filter((pool) => !isSix(pool));
    const sixes = asked.filter(isSix);
    const wanted = [
      ...(ipv4 ? (fours.length === 0 ? [{}] : fours) : []).map((pool) => ({ pool, six: false })),
      ...(ipv6 ? (sixes.length === 0 ? [{}] : sixes) : []).map((pool) => ({ pool, six: true })),
    ];
    const pools: PluginPool[] = [];
    const config: IpamPool[] = [];
    try {
      for (const { pool, six } of wanted) {
        const given = await this.#requestPool({ space, pool, six, options: ipam.Options ?? {} });
        pools.push(given);
        const { Gateway: _gateway, ...rest } = pool;
        config.push({ ...rest, Subnet: given.subnet, ...(given.gateway === '' ? {} : { Gateway: given.gateway }) });
      }
    } catch (error) {
      await this.releasePools(pools);
      throw error;
    }
    return { config, pools };
  }

  async #requestPool(wish: {
    readonly space: string;
    readonly pool: IpamPool;
    readonly six: boolean;
    readonly options: Readonly<Record<string, string>>;
  }): Promise<PluginPool> {
    const { space, pool, six, options } = wish;
    const answer = await this.#call('RequestPool', {
      AddressSpace: space,
      Pool: pool.Subnet ?? '',
      SubPool: pool.IPRange ?? '',
      Options: options,
      V6: six,
    });
    const [id, subnet] = [textOf(answer['PoolID']), textOf(answer['Pool'])];
    if (id === '' || !isCidr(subnet)) {
      throw systemError(`IPAM plugin "${this.#client.name}" gave no pool: ${JSON.stringify(answer).slice(0, 200)}`);
    }
    const own = withoutLength(fieldOf(answer['Data'], GATEWAY));
    if (own !== '') return { id, subnet, gateway: own, gatewayTaken: false };
    try {
      const given = await this.#requestAddress(id, pool.Gateway ?? '', { [ADDRESS_TYPE]: GATEWAY });
      return { id, subnet, gateway: given.ip, gatewayTaken: true };
    } catch (error) {
      await this.releasePools([{ id, subnet, gateway: '', gatewayTaken: false }]);
      throw error;
    }
  }

  /** What cannot be given back is told: the network goes all the same. */
  async releasePools(pools: readonly PluginPool[]): Promise<void> {
    for (const { id, gateway, gatewayTaken } of pools) {
      try {
        if (gatewayTaken) await this.release(id, gateway);
        await this.#call('ReleasePool', { PoolID: id });
      } catch (err) {
        log.warn('an IPAM plugin did not take a pool back', { plugin: this.#client.name, pool: id, err });
      }
    }
  }

  async request(pool: PluginPool, ip: string, mac: string): Promise<Given> {
    const { macs } = await this.#asksFor();
    return this.#requestAddress(pool.id, ip, macs ? { [MAC]: mac } : {});
  }

  async #requestAddress(pool: string, ip: string, options: Readonly<Record<string, string>>): Promise<Given> {
    const answer = await this.#call('RequestAddress', { PoolID: pool, Address: ip, Options: options });
    const text = textOf(answer['Address']);
    if (!isCidr(text)) {
      throw systemError(`IPAM plugin "${this.#client.name}" gave no address: ${JSON.stringify(text)}`);
    }
    return { ip: withoutLength(text), prefixLength: Number(text.split('/')[1]) };
  }

  async release(pool: string, ip: string): Promise<void> {
    await this.#call('ReleaseAddress', { PoolID: pool, Address: ip });
  }

  /** Of what lives on over a restart of the daemon, where the plugin forgets. */
  async replay(pool: PluginPool, ip: string): Promise<void> {
    if (!(await this.#asksFor()).replay) return;
    await this.#requestAddress(pool.id, ip, {});
  }
}

/** Addresses of one network by its plugin. */
export class PluginAddresses implements Addresses {
  readonly #plugin: IpamPlugin;
  readonly #pools: readonly PluginPool[];

  constructor(plugin: IpamPlugin, pools: readonly PluginPool[]) {
    this.#plugin = plugin;
    this.#pools = pools;
  }

  async allocate(request: EndpointRequest): Promise<GivenAddresses> {
    const four = await this.#give(false, request.ip, request);
    try {
      const six = await this.#give(true, request.ip6, request);
      return { ...(four === undefined ? {} : { four }), ...(six === undefined ? {} : { six }) };
    } catch (error) {
      if (four !== undefined) await this.release([four.ip]);
      throw error;
    }
  }

  async #give(six: boolean, wanted: string | undefined, request: EndpointRequest): Promise<Given | undefined> {
    const pool = this.#poolOf(six);
    return pool === undefined ? undefined : this.#plugin.request(pool, wanted ?? '', request.mac ?? '');
  }

  #poolOf(six: boolean): PluginPool | undefined {
    return this.#pools.find(({ subnet }) => subnet.includes(':') === six);
  }

  /** Told when the plugin answers: it may be a container, which this daemon has yet to start. */
  async reserve(ip: string): Promise<void> {
    const pool = this.#poolOf(ip.includes(':'));
    if (pool === undefined) return;
    this.#plugin.replay(pool, ip).catch((err: unknown) => {
      log.warn('an IPAM plugin was not told of an address that is in use', { pool: pool.id, ip, err });
    });
  }

  async release(ips: readonly string[]): Promise<void> {
    for (const ip of ips) {
      const pool = this.#poolOf(ip.includes(':'));
      if (pool === undefined) continue;
      try {
        await this.#plugin.release(pool.id, ip);
      } catch (error) {
        throw systemError(`Cannot give address "${ip}" back: ${messageOf(error)}`, { cause: error });
      }
    }
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const fieldOf = (value: unknown, key: string): string =>
  typeof value === 'object' && value !== null ? textOf(Reflect.get(value, key)) : '';

const withoutLength = (cidr: string): string => cidr.split('/')[0] ?? '';

function isCidr(text: string): boolean {
  const [ip = '', length = '', more] = text.split('/');
  return isIP(ip) !== 0 && /^\d{1,3}$/.test(length) && more === undefined;
}
