/**
 * Names of containers for each other: which containers are served, what each sees, and who is on which network. Told to
 * the DNS server whenever something of it changes.
 */
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { judgesNames } from '#libcontainer/firewall/egress-policy.ts';
import type { LearnedName } from '#libcontainer/firewall/egress-flow.ts';
import { DnsServer } from '#networkdriver/dns/dns.ts';
import type { NamedNetwork, View } from '#networkdriver/dns/tables.ts';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { nameserversOf } from '../container/generated-files.ts';
import type { Names, Services } from '../services.ts';
import { dnsNamesOf } from './dns-names.ts';
import { linkedNames } from './links.ts';
import { policiesOf } from './egress.ts';
import { isPredefined } from './names.ts';

type Wanted = Pick<Services, 'containers' | 'networks' | 'settings' | 'live' | 'egress' | 'events'>;

/** Containers on networks of users have names for each other; on the default bridge they have none, as with Docker. */
function hasNames(endpoints: readonly StoredEndpoint[]): boolean {
  return endpoints.some(
    ({ network, address, address6 }) => !isPredefined(network) && (address ?? address6) !== undefined,
  );
}

/** It has names, or a policy that judges those of others. */
export function isServed(
  services: Pick<Services, 'networks'>,
  record: Pick<ContainerRecord, 'config'>,
  endpoints: readonly StoredEndpoint[],
): boolean {
  if (hasNames(endpoints)) return true;
  const somewhere = endpoints.some(({ address, address6 }) => (address ?? address6) !== undefined);
  return somewhere && policiesOf(services, record, endpoints).some(judgesNames);
}

export class NameService implements Names {
  readonly #dns = new DnsServer();
  #planned = false;
  #servesHost = false;

  /** At the gate of a start: before the container's program runs its names can be asked for. */
  serve(services: Wanted, record: ContainerRecord, endpoints: readonly StoredEndpoint[], namespace: number): void {
    if (!isServed(services, record, endpoints)) return;
    this.#dns.denied = ({ container, name }) => services.egress.refusedName(services, container, name);
    this.#dns.serve(record.id, namespace, viewOf(services, { ...record, endpoints }));
  }

  /** A container that runs already: after a restart of the daemon, or since it has come onto such a network. */
  serveRunning(services: Wanted, record: ContainerRecord): void {
    if (!isServed(services, record, record.endpoints)) return;
    const namespace = open(`/proc/${record.state.pid}/ns/net`, O.RDONLY);
    try {
      this.serve(services, record, record.endpoints, namespace);
    } finally {
      close(namespace);
    }
  }

  /** Its networks have changed. */
  refresh(services: Wanted, record: ContainerRecord): void {
    this.#dns.setView(record.id, viewOf(services, record));
    this.changed(services);
  }

  learned(container: string): Promise<readonly LearnedName[]> {
    return this.#dns.learned(container);
  }

  end(container: string): void {
    this.#dns.end(container);
  }

  /** Errors: SysError when port 53 of the address is taken. */
  serveHost(services: Wanted, address: string): void {
    this.#dns.serveHost(address);
    this.#servesHost = true;
    this.changed(services);
  }

  async endHost(): Promise<void> {
    this.#servesHost = false;
    await this.#dns.endHost();
  }

  /** Soon, and once for all that changes at the same time. */
  changed(services: Wanted): void {
    // Every start and end comes by here: without networks of users there is nothing to tell.
    if (this.#planned || (!this.#servesHost && services.networks.userNetworks().length === 0)) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      this.#dns.setNetworks(networksOf(services));
      // Whom a link leads to may have come or gone.
      for (const record of services.containers.all()) {
        const linked = Object.values(record.networks).some(({ links }) => links.length > 0);
        if (linked && isRunning(record.state)) this.#dns.setView(record.id, viewOf(services, record));
      }
    });
  }

  /** The firewall's tables were emptied by others. */
  repaired(): void {
    this.#dns.repaired();
  }

  close(): void {
    this.#dns.close();
  }
}

function viewOf(services: Wanted, record: ContainerRecord): View {
  const own = record.endpoints.filter(({ network }) => !isPredefined(network));
  const egress = services.egress.viewOf(services, record);
  const inside =
    own.length > 0 && own.every(({ networkId }) => services.networks.get(networkId)?.record.internal === true);
  return {
    networks: own.map(({ networkId }) => networkId),
    links: linkedNames(services, record),
    upstream: inside ? [] : nameserversOf(record, services.settings),
    ...(egress === undefined ? {} : { egress }),
  };
}

/** Also the default bridge: the host sees its names, its containers do not. */
function networksOf({ containers, networks }: Wanted): NamedNetwork[] {
  const running = containers.all().filter((record) => isRunning(record.state));
  const named = networks.all().filter(({ record }) => !isPredefined(record.name) || record.name === 'bridge');
  return named.map(({ record: { id, name } }) => ({
    id,
    name,
    endpoints: running.flatMap((container) =>
      container.endpoints
        .filter(({ networkId }) => networkId === id)
        .map(({ network, address, address6 }) => ({
          names: dnsNamesOf(container, container.networks[network] ?? { aliases: [] }),
          ...(address === undefined ? {} : { ip: address.ip }),
          ...(address6 === undefined ? {} : { ip6: address6.ip }),
        })),
    ),
  }));
}
