/**
 * Egress policies of containers (labels) and networks (options): put in force before the first packet can leave, changed
 * while containers run, told when they refuse something. The rules are the firewall's, names are the DNS server's to judge.
 */
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { egressOf } from '#container/network-policy.ts';
import { invalidParameter, unavailable } from '#errdefs/errors.ts';
import { type Denial, DenialListener } from '#libcontainer/firewall/denials.ts';
import { type EgressPolicy, judgesNames } from '#libcontainer/firewall/egress-policy.ts';
import type { Rules } from '#libcontainer/firewall/firewall.ts';
import type { FirewallEgress } from '#libcontainer/firewall/egress-text.ts';
import { linkLocalOf } from '#networkdriver/bridge-endpoint.ts';
import type { EgressView } from '#networkdriver/dns/egress.ts';
import { log } from '#pkg/log/log.ts';
import { publishContainerEvent } from '../container/event.ts';
import type { EgressControl, Services } from '../services.ts';
import { bridgeNameOf } from './options.ts';
import type { NetworkRecord } from './record.ts';

type Wanted = Pick<Services, 'containers' | 'networks' | 'events'>;
type Endpoints = readonly StoredEndpoint[];

const ID_DIGITS = 12;
/** The same refusal again within this time is not told again. */
const QUIET_MS = 60_000;
const TOLD_MAX = 1_000;
/** Whose packets pass our rules. */
const ENFORCED_DRIVERS: readonly string[] = ['bridge', 'null'];

const idOf = (id: string): string => id.slice(0, ID_DIGITS);

export const addressesOf = (endpoints: Endpoints): string[] =>
  endpoints.flatMap(({ address, address6 }) => [address?.ip, address6?.ip].filter((ip) => ip !== undefined));

/** Also the link's own addresses, by which the host can be reached. */
export const sendersOf = (endpoints: Endpoints): string[] => [
  ...addressesOf(endpoints),
  ...endpoints.flatMap(({ address6 }) => (address6 === undefined ? [] : [linkLocalOf(address6.mac)])),
];

/** The container's own and those of its networks. */
export function policiesOf(
  { networks }: Pick<Services, 'networks'>,
  { config }: Pick<ContainerRecord, 'config'>,
  endpoints: Endpoints,
): EgressPolicy[] {
  const ofNetworks = endpoints.map(({ networkId }) => egressOf(networks.get(networkId)?.record.options));
  return [egressOf(config.Labels), ...ofNetworks].filter((policy) => policy !== undefined);
}

export class Egress implements EgressControl {
  readonly #firewall: () => Rules;
  /** Of containers and networks whose policies are in force. */
  readonly #inForce = new Set<string>();
  readonly #told = new Map<string, number>();
  #listener: DenialListener | undefined;

  /** `firewall` is asked for with the first policy. */
  constructor(firewall: () => Rules) {
    this.#firewall = firewall;
  }

  /**
   * What follows from a container's label for these endpoints; `fresh`: those whose addresses were another's before. Errors:
   * invalid-parameter for a network that does not go through our rules.
   */
  apply(services: Wanted, record: ContainerRecord, endpoints: Endpoints, fresh: Endpoints = []): void {
    const own = egressOf(record.config.Labels);
    if (own === undefined) this.end(record.id);
    else {
      checkEnforced(services, endpoints);
      this.#checkSix(endpoints.some(({ address6 }) => address6 !== undefined));
      this.#put(services, { id: idOf(record.id), policy: own, ips: sendersOf(endpoints), bridges: [] });
    }
    if (fresh.length > 0 && policiesOf(services, record, fresh).length > 0) {
      this.#firewall().forgetKnown(addressesOf(fresh));
    }
  }

  /** A container's or a network's. Idempotent. */
  end(id: string): void {
    if (this.#inForce.delete(idOf(id))) this.#firewall().removeEgress(idOf(id));
  }

  applyNetwork(services: Wanted, record: NetworkRecord): void {
    const egress = ofNetwork(record);
    if (egress === undefined) return this.end(record.id);
    this.#checkSix(record.enableIPv6);
    this.#put(services, egress);
  }

  /** Errors: unavailable. A policy that nobody enforces must not be believed in. */
  #checkSix(six: boolean): void {
    const firewall = this.#firewall();
    if (!six || !firewall.translates || firewall.judgesSix) return;
    throw unavailable('an egress policy needs rules of the firewall, which "ip6tables": false forbids of IPv6');
  }

