/** Which published ports can be reached from where, and why: from what is published, and what the host's firewall says. */
import { networkInterfaces } from 'node:os';
import { isIP } from 'node:net';
import type { AuditedPort, PortsAudit } from '#api/types/berth-network.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { decodeChains, droppingChains } from '#libcontainer/firewall/foreign.ts';
import { decodeRuleset, judge } from '#libcontainer/firewall/judge.ts';
import { networkNameOf } from '../container/event.ts';
import type { Services } from '../services.ts';
import { bridgeNameOf } from './options.ts';

type Wanted = Pick<Services, 'containers' | 'networks' | 'bridge' | 'firewall'>;
type Port = NonNullable<StoredEndpoint['ports']>[number];

export function auditPorts(services: Wanted): PortsAudit {
  const running = services.containers.all().filter(({ state }) => isRunning(state));
  const host = new HostView(services);
  return {
    Ports: running.flatMap((record) =>
      record.endpoints.flatMap((endpoint) =>
        (endpoint.ports ?? []).map((port) => ({ ...shown(record, endpoint, port), ...host.reachOf(port) })),
      ),
    ),
    HostNetwork: running
      .filter((record) => networkNameOf(record) === 'host')
      .map(({ name, id }) => ({ Container: name, ContainerID: id })),
  };
}

function shown(record: ContainerRecord, { network }: StoredEndpoint, port: Port) {
  return {
    Container: record.name,
    ContainerID: record.id,
    Network: network,
    Protocol: port.protocol,
    HostIp: port.hostIp,
    HostPort: port.hostPort,
    ContainerPort: port.port,
    Policy: port.judged === true ? ('host-firewall' as const) : ('docker' as const),
  };
}

const isLoopback = (ip: string): boolean => ip.startsWith('127.') || ip === '::1';

/** The host as it is at the moment; its rules are read only if something depends on them. */
class HostView {
  readonly #services: Wanted;
  #ruleset: unknown;
  #addresses: readonly string[] | undefined;

  constructor(services: Wanted) {
    this.#services = services;
  }

  reachOf(port: Port): Pick<AuditedPort, 'Outside' | 'Addresses' | 'Reason'> {
    const { hostIp, protocol, hostPort } = port;
    if (isLoopback(hostIp)) {
      return { Outside: 'no', Addresses: [hostIp], Reason: 'published on a loopback address' };
    }
    const any = hostIp === '0.0.0.0' || hostIp === '::';
    const version = isIP(hostIp) === 6 ? 6 : 4;
    const Addresses = any ? this.#outer().filter((ip) => isIP(ip) === version) : [hostIp];
    if (Addresses.length === 0) {
      return { Outside: 'no', Addresses, Reason: `the host has no IPv${version} address outside` };
    }
    const [dropping] = version === 4 ? this.#dropping() : [];
    if (dropping !== undefined) return { Outside: 'no', Addresses, Reason: `forward chain "${dropping}" drops it` };
    // A proxy's port is one of the host's own.
    if (port.judged !== true && this.#services.firewall().translates) {
      return { Outside: 'yes', Addresses, Reason: "the host's input rules are not asked" };
    }
    const probe = { version, protocol, port: hostPort, ...(any ? {} : { address: hostIp }) } as const;
    const { verdict, chain } = judge(decodeRuleset(this.#rules()), probe, this.#services.firewall().table);
    if (verdict === 'accept') return { Outside: 'yes', Addresses, Reason: "the host's input rules accept it" };
    if (verdict === 'drop') return { Outside: 'no', Addresses, Reason: `input chain "${chain}" drops it` };
    return { Outside: 'unknown', Addresses, Reason: `input chain "${chain}" decides by more than the port` };
  }

  #rules(): unknown {
    this.#ruleset ??= this.#services.firewall().ruleset();
    return this.#ruleset;
  }

  #dropping(): string[] {
    return droppingChains(decodeChains(this.#rules()), this.#services.firewall().table);
  }

  /** Addresses that other machines may know. */
  #outer(): readonly string[] {
    const { networks, bridge, firewall } = this.#services;
    const ours = new Set([bridge()?.name, ...networks.userNetworks().map(({ record }) => bridgeNameOf(record))]);
    this.#addresses ??= Object.entries(networkInterfaces())
      .filter(([link]) => !ours.has(link) && !firewall().isOwnLink(link))
      .flatMap(([, addresses]) => addresses ?? [])
      .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
      .map(({ address }) => address);
    return this.#addresses;
  }
}
