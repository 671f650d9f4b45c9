/** The three networks that are there from the start: list and inspect. */
import type { Filters } from '#api/jobs/container.ts';
import type { EndpointResource, NetworkInspect } from '#api/types/network.ts';
import { isRunning } from '#container/state.ts';
import { invalidParameter, notFound } from '#errdefs/errors.ts';
import { networkNameOf } from '../container/event.ts';
import type { Services } from '../services.ts';
import { type NetworkName, networkIdOf, networkNames } from './names.ts';

type Wanted = Pick<Services, 'containers' | 'bridge' | 'networks' | 'startedAt'>;

function present(services: Wanted): NetworkName[] {
  return networkNames.filter((name) => services.networks.has(name));
}

function describe(services: Wanted, name: NetworkName, withContainers: boolean): NetworkInspect {
  const bridge = name === 'bridge' ? services.bridge() : undefined;
  return {
    Name: name,
    Id: networkIdOf(name),
    Created: services.startedAt,
    Scope: 'local',
    Driver: name === 'none' ? 'null' : name,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: {
      Driver: 'default',
      Options: null,
      Config: bridge === undefined ? null : [{ Subnet: bridge.subnet, Gateway: bridge.gateway }],
    },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: withContainers ? endpointsOn(services, name) : {},
    Options:
      bridge !== undefined
        ? {
            'com.docker.network.bridge.default_bridge': 'true',
            'com.docker.network.bridge.enable_icc': 'true',
            'com.docker.network.bridge.enable_ip_masquerade': 'true',
            'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0',
            'com.docker.network.bridge.name': bridge.name,
            'com.docker.network.driver.mtu': '1500',
          }
        : {},
    Labels: {},
  };
}

function endpointsOn(services: Wanted, name: NetworkName): Record<string, EndpointResource> {
  const connected = services.containers
    .all()
    .filter((record) => isRunning(record.state) && networkNameOf(record) === name)
    .map((record): [string, EndpointResource] => {
      const address = record.endpoint?.address;
      return [
        record.id,
        {
          Name: record.name,
          EndpointID: record.endpoint?.id ?? '',
          MacAddress: address?.mac ?? '',
          IPv4Address: address === undefined ? '' : `${address.ip}/${address.prefixLength}`,
          IPv6Address: '',
        },
      ];
    });
  return Object.fromEntries(connected);
}

export function listNetworks(services: Wanted, filters: Filters): NetworkInspect[] {
  const tests = [...filters].map(([key, values]) => testOf(key, values));
  return present(services)
    .map((name) => describe(services, name, false))
    .filter((network) => tests.every((test) => test(network)));
}

function testOf(key: string, values: readonly string[]): (network: NetworkInspect) => boolean {
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
      return () => values.includes('builtin');
    case 'label':
      return () => false;
    case 'dangling':
      // The networks that are there from the start are never dangling.
      return () => values.every((value) => ['false', '0'].includes(value));
    default:
      throw invalidParameter(`invalid filter '${key}'`);
  }
}

/** By id, unique prefix or name. Errors: not-found. */
export function inspectNetwork(services: Wanted, reference: string): NetworkInspect {
  const names = present(services);
  const byName = names.find((name) => name === reference);
  const found = byName ?? names.find((name) => reference !== '' && networkIdOf(name).startsWith(reference));
  if (found === undefined) throw notFound(`network ${reference} not found`);
  return describe(services, found, true);
}