  #put(services: Wanted, egress: FirewallEgress): void {
    this.#firewall().putEgress(egress);
    this.#inForce.add(egress.id);
    this.#listen(services);
  }

  /** What names have led a container to is no longer open; names that are still allowed open it again. */
  forgetKnown(endpoints: Endpoints): void {
    if (this.#inForce.size > 0) this.#firewall().forgetKnown(addressesOf(endpoints));
  }

  /** What the DNS server needs to judge a container's questions; undefined: nothing. */
  viewOf(services: Wanted, record: ContainerRecord): EgressView | undefined {
    const policies = policiesOf(services, record, record.endpoints);
    if (!policies.some(judgesNames)) return undefined;
    return { table: this.#firewall().table, policies, ips: addressesOf(record.endpoints) };
  }

  /** Before the firewall's tables are written for the first time: no packet passes without its policy. */
  restore(services: Wanted, alive: readonly ContainerRecord[]): void {
    const policies = [
      ...services.networks.all().map(({ record }) => ofNetwork(record)),
      ...alive.map(ofContainer),
    ].filter((egress) => egress !== undefined);
    if (policies.length === 0) return;
    this.#firewall().setEgress(policies);
    for (const { id } of policies) this.#inForce.add(id);
    this.#listen(services);
  }

  /** After the tables are there. */
  sweep(): void {
    if (this.#inForce.size === 0) return;
    try {
      this.#firewall().sweepEgress();
    } catch (err) {
      log.warn('egress policies that nobody has any more are not swept', { err });
    }
  }

  #listen(services: Wanted): void {
    this.#listener ??= new DenialListener(this.#firewall().logGroup, (denial) => this.#refused(services, denial));
  }

  #refused(services: Wanted, { from, to, protocol, port }: Denial): void {
    const record = services.containers
      .all()
      .find(({ endpoints }) => endpoints.length > 0 && addressesOf(endpoints).includes(from));
    if (record === undefined) return;
    const where = port === 0 ? {} : { port: String(port) };
    this.#tell(services, record, { destination: to, protocol, ...where });
  }

  /** A name that was asked for in vain. */
  refusedName(services: Wanted, container: string, name: string): void {
    const record = services.containers.get(container);
    if (record !== undefined) this.#tell(services, record, { destination: name, protocol: 'dns' });
  }

  #tell(services: Wanted, record: ContainerRecord, what: Readonly<Record<string, string>>): void {
    const key = `${record.id} ${Object.values(what).join(' ')}`;
    const now = performance.now();
    if ((this.#told.get(key) ?? Number.NEGATIVE_INFINITY) > now - QUIET_MS) return;
    this.#told.delete(key);
    this.#told.set(key, now);
    const [oldest] = this.#told.keys();
    if (this.#told.size > TOLD_MAX && oldest !== undefined) this.#told.delete(oldest);
    log.info('an egress policy refused a connection', { container: record.id, ...what });
    publishContainerEvent(services.events, record, 'egress_denied', what);
  }

  close(): void {
    this.#listener?.[Symbol.dispose]();
  }
}

function ofContainer(record: ContainerRecord): FirewallEgress | undefined {
  const policy = egressOf(record.config.Labels);
  return policy === undefined
    ? undefined
    : { id: idOf(record.id), policy, ips: sendersOf(record.endpoints), bridges: [] };
}

function ofNetwork(record: NetworkRecord): FirewallEgress | undefined {
  const policy = record.driver === 'bridge' ? egressOf(record.options) : undefined;
  return policy === undefined ? undefined : { id: idOf(record.id), policy, ips: [], bridges: [bridgeNameOf(record)] };
}

function checkEnforced({ networks }: Pick<Services, 'networks'>, endpoints: Endpoints): void {
  for (const { networkId, network } of endpoints) {
    const driver = networks.get(networkId)?.record.driver ?? '';
    if (ENFORCED_DRIVERS.includes(driver)) continue;
    throw invalidParameter(`an egress policy cannot be enforced on network "${network}" of driver "${driver}"`);
  }
}
