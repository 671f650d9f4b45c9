/**
 * The endpoints of one container through a start: which networks it wants, their endpoints in order (eth0 first), the
 * default route, published ports, and their release.
 */
import { egressOf, isUnguarded, publishPolicyOf } from '#container/network-policy.ts';
import type { NetworkWish } from '#container/network-wish.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { containerOfMode } from '#container/validate.ts';
import { invalidParameter, messageOf, notFound, systemError } from '#errdefs/errors.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import { log } from '#pkg/log/log.ts';
import type { PortRequest } from '#networkdriver/driver.ts';
import type { Rollback } from '#pkg/rollback/rollback.ts';
import type { Services } from '../services.ts';
import { networkNameOf } from '../container/event.ts';
import { isPredefined } from './names.ts';
import { portRequestsOf } from './ports.ts';
import type { Network } from './registry.ts';

/** The networks that a container is to be on, by name; eth0's first. */
export function wishesOf(record: ContainerRecord): [name: string, wish: NetworkWish][] {
  if (containerOfMode(record.hostConfig.NetworkMode) !== undefined) return [];
  const wishes = Object.entries(record.networks);
  const first = networkNameOf(record);
  return wishes.sort(([a], [b]) => Number(b === first) - Number(a === first));
}

/** Errors: not-found naming a network that is gone. */
function networkFor(services: Services, record: ContainerRecord, name: string, wish: NetworkWish): Network {
  const wanted = record.config.NetworkDisabled === true ? 'none' : name;
  const network =
    (wish.networkId === '' ? undefined : services.networks.get(wish.networkId)) ?? services.networks.find(wanted);
  if (network === undefined) throw notFound(`network ${wanted} not found`);
  return network;
}

/** Addresses for every network; each release is registered with `undo`. */
export async function allocateEndpoints(
  services: Services,
  record: ContainerRecord,
  undo: Rollback,
): Promise<StoredEndpoint[]> {
  const endpoints: StoredEndpoint[] = [];
  for (const [name, wish] of wishesOf(record)) {
    endpoints.push(await allocateEndpoint(services, record, { name, wish, index: endpoints.length }, undo));
  }
  return endpoints;
}

export async function allocateEndpoint(
  services: Services,
  record: ContainerRecord,
  { name, wish, index }: { readonly name: string; readonly wish: NetworkWish; readonly index: number },
  undo: Rollback,
): Promise<StoredEndpoint> {
  const { record: network, driver } = networkFor(services, record, name, wish);
  checkAddresses(network.name, network.userSubnets, wish);
  const endpoint = await driver.allocate(record.id, {
    ...(wish.ip === '' ? {} : { ip: wish.ip }),
    ...(wish.ip6 === '' ? {} : { ip6: wish.ip6 }),
    ...(wish.mac === '' ? {} : { mac: wish.mac }),
    ...(unguarded(record, network.options) ? { unguarded: true } : {}),
  });
  undo.defer(`release endpoint of ${network.name}`, () => driver.release(endpoint));
  return {
    ...endpoint,
    network: network.name,
    ...(endpoint.interface === undefined ? {} : { interface: `eth${index}` }),
  };
}

/** An egress policy tells containers by their addresses: then nobody may forge one. */
function unguarded({ config }: ContainerRecord, options: Readonly<Record<string, string>>): boolean {
  if (!isUnguarded(config.Labels, options)) return false;
  return egressOf(config.Labels) === undefined && egressOf(options) === undefined;
}

function checkAddresses(name: string, userSubnets: readonly string[], { ip, ip6 }: NetworkWish): void {
  if (ip === '' && ip6 === '') return;
  if (isPredefined(name)) {
    throw invalidParameter('user specified IP address is supported on user defined networks only');
  }
  for (const [address, six] of [
    [ip, false],
    [ip6, true],
  ] as const) {
    if (address === '' || userSubnets.some((subnet) => subnet.includes(':') === six)) continue;
    throw invalidParameter(
      'user specified IP address is supported only when connecting to networks with user configured subnets',
    );
  }
}

/** The endpoint that the default route leads through: by priority, then by name, as with Docker. */
export function gatewayEndpoint(
  record: ContainerRecord,
  endpoints: readonly StoredEndpoint[],
): StoredEndpoint | undefined {
  const priority = (endpoint: StoredEndpoint): number => record.networks[endpoint.network]?.gwPriority ?? 0;
  return endpoints
    .filter(({ address }) => address !== undefined && address.gateway !== '')
    .sort((a, b) => priority(b) - priority(a) || (a.network < b.network ? -1 : 1))[0];
}

/** At the gate: links, addresses, routes, then ports. Returns the endpoints with what was published. */
export async function joinEndpoints(
  services: Services,
  record: ContainerRecord,
  endpoints: readonly StoredEndpoint[],
  gate: NetworkGate,
  undo: Rollback,
): Promise<StoredEndpoint[]> {
  undo.defer('end egress policy', async () => services.egress.end(record.id));
  services.egress.apply(services, record, endpoints, endpoints);
  const leading = gatewayEndpoint(record, endpoints);
  for (const endpoint of endpoints) {
    const { interface: name = '' } = endpoint;
    await driverOf(services, endpoint)?.join(endpoint, gate, { interface: name, defaultRoute: endpoint === leading });
  }
  undo.defer('end name service', async () => services.names.end(record.id));
  services.names.serve(services, record, endpoints, gate.namespace);
  if (leading === undefined) return [...endpoints];
  const published = { ...publishPorts(services, record, leading, undo), leads: true };
  return endpoints.map((endpoint) => (endpoint === leading ? published : endpoint));
}

export function publishPorts(
  services: Services,
  record: ContainerRecord,
  endpoint: StoredEndpoint,
  undo: Rollback,
): StoredEndpoint {
  const driver = driverOf(services, endpoint);
  const requests = judgedAsAsked(services, record, endpoint, portRequestsOf(record));
  if (requests.length === 0 || driver === undefined) return endpoint;
  try {
    const ports = driver.publish(endpoint, requests);
    undo.defer('take published ports back', async () => driver.unpublish(endpoint, ports));
    return { ...endpoint, ports };
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
  const options = services.networks.get(endpoint.networkId)?.record.options;
  const policy = publishPolicyOf(services.settings.publishPolicy, record.config.Labels, options);
  return policy === 'docker' ? requests : requests.map((request) => ({ ...request, judged: true }));
}

function driverOf(services: Services, endpoint: StoredEndpoint): Network['driver'] | undefined {
  return services.networks.get(endpoint.networkId)?.driver;
}

function endEgress(services: Services, record: ContainerRecord): void {
  try {
    services.egress.end(record.id);
  } catch (err) {
    log.error('egress policy not taken back', { container: record.id, err });
  }
}

/** Failing to release must not keep the container from ending: the driver's restore cleans up later. */
export async function releaseEndpoints(services: Services, record: ContainerRecord): Promise<void> {
  endEgress(services, record);
  for (const endpoint of record.endpoints) {
    try {
      await driverOf(services, endpoint)?.release(endpoint);
    } catch (error) {
      log.error('endpoint not released', { container: record.id, network: endpoint.network, err: error });
    }
  }
}
