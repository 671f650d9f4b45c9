/** connect and disconnect, of containers that run and of those that do not. */
import type { EndpointSettings } from '#api/types/network.ts';
import type { NetworkWish } from '#container/network-wish.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { wishOf } from '#container/network-wish.ts';
import { isRunning } from '#container/state.ts';
import { containerOfMode } from '#container/validate.ts';
import { conflict, forbidden, invalidParameter, notFound } from '#errdefs/errors.ts';
import { ROUTE_SOCKET, socketsInside } from '#libcontainer/namespaces/inside.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import type { NetworkDriver } from '#networkdriver/driver.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { Rollback } from '#pkg/rollback/rollback.ts';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import type { Held } from '../container/containers.ts';
import { publishNetworkEvent } from '../container/event.ts';
import { rewriteFiles } from '../container/generated-files.ts';
import { containerDirectory } from '../container/paths.ts';
import type { Services } from '../services.ts';
import { allocateEndpoint, joinEndpoint } from './endpoints.ts';
import { checkWish } from './check-wish.ts';
import { gatewaysOf, moveGateways } from './gateways.ts';
import { refreshLinkRules } from './link-rules.ts';
import { linkedHosts } from './links.ts';
import { isServed } from './name-service.ts';
import type { Network } from './registry.ts';

export interface ConnectInput {
  readonly network: string;
  readonly container: string;
  readonly settings: EndpointSettings | null;
}

export async function connectNetwork(services: Services, input: ConnectInput): Promise<void> {
  const network = services.networks.resolve(input.network);
  const { id } = services.containers.resolve(input.container);
  const wish = wishOf(network.record.id, input.settings);
  await services.containers.run(id, async (held) => {
    const { record } = held;
    const { name } = network.record;
    checkConnectable(held, network, wish);
    if (!isRunning(record.state)) {
      held.update({ networks: { ...withoutNone(record.networks), [name]: wish } });
      return;
    }
    await joinRunning(services, held, network, wish);
  });
}

const withoutNone = (networks: Held['record']['networks']): Held['record']['networks'] =>
  Object.fromEntries(Object.entries(networks).filter(([name]) => name !== 'none'));

function checkConnectable({ record }: Held, { record: network }: Network, wish: NetworkWish): void {
  const { NetworkMode: mode } = record.hostConfig;
  if (containerOfMode(mode) !== undefined || mode === 'host') {
    throw invalidParameter(
      'container sharing network namespace with another container or host cannot be connected to any other network',
    );
  }
  if (network.name === 'host')
    throw invalidParameter('cannot connect container to host network - container must be created in host network mode');
  if (mode === 'none' && isRunning(record.state)) {
    throw invalidParameter(
      'container cannot be connected to multiple networks with one of the networks in private (none) mode',
    );
  }
  if (network.name === 'none') {
    throw invalidParameter(
      'container cannot be connected to multiple networks with one of the networks in private (none) mode',
    );
  }
  if (record.networks[network.name] !== undefined) {
    throw forbidden(`endpoint with name ${record.name} already exists in network ${network.name}`);
  }
  checkWish(network, wish);
}

async function joinRunning(services: Services, held: Held, network: Network, wish: NetworkWish): Promise<void> {
  const { name } = network.record;
  await using undo = new Rollback({
    onUndoFailed: (step, err) =>
      log.error('undo failed', { job: 'network.connect', container: held.record.id, step, err }),
  });
  const before = held.record.endpoints;
  const taken = before.map((endpoint) => endpoint.interface ?? '');
  const record = { ...held.record, networks: { ...held.record.networks, [name]: wish } };
  let endpoint = await allocateEndpoint(services, record, { name, wish, taken }, undo);
  failpoint('connect.allocated');
  const gateways = gatewaysOf(record, [...before, endpoint]);
  const { pid } = record.state;
  undo.defer('take the egress policy back', async () => services.egress.apply(services, held.record, before));
  services.egress.apply(services, record, [...before, endpoint], [endpoint]);
  await inside(pid, async (gate) => {
    undo.defer('take the link back', () => leaveRunning(network.driver, endpoint, pid));
    endpoint = await joinEndpoint(services, record, endpoint, { gateways, gate });
  });
  failpoint('connect.joined');
  const joined = { ...record, endpoints: [...before, endpoint] };
  const endpoints = await moveGateways(services, joined, (work) => inside(pid, work), undo);
  held.update({ networks: record.networks, endpoints });
  failpoint('connect.recorded');
  undo.commit();
  if (!isServed(services, held.record, before)) services.names.serveRunning(services, held.record);
  services.names.refresh(services, held.record);
  refreshLinkRules(services);
  refreshFiles(services, held.record);
  publishNetworkEvent(services, held.record, endpoint, 'connect');
}

