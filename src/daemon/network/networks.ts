/** list, inspect, remove and prune of networks. */
import type { Filters } from '#api/jobs/container.ts';
import type { EndpointResource, NetworkInspect, NetworkPruneReport } from '#api/types/network.ts';
import { isRunning } from '#container/state.ts';
import { BerthError, forbidden, invalidParameter } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { matchesLabels } from '#pkg/filters/filters.ts';
import { parseTimestamp } from '#pkg/units/duration.ts';
import type { Services } from '../services.ts';
import { isConfigurationInUse } from './config-only.ts';
import { isPredefined } from './names.ts';
import type { Network } from './registry.ts';

const NANOSECONDS_PER_MILLISECOND = 1_000_000n;

type Wanted = Pick<Services, 'containers' | 'bridge' | 'networks'>;

function describe(services: Wanted, { record }: Network, withContainers: boolean): NetworkInspect {
  const bridge = record.name === 'bridge' ? services.bridge() : undefined;
  return {
    Name: record.name,
    Id: record.id,
    Created: record.createdAt,
    Scope: record.scope ?? 'local',
    Driver: record.driver,
    EnableIPv4: record.enableIPv4,
    EnableIPv6: record.enableIPv6,
    IPAM:
      bridge === undefined
        ? { ...record.ipam, Config: isPredefined(record.name) ? null : record.ipam.Config }
        : {
            Driver: 'default',
            Options: null,
            Config: [
              { Subnet: bridge.subnet, Gateway: bridge.gateway },
              ...(bridge.ipv6 === undefined ? [] : [{ Subnet: bridge.ipv6.subnet, Gateway: bridge.ipv6.gateway }]),
            ],
          },
    Internal: record.internal,
    Attachable: record.attachable,
    Ingress: false,
    ConfigFrom: { Network: record.configFrom ?? '' },
    ConfigOnly: record.configOnly === true,
    Containers: withContainers ? endpointsOn(services, record.id) : {},
    Options:
      bridge === undefined
        ? { ...record.options }
        : {
            'com.docker.network.bridge.default_bridge': 'true',
            'com.docker.network.bridge.enable_icc': String(bridge.interContainer),
            'com.docker.network.bridge.enable_ip_masquerade': String(bridge.masquerade),
            'com.docker.network.bridge.host_binding_ipv4': bridge.hostBinding,
            'com.docker.network.bridge.name': bridge.name,
            'com.docker.network.driver.mtu': String(bridge.mtu),
          },
    Labels: { ...record.labels },
    ...(record.revision === undefined ? {} : { Berth: { Revision: record.revision } }),
  };
}

function endpointsOn(services: Wanted, networkId: string): Record<string, EndpointResource> {
  const connected = services.containers
    .all()
    .filter((record) => isRunning(record.state))
    .flatMap((record) =>
      record.endpoints
        .filter((endpoint) => endpoint.networkId === networkId)
        .map(({ id, address, address6 }): [string, EndpointResource] => [
          record.id,
          {
            Name: record.name,
            EndpointID: id,
            MacAddress: address?.mac ?? address6?.mac ?? '',
            IPv4Address: address === undefined ? '' : `${address.ip}/${address.prefixLength}`,
            IPv6Address: address6 === undefined ? '' : `${address6.ip}/${address6.prefixLength}`,
          },
        ]),
    );
  return Object.fromEntries(connected);
}

export function listNetworks(services: Wanted, filters: Filters): NetworkInspect[] {
  const tests = [...filters].map(([key, values]) => testOf(services, key, values));
  return services.networks
    .all()
    .map((network) => describe(services, network, false))
    .filter((network) => tests.every((test) => test(network)));
}

type Test = (network: NetworkInspect) => boolean;

