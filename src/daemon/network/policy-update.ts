/**
 * What the firewall does for a container besides its egress policy, changed while it runs by its own labels or by options
 * of its networks: whether the host judges who comes to its published ports, and whether what it sends must have its
 * addresses. Connections that are there go on.
 */
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import type { Held } from '../container/containers.ts';
import { changePorts } from '../container/update-ports.ts';
import type { Services } from '../services.ts';
import { mayForge } from './endpoints.ts';
import { driverOf, isJudged } from './gateways.ts';

/** In its queue. Errors: system; what was in force is in force again then. */
export function followPolicy(services: Services, held: Held): void {
  const { record } = held;
  if (!isRunning(record.state) || !differs(services, record)) return;
  const ports = changePorts(services, record, []);
  try {
    const endpoints = (ports?.endpoints ?? record.endpoints).map((endpoint) => guarded(services, record, endpoint));
    held.update({ endpoints });
  } catch (error) {
    ports?.goBack();
    throw error;
  }
}

/** Something else is in force than labels and options say. */
export function differs(services: Services, record: ContainerRecord): boolean {
  return record.endpoints.some((endpoint) => {
    const judged = isJudged(services, record, endpoint);
    const turned = (endpoint.ports ?? []).some((port) => (port.judged === true) !== judged);
    return turned || isOtherwiseGuarded(services, record, endpoint);
  });
}

function isOtherwiseGuarded(services: Services, record: ContainerRecord, endpoint: StoredEndpoint): boolean {
  const network = services.networks.get(endpoint.networkId);
  if (network?.driver.guard === undefined) return false;
  return mayForge(record, network.record.options) !== (endpoint.unguarded === true);
}

function guarded(services: Services, record: ContainerRecord, endpoint: StoredEndpoint): StoredEndpoint {
  if (!isOtherwiseGuarded(services, record, endpoint)) return endpoint;
  const { unguarded, ...rest } = endpoint;
  const next = unguarded === true ? rest : { ...rest, unguarded: true };
  driverOf(services, endpoint)?.guard?.(next);
  return next;
}
