/** Which published ports can be reached from where, and why: from what is published, and what the host's firewall says. */
import { networkInterfaces } from 'node:os';
import { isIP } from 'node:net';
import type { AuditedPort, PortsAudit } from '#api/types/berth-network.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { listChains } from '#libcontainer/firewall/chains.ts';
import { droppingChains } from '#libcontainer/firewall/foreign.ts';
import { decodeRuleset, judge, type Probe } from '#libcontainer/firewall/judge.ts';
import { networkNameOf } from '../container/event.ts';
import type { Services } from '../services.ts';
import { listeningSockets } from './listening.ts';
import { bridgeNameOf } from './options.ts';

type Wanted = Pick<Services, 'containers' | 'networks' | 'bridge' | 'firewall' | 'live'>;
type Port = NonNullable<StoredEndpoint['ports']>[number];

export function auditPorts(services: Wanted): PortsAudit {
  const running = services.containers.all().filter(({ state }) => isRunning(state));
  const host = new HostView(services);
  const onHost = running.filter((record) => networkNameOf(record) === 'host');
  return {
    Ports: [
      ...running.flatMap((record) =>
        record.endpoints.flatMap((endpoint) =>
          (endpoint.ports ?? []).map((port) => ({ ...shown(record, endpoint, port), ...host.reachOf(port) })),
        ),
      ),
      ...onHost.flatMap((record) => listened(services, record).map((port) => ({ ...port, ...host.reachOfOwn(port) }))),
    ],
    HostNetwork: onHost.map(({ name, id }) => ({ Container: name, ContainerID: id })),
  };
}

/** What the processes of a container in the host's network listen on. */
function listened({ live }: Wanted, { id, name }: ContainerRecord): Omit<AuditedPort, keyof Reach>[] {
  const pids = live.get(id)?.driver.cgroupOf(id).pids() ?? [];
  return listeningSockets(pids).map(({ protocol, ip, port }) => ({
    ...{ Container: name, ContainerID: id, Network: 'host', Policy: 'host' as const },
    ...{ Protocol: protocol, HostIp: ip, HostPort: port, ContainerPort: port },
  }));
}

type Reach = Pick<AuditedPort, 'Outside' | 'Addresses' | 'Reason'>;

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

const isAny = (ip: string): boolean => ip === '0.0.0.0' || ip === '::';
const addressOf = (ip: string): { readonly address?: string } => (isAny(ip) ? {} : { address: ip });
const isLoopback = (ip: string): boolean => ip.startsWith('127.') || ip === '::1';

/** The host as it is at the moment; its rules are read only if something depends on them. */
class HostView {
  readonly #services: Wanted;
  #ruleset: unknown;
  #addresses: readonly string[] | undefined;

  constructor(services: Wanted) {
    this.#services = services;
  }

  reachOf(port: Port): Reach {
    const { hostIp, protocol, hostPort } = port;
    const { version, Addresses, no } = this.#whereTo(hostIp);
    if (no !== undefined) return { Outside: 'no', Addresses, Reason: no };
    const [dropping] = version === 4 ? this.#dropping() : [];
    if (dropping !== undefined) return { Outside: 'no', Addresses, Reason: `forward chain "${dropping}" drops it` };
    // A proxy's port is one of the host's own.
    if (port.judged !== true && this.#services.firewall().translates) {
      return { Outside: 'yes', Addresses, Reason: "the host's input rules are not asked" };
    }
    return this.#judged({ version, protocol, port: hostPort, ...addressOf(hostIp) }, Addresses);
  }

  /** Of a port of the host itself. */
  reachOfOwn({ HostIp: ip, HostPort: port, Protocol }: Omit<AuditedPort, keyof Reach>): Reach {
    const { version, Addresses, no } = this.#whereTo(ip);
    if (no !== undefined) return { Outside: 'no', Addresses, Reason: no };
    const protocol = Protocol === 'udp' ? 'udp' : 'tcp';
    return this.#judged({ version, protocol, port, ...addressOf(ip) }, Addresses);
  }

  #whereTo(ip: string): { readonly version: 4 | 6; readonly Addresses: string[]; readonly no?: string } {
    const version = isIP(ip) === 6 ? 6 : 4;
    if (isLoopback(ip)) return { version, Addresses: [ip], no: 'on a loopback address' };
    const Addresses = isAny(ip) ? this.#outer().filter((one) => isIP(one) === version) : [ip];
    if (Addresses.length > 0) return { version, Addresses };
    return { version, Addresses, no: `the host has no IPv${version} address outside` };
  }

  #judged(probe: Probe, Addresses: string[]): Reach {
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
    return droppingChains(listChains(), this.#services.firewall().table);
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
