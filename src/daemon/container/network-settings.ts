/** Network part of a container's inspect and list. */
import { createHash } from 'node:crypto';
import type { EndpointSettings, NetworkSettings, PortMap } from '#api/types/network.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { networkIdOf } from '../network/names.ts';
import { networkNameOf } from './event.ts';

export function endpointsOf(record: ContainerRecord): Record<string, EndpointSettings> {
  const name = networkNameOf(record);
  if (name.startsWith('container:')) return {};
  const { endpoint } = record;
  const address = endpoint?.address;
  return {
    [name]: {
      IPAMConfig: null,
      Links: null,
      Aliases: null,
      MacAddress: address?.mac ?? '',
      DriverOpts: null,
      GwPriority: 0,
      NetworkID: endpoint?.networkId ?? networkIdOf(name),
      EndpointID: endpoint?.id ?? '',
      Gateway: address?.gateway ?? '',
      IPAddress: address?.ip ?? '',
      IPPrefixLen: address?.prefixLength ?? 0,
      IPv6Gateway: '',
      GlobalIPv6Address: '',
      GlobalIPv6PrefixLen: 0,
      DNSNames: null,
    },
  };
}

export function networkSettingsOf(record: ContainerRecord): NetworkSettings {
  const running = isRunning(record.state);
  const networks = endpointsOf(record);
  const bridge = networks['bridge'];
  return {
    Bridge: '',
    SandboxID: running ? createHash('sha256').update(`sandbox ${record.id}`).digest('hex') : '',
    SandboxKey: running ? `/proc/${record.state.pid}/ns/net` : '',
    Ports: running ? portsOf(record) : {},
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: bridge?.EndpointID ?? '',
    Gateway: bridge?.Gateway ?? '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    IPAddress: bridge?.IPAddress ?? '',
    IPPrefixLen: bridge?.IPPrefixLen ?? 0,
    IPv6Gateway: '',
    MacAddress: bridge?.MacAddress ?? '',
    Networks: networks,
  };
}

/** Exposed ports; publishing them is not there yet. */
function portsOf(record: ContainerRecord): PortMap {
  return Object.fromEntries(Object.keys(record.config.ExposedPorts ?? {}).map((port) => [withProtocol(port), null]));
}

export function withProtocol(port: string): string {
  return port.includes('/') ? port : `${port}/tcp`;
}