/** Works in the namespace of a running container by a socket that was made there. */
async function inside(pid: number, work: (gate: NetworkGate) => Promise<void>): Promise<void> {
  const namespace = open(`/proc/${pid}/ns/net`, O.RDONLY);
  try {
    const [netlink = -1] = socketsInside(namespace, [ROUTE_SOCKET]);
    try {
      await work({ pid, netlink, namespace });
    } finally {
      close(netlink);
    }
  } finally {
    close(namespace);
  }
}

function leaveRunning(driver: NetworkDriver, endpoint: StoredEndpoint, pid: number): Promise<void> {
  return driver.leavesFromInside === true
    ? inside(pid, (gate) => driver.leave(endpoint, gate))
    : driver.leave(endpoint);
}

export async function disconnectNetwork(
  services: Services,
  input: { readonly network: string; readonly container: string; readonly force: boolean },
): Promise<void> {
  const { id } = services.containers.resolve(input.container);
  const network = services.networks.find(input.network);
  if (network === undefined) {
    if (input.force && (await forgetWish(services, id, input.network))) return;
    throw notFound(`network ${input.network} not found`);
  }
  const { name } = network.record;
  await services.containers.run(id, async (held) => {
    const { record } = held;
    if (name === 'host')
      throw invalidParameter('container cannot be disconnected from host network or connected to host network');
    const { [name]: wish, ...networks } = record.networks;
    if (wish === undefined) {
      const the = isRunning(record.state) ? '' : 'the ';
      throw forbidden(`container ${record.id} is not connected to ${the}network ${name}`);
    }
    const endpoint = record.endpoints.find((one) => one.networkId === network.record.id);
    if (endpoint === undefined) {
      if (isRunning(record.state) && !input.force)
        throw conflict(`container ${record.id} is not connected to network ${name}`);
      held.update({ networks });
      return;
    }
    // Recorded first: a crash leaves a link that nobody knows, which the next start sweeps.
    held.update({ networks, endpoints: record.endpoints.filter((one) => one !== endpoint) });
    failpoint('disconnect.recorded');
    network.driver.unpublish(endpoint, endpoint.ports ?? []);
    await leaveRunning(network.driver, endpoint, record.state.pid);
    failpoint('disconnect.left');
    services.egress.apply(services, held.record, held.record.endpoints);
    await network.driver.release(endpoint);
    await moveAway(services, held);
    if (!isServed(services, held.record, held.record.endpoints)) services.names.end(record.id);
    services.names.refresh(services, held.record);
    refreshLinkRules(services);
    refreshFiles(services, held.record);
    publishNetworkEvent(services, held.record, endpoint, 'disconnect');
  });
}

/** A container that does not run may want a network that was removed meanwhile. */
async function forgetWish(services: Services, id: string, name: string): Promise<boolean> {
  return services.containers.run(id, (held) => {
    const { [name]: wish, ...networks } = held.record.networks;
    if (wish === undefined) return false;
    held.update({ networks });
    return true;
  });
}

/** The default routes went with their network: another one leads out now, and takes the ports over. */
async function moveAway(services: Services, held: Held): Promise<void> {
  const { record } = held;
  await using undo = new Rollback({
    onUndoFailed: (step, err) =>
      log.error('undo failed', { job: 'network.disconnect', container: record.id, step, err }),
  });
  const endpoints = await moveGateways(services, record, (work) => inside(record.state.pid, work), undo);
  held.update({ endpoints });
  undo.commit();
}

/** What a running container reads in its /etc/hosts, in place. */
export function refreshFiles(services: Services, record: ContainerRecord): void {
  rewriteFiles({
    directory: containerDirectory(services, record.id),
    record,
    endpoints: record.endpoints,
    links: linkedHosts(services, record),
    named: isServed(services, record, record.endpoints),
    defaults: services.settings,
  });
}
