/**
 * Which of a container's networks lead out: by priority, then by name, as with Docker, and for each family the first that
 * has a gateway. Ports are published on the networks that lead out.
 */
import { publishPolicyOf } from '#container/network-policy.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { messageOf, systemError } from '#errdefs/errors.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import { BOTH, type Families, type PortRequest } from '#networkdriver/driver.ts';
import type { Rollback } from '#pkg/rollback/rollback.ts';
import type { Services } from '../services.ts';
import { portRequestsOf } from './ports.ts';
import type { Network } from './registry.ts';

const NONE: Families = { four: false, six: false };

export interface Gateways {
  readonly four: StoredEndpoint | undefined;
  readonly six: StoredEndpoint | undefined;
}

export function gatewaysOf(record: ContainerRecord, endpoints: readonly StoredEndpoint[]): Gateways {
  const priority = (endpoint: StoredEndpoint): number => record.networks[endpoint.network]?.gwPriority ?? 0;
  const sorted = [...endpoints].sort((a, b) => priority(b) - priority(a) || (a.network < b.network ? -1 : 1));
  const leads = (address: StoredEndpoint['address'], { defaultLink }: StoredEndpoint): boolean =>
    address !== undefined && (address.gateway !== '' || defaultLink === true);
  return {
    four: sorted.find((endpoint) => leads(endpoint.address, endpoint)),
    six: sorted.find((endpoint) => leads(endpoint.address6, endpoint)),
  };
}

export function familiesOf({ four, six }: Gateways, { id }: StoredEndpoint): Families {
  return { four: four?.id === id, six: six?.id === id };
}

const isAny = ({ four, six }: Families): boolean => four || six;
const same = (a: Families, b: Families): boolean => a.four === b.four && a.six === b.six;

/** What leads through an endpoint now. */
export const leadingOf = ({ leads, leading }: StoredEndpoint): Families => leading ?? (leads === true ? BOTH : NONE);

/** An endpoint with what leads through it and the ports that are published on it. */
export function publishPorts(
  services: Services,
  record: ContainerRecord,
  endpoint: StoredEndpoint,
  { families, undo }: { readonly families: Families; readonly undo: Rollback },
): StoredEndpoint {
  const { leads: _leads, leading: _leading, ports: _ports, ...plain } = endpoint;
  if (!isAny(families)) return plain;
  const leading = { ...plain, leads: true, leading: families };
  const requests = judgedAsAsked(services, record, endpoint, portRequestsOf(record));
  const driver = driverOf(services, endpoint);
  if (requests.length === 0 || driver === undefined) return leading;
  try {
    const ports = driver.publish(endpoint, requests, families);
    undo.defer('take published ports back', async () => driver.unpublish(endpoint, ports));
    return { ...leading, ports };
  } catch (cause) {
    throw systemError(
      `driver failed programming external connectivity on endpoint ${record.name} (${endpoint.id}): ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** By the publish-policy of the container, its network, or the daemon. */
export function judgedAsAsked(
  services: Pick<Services, 'networks' | 'settings'>,
  record: ContainerRecord,
  endpoint: StoredEndpoint,
  requests: readonly PortRequest[],
): readonly PortRequest[] {
  if (!isJudged(services, record, endpoint)) return requests;
  return requests.map((request) => ({ ...request, judged: true }));
}

export function isJudged(
  services: Pick<Services, 'networks' | 'settings'>,
  record: ContainerRecord,
  endpoint: StoredEndpoint,
): boolean {
  const options = services.networks.get(endpoint.networkId)?.record.options;
  return publishPolicyOf(services.settings.publishPolicy, record.config.Labels, options) === 'host-firewall';
}

export function driverOf(services: Services, endpoint: StoredEndpoint): Network['driver'] | undefined {
  return services.networks.get(endpoint.networkId)?.driver;
}

/**
 * Networks of a running container have come or gone: default routes and ports move to where they lead out now. Returns
 * the endpoints as they are then.
 */
export async function moveGateways(
  services: Services,
  record: ContainerRecord,
  work: (task: (gate: NetworkGate) => Promise<void>) => Promise<void>,
  undo: Rollback,
): Promise<StoredEndpoint[]> {
  const gateways = gatewaysOf(record, record.endpoints);
  const moving = record.endpoints.filter((one) => !same(leadingOf(one), familiesOf(gateways, one)));
  if (moving.length === 0) return [...record.endpoints];
  for (const endpoint of moving) {
    const { ports = [] } = endpoint;
    const driver = driverOf(services, endpoint);
    if (ports.length === 0 || driver === undefined) continue;
    driver.unpublish(endpoint, ports);
    undo.defer('publish ports again', async () => {
      driver.publish(endpoint, judgedAsAsked(services, record, endpoint, portRequestsOf(record)), leadingOf(endpoint));
    });
  }
  const leading = moving.filter((one) => isAny(familiesOf(gateways, one)));
  if (leading.length > 0) {
    await work(async (gate) => {
      for (const one of leading) await driverOf(services, one)?.lead(one, gate, familiesOf(gateways, one));
    });
  }
  return record.endpoints.map((one) =>
    moving.includes(one) ? publishPorts(services, record, one, { families: familiesOf(gateways, one), undo }) : one,
  );
}
