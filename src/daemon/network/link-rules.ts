/**
 * Links on a default bridge whose containers may not talk to each other (`icc=false`): what is linked is reached all the
 * same, on the ports that it exposes, as with Docker.
 */
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import type { FirewallLinked } from '#libcontainer/firewall/linked-text.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';
import { linkedEndpoints } from './links.ts';
import { portsOfSpec } from './ports.ts';

type Wanted = Pick<Services, 'containers' | 'firewall'>;

function linkedPorts(services: Wanted, running: readonly ContainerRecord[]): FirewallLinked[] {
  return running.flatMap((record) =>
    linkedEndpoints(services, record).flatMap(({ from, to, other }) => {
      const exposed = [
        ...Object.keys(other.config.ExposedPorts ?? {}),
        ...Object.keys(other.hostConfig.PortBindings ?? {}),
      ];
      const ports = new Map(exposed.flatMap(portsOfSpec).map((one) => [`${one.port}/${one.protocol}`, one]));
      return [...ports.values()].map(({ port, protocol }): FirewallLinked => ({ from, to, protocol, port }));
    }),
  );
}

/** After a container has started, before its program runs, and after one has ended. */
export function refreshLinkRules(services: Wanted & Pick<Services, 'bridge'>): void {
  // Asked first: elsewhere nobody looks at all containers for a start.
  if (services.bridge()?.interContainer !== false) return;
  try {
    const running = services.containers.all().filter(({ state }) => isRunning(state));
    services.firewall().putLinked(linkedPorts(services, running));
  } catch (err) {
    log.error('links of containers are not in the rules', { err });
  }
}

/** Before the firewall's tables are written for the first time. */
export function restoreLinkRules(services: Wanted, running: readonly ContainerRecord[]): void {
  const links = linkedPorts(services, running);
  if (links.length > 0) services.firewall().setLinked(links);
}
