/**
 * The endpoints of one container through a start: which networks it wants, their endpoints in order (eth0 first), the
 * default route, published ports, and their release.
 */
import { egressOf, isUnguarded } from '#container/network-policy.ts';
import type { NetworkWish } from '#container/network-wish.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { containerOfMode } from '#container/validate.ts';
import { interfaceNameOf, sysctlsOf } from '#container/endpoint-options.ts';
import { BerthError, invalidParameter, kindOf, messageOf, notFound } from '#errdefs/errors.ts';
import { writeSysctlsInside } from '#libcontainer/namespaces/inside.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import { log } from '#pkg/log/log.ts';
import type { Rollback } from '#pkg/rollback/rollback.ts';
import type { Services } from '../services.ts';
import { networkNameOf } from '../container/event.ts';
import { driverOf, familiesOf, type Gateways, gatewaysOf, publishPorts } from './gateways.ts';
import { checkWish } from './check-wish.ts';
import { nextInterface, wantedInterfaces } from './interfaces.ts';
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

/** In the words of dockerd, for every failure of a start that is the network's. */
const startFailure = (cause: unknown): BerthError =>
  new BerthError(kindOf(cause), `failed to set up container networking: ${messageOf(cause)}`, { cause });

/** Addresses for every network; each release is registered with `undo`. */
export async function allocateEndpoints(
  services: Services,
  record: ContainerRecord,
  undo: Rollback,
): Promise<StoredEndpoint[]> {
  try {
    return await allocateAll(services, record, undo);
  } catch (cause) {
    throw startFailure(cause);
  }
}

async function allocateAll(services: Services, record: ContainerRecord, undo: Rollback): Promise<StoredEndpoint[]> {
  const endpoints: StoredEndpoint[] = [];
  const wishes = wishesOf(record);
  const wanted = wantedInterfaces(wishes.map(([, wish]) => wish));
  for (const [name, wish] of wishes) {
    const own = interfaceNameOf(wish.driverOpts);
    const taken = [...wanted.filter((other) => other !== own), ...endpoints.map((one) => one.interface ?? '')];
    endpoints.push(await allocateEndpoint(services, record, { name, wish, taken }, undo));
  }
  return endpoints;
}

export async function allocateEndpoint(
  services: Services,
  record: ContainerRecord,
  asked: { readonly name: string; readonly wish: NetworkWish; readonly taken: readonly string[] },
  undo: Rollback,
): Promise<StoredEndpoint> {
  const { name, wish, taken } = asked;
  const { record: network, driver } = networkFor(services, record, name, wish);
  checkWish(network, wish);
  const endpoint = await driver.allocate(record.id, {
    ...(wish.ip === '' ? {} : { ip: wish.ip }),
    ...(wish.ip6 === '' ? {} : { ip6: wish.ip6 }),
    ...(wish.mac === '' ? {} : { mac: wish.mac }),
    ...(mayForge(record, network.options) ? { unguarded: true } : {}),
    ...(wish.linkLocal === undefined ? {} : { linkLocal: wish.linkLocal }),
    ...(wish.driverOpts === null ? {} : { options: wish.driverOpts }),
  });
  undo.defer(`release endpoint of ${network.name}`, () => driver.release(endpoint));
  return {
    ...endpoint,
    network: network.name,
    ...(endpoint.interface === undefined ? {} : { interface: nextInterface(network, wish, taken) }),
  };
}

/** What it sends need not have its own addresses. An egress policy tells containers by those: then nobody may forge one. */
export function mayForge({ config }: ContainerRecord, options: Readonly<Record<string, string>>): boolean {
  if (!isUnguarded(config.Labels, options)) return false;
  return egressOf(config.Labels) === undefined && egressOf(options) === undefined;
}

/** At the gate: links, addresses, routes, then ports. Returns the endpoints with what was published. */
export async function joinEndpoints(
  services: Services,
  record: ContainerRecord,
  endpoints: readonly StoredEndpoint[],
  gate: NetworkGate,
  undo: Rollback,
): Promise<StoredEndpoint[]> {
  try {
    return await joinAll(services, record, endpoints, gate, undo);
  } catch (cause) {
    throw startFailure(cause);
  }
}

async function joinAll(
  services: Services,
  record: ContainerRecord,
  endpoints: readonly StoredEndpoint[],
  gate: NetworkGate,
  undo: Rollback,
): Promise<StoredEndpoint[]> {
  undo.defer('end egress policy', async () => services.egress.end(record.id));
  services.egress.apply(services, record, endpoints, endpoints);
  const gateways = gatewaysOf(record, endpoints);
  const joined: StoredEndpoint[] = [];
  for (const endpoint of endpoints) joined.push(await joinEndpoint(services, record, endpoint, { gateways, gate }));
  undo.defer('end name service', async () => services.names.end(record.id));
  services.names.serve(services, record, joined, gate.namespace);
  // A plugin tells its gateway when it has been joined.
  const changed = joined.some((endpoint, index) => endpoint !== endpoints[index]);
  const leading = changed ? gatewaysOf(record, joined) : gateways;
  for (const endpoint of changed ? joined : []) {
    const families = familiesOf(leading, endpoint);
    if (families.four || families.six) await driverOf(services, endpoint)?.lead(endpoint, gate, families);
  }
  return joined.map((endpoint) =>
    publishPorts(services, record, endpoint, { families: familiesOf(leading, endpoint), undo }),
  );
}

export async function joinEndpoint(
  services: Services,
  record: ContainerRecord,
  endpoint: StoredEndpoint,
  { gateways, gate }: { readonly gateways: Gateways; readonly gate: NetworkGate },
): Promise<StoredEndpoint> {
  const { interface: name = '' } = endpoint;
  const defaultRoute = familiesOf(gateways, endpoint);
  const changed = await driverOf(services, endpoint)?.join(endpoint, gate, { interface: name, defaultRoute });
  setInterfaceSysctls(record, endpoint, gate.namespace);
  return changed === undefined ? endpoint : { ...endpoint, ...changed };
}

/** Errors: invalid-parameter for one that the kernel does not take. */
function setInterfaceSysctls(record: ContainerRecord, endpoint: StoredEndpoint, namespace: number): void {
  const options = record.networks[endpoint.network]?.driverOpts ?? null;
  if (options === null || endpoint.interface === undefined) return;
  const entries = sysctlsOf(options, endpoint.interface);
  if (entries.length === 0) return;
  try {
    writeSysctlsInside(namespace, entries);
  } catch (cause) {
    throw invalidParameter(`Cannot set sysctls of "${endpoint.interface}": ${messageOf(cause)}`, { cause });
  }
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
