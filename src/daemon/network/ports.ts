/** Which ports of a container are to be published: `-p` in all its forms, and `-P`. */
import type { PortMap } from '#api/types/network.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import type { PortRequest } from '#networkdriver/driver.ts';

type Protocol = PortRequest['protocol'];

/** '80', '80/udp', '8000-8002/tcp' → each port with its protocol. Preconditions: checked at create. */
export function portsOfSpec(spec: string): { readonly port: number; readonly protocol: Protocol }[] {
  const [range = '', protocol = 'tcp'] = spec.split('/');
  const [from = '', to = from] = range.split('-');
  const count = Number(to) - Number(from) + 1;
  // as: checked at create.
  return Array.from({ length: count }, (_, i) => ({ port: Number(from) + i, protocol: protocol as Protocol }));
}

export function portRequestsOf(record: ContainerRecord): PortRequest[] {
  const { PortBindings: bindings, PublishAllPorts: all } = record.hostConfig;
  const requests: PortRequest[] = [];
  for (const [spec, hosts] of Object.entries(bindings ?? {})) {
    for (const { port, protocol } of portsOfSpec(spec)) {
      for (const { HostIp: hostIp, HostPort: hostPort } of hosts ?? []) {
        const [from = '', to = from] = hostPort.split('-');
        requests.push({ protocol, port, hostIp, hostPort: Number(from), hostPortEnd: Number(to) });
      }
    }
  }
  if (all) {
    for (const spec of Object.keys(record.config.ExposedPorts ?? {})) {
      for (const { port, protocol } of portsOfSpec(spec)) {
        if (requests.some((request) => request.port === port && request.protocol === protocol)) continue;
        requests.push({ protocol, port, hostIp: '', hostPort: 0, hostPortEnd: 0 });
      }
    }
  }
  // Wished ports first: one that any will do for must not take them.
  return requests.sort((a, b) => Number(a.hostPort === 0) - Number(b.hostPort === 0));
}

/** As inspect shows them: every exposed or published port, with where it can be reached now. */
export function portMapOf(record: ContainerRecord, endpoints: readonly StoredEndpoint[]): PortMap {
  const map: PortMap = {};
  // Nothing listens where nobody can come from.
  if (endpoints.every(({ address, address6 }) => (address ?? address6) === undefined)) return map;
  const specs = [
    ...Object.keys(record.config.ExposedPorts ?? {}),
    ...Object.keys(record.hostConfig.PortBindings ?? {}),
  ];
  for (const spec of specs) for (const { port, protocol } of portsOfSpec(spec)) map[`${port}/${protocol}`] ??= null;
  for (const { port, protocol, hostIp, hostPort } of endpoints.flatMap((endpoint) => endpoint.ports ?? [])) {
    const key = `${port}/${protocol}`;
    // A routed one has no port of the host.
    map[key] = [...(map[key] ?? []), { HostIp: hostIp, HostPort: hostPort === 0 ? '' : String(hostPort) }];
  }
  return map;
}