function testOf(services: Wanted, key: string, values: readonly string[]): Test {
  switch (key) {
    case 'name':
      return (network) => values.some((value) => network.Name.includes(value));
    case 'id':
      return (network) => values.some((value) => network.Id.includes(value));
    case 'driver':
      return (network) => values.includes(network.Driver);
    case 'scope':
      return (network) => values.includes(network.Scope);
    case 'type':
      for (const value of values) {
        if (!['builtin', 'custom'].includes(value)) throw invalidParameter(`invalid filter: 'type'='${value}'`);
      }
      return (network) => values.includes(isPredefined(network.Name) ? 'builtin' : 'custom');
    case 'label':
      return (network) => values.every((value) => hasLabel(network.Labels, value));
    case 'dangling': {
      const wanted = values.some((value) => ['true', '1'].includes(value));
      if (!wanted && !values.some((value) => ['false', '0'].includes(value))) {
        throw invalidParameter('invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")');
      }
      return (network) => !isPredefined(network.Name) && isUnused(services, network) === wanted;
    }
    default:
      throw invalidParameter(`invalid filter '${key}'`);
  }
}

const hasLabel = (labels: Readonly<Record<string, string>>, wanted: string): boolean =>
  matchesLabels(new Map([['label', [wanted]]]), labels);

/** No running container is on it: as dockerd counts. */
function isUnused(services: Wanted, network: { readonly Id: string }): boolean {
  return Object.keys(endpointsOn(services, network.Id)).length === 0;
}

/** By id, unique prefix or name. Errors: not-found. */
export function inspectNetwork(services: Wanted, reference: string): NetworkInspect {
  return describe(services, services.networks.resolve(reference), true);
}

/** Errors: not-found; forbidden for one that is in use or there from the start. */
export async function removeNetwork(services: Services, reference: string): Promise<void> {
  const network = services.networks.resolve(reference);
  const { id, name, driver } = network.record;
  if (isPredefined(name)) throw forbidden(`${name} is a pre-defined network and cannot be removed`);
  const active = Object.values(endpointsOn(services, id)).map(
    (one) => `name:"${one.Name}" id:"${one.EndpointID.slice(0, 12)}"`,
  );
  if (isConfigurationInUse(services.networks, network.record)) {
    throw forbidden(`error while removing network: configuration network "${name}" is in use`);
  }
  if (active.length > 0) {
    throw forbidden(`error while removing network: network ${name} has active endpoints (${active.join(', ')})`);
  }
  await network.driver.agreeToRemoval?.();
  services.egress.end(id);
  const { gone } = services.networks.remove(network);
  // The kernel takes its time for the bridge; a start of the daemon finishes what is cut off.
  services.tasks.spawn('network-remove', () => gone, { network: name });
  services.events.publish({ type: 'network', action: 'destroy', id, attributes: { name, type: driver } });
}

export async function pruneNetworks(services: Services, filters: Filters): Promise<NetworkPruneReport> {
  const tests = [...filters].map(([key, values]) => pruneTestOf(key, values));
  const deleted: string[] = [];
  for (const network of services.networks.userNetworks()) {
    const shown = describe(services, network, false);
    if (shown.ConfigOnly || !isUnused(services, shown) || !tests.every((test) => test(shown))) continue;
    try {
      await removeNetwork(services, shown.Id);
      deleted.push(shown.Name);
    } catch (err) {
      if (!(err instanceof BerthError)) throw err;
      log.warn('a network was not pruned', { network: shown.Name, err });
    }
  }
  services.events.publish({ type: 'network', action: 'prune', id: '', attributes: { reclaimed: '0' } });
  return { NetworksDeleted: deleted.length === 0 ? null : deleted };
}

function pruneTestOf(key: string, values: readonly string[]): Test {
  switch (key) {
    case 'label':
      return (network) => values.every((value) => hasLabel(network.Labels, value));
    case 'label!':
      return (network) => !values.some((value) => hasLabel(network.Labels, value));
    case 'until': {
      const before = Math.min(
        ...values.map((value) => Number(parseTimestamp(value, new Date()) / NANOSECONDS_PER_MILLISECOND)),
      );
      return (network) => Date.parse(network.Created) < before;
    }
    default:
      throw invalidParameter(`invalid filter '${key}'`);
  }
}
