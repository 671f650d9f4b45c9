/** Network part of a container's inspect and list. */
import { createHash } from 'node:crypto';
import type { PortSummary } from '#api/types/container.ts';
import type { EndpointSettings, NetworkSettings } from '#api/types/network.ts';
import type { NetworkWish } from '#container/network-wish.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { dnsNamesOf } from '../network/dns-names.ts';
import { isPredefined } from '../network/names.ts';
import { portMapOf } from '../network/ports.ts';

export function endpointsOf(record: ContainerRecord): Record<string, EndpointSettings> {
  const all = Object.entries(record.networks).map(([name, wish]): [string, EndpointSettings] => {
    const endpoint = record.endpoints.find((one) => one.network === name);
    const { address, address6 } = endpoint ?? {};
    const own = !isPredefined(name);
    const started = record.state.startedAt !== '';
    return [
      name,
      {
        IPAMConfig: ipamConfigOf(wish),
        Links: wish.links.length === 0 ? null : [...wish.links],
        Aliases: wish.aliases.length === 0 ? null : [...wish.aliases],
        MacAddress: address?.mac ?? address6?.mac ?? (started ? '' : wish.mac),
        DriverOpts: wish.driverOpts === null ? null : { ...wish.driverOpts },
        GwPriority: wish.gwPriority,
        NetworkID: endpoint?.networkId ?? wish.networkId,
        EndpointID: endpoint?.id ?? '',
        Gateway: address?.gateway ?? '',
        IPAddress: address?.ip ?? '',
        IPPrefixLen: address?.prefixLength ?? 0,
        IPv6Gateway: address6?.gateway ?? '',
        GlobalIPv6Address: address6?.ip ?? '',
        GlobalIPv6PrefixLen: address6?.prefixLength ?? 0,
        // As dockerd: known from the first start on.
        DNSNames: own && started ? dnsNamesOf(record, wish) : null,
      },
    ];
  });
  return Object.fromEntries(all);
}

function ipamConfigOf({ ip, ip6, linkLocal = [], emptyIpam }: NetworkWish): EndpointSettings['IPAMConfig'] {
  if (ip === '' && ip6 === '' && linkLocal.length === 0) return emptyIpam === true ? {} : null;
  return {
    ...(ip === '' ? {} : { IPv4Address: ip }),
    ...(ip6 === '' ? {} : { IPv6Address: ip6 }),
    ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: [...linkLocal] }),
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
    Ports: running ? portMapOf(record, record.endpoints) : {},
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: bridge?.EndpointID ?? '',
    Gateway: bridge?.Gateway ?? '',
    GlobalIPv6Address: bridge?.GlobalIPv6Address ?? '',
    GlobalIPv6PrefixLen: bridge?.GlobalIPv6PrefixLen ?? 0,
    IPAddress: bridge?.IPAddress ?? '',
    IPPrefixLen: bridge?.IPPrefixLen ?? 0,
    IPv6Gateway: bridge?.IPv6Gateway ?? '',
    MacAddress: bridge?.MacAddress ?? '',
    Networks: networks,
  };
}

/** As the list shows them. */
export function portSummariesOf(record: ContainerRecord): PortSummary[] {
  return Object.entries(portMapOf(record, record.endpoints)).flatMap(([spec, hosts]) => {
    const [port = '', type = 'tcp'] = spec.split('/');
    const own = { PrivatePort: Number(port), Type: type };
    if (hosts === null) return [own];
    return hosts.map(({ HostIp, HostPort }) =>
      HostPort === '' ? own : { IP: HostIp, ...own, PublicPort: Number(HostPort) },
    );
  });
}

export function withProtocol(port: string): string {
  return port.includes('/') ? port : `${port}/tcp`;
}
