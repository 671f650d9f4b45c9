/**
 * Published ports of a running container, changed while it runs: what is asked for again is not touched, the rest is taken
 * back, what is new is published. A failure leaves everything as it was.
 */
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { leavingLast, portChanges } from '#container/published-ports.ts';
import { isRunning } from '#container/state.ts';
import { systemError, messageOf } from '#errdefs/errors.ts';
import type { PublishedPort } from '#networkdriver/driver.ts';
import { judgedAsAsked } from '../network/endpoints.ts';
import { portRequestsOf } from '../network/ports.ts';
import type { Services } from '../services.ts';

export interface ChangedPorts {
  readonly endpoints: readonly StoredEndpoint[];
  /** Makes the ports what they were. */
  readonly goBack: () => void;
}

/** `next`: the record as it will be; `removed`: what was named to go. Undefined: nothing changes. Errors: system, in Docker's words. */
export function changePorts(
  services: Services,
  next: ContainerRecord,
  removed: readonly string[],
): ChangedPorts | undefined {
  const endpoint = next.endpoints.find((one) => one.leads === true);
  const driver = endpoint === undefined ? undefined : services.networks.get(endpoint.networkId)?.driver;
  if (endpoint === undefined || driver === undefined || !isRunning(next.state)) return undefined;
  const requests = judgedAsAsked(services, next, endpoint, portRequestsOf(next));
  const { kept, gone, added } = portChanges(requests, leavingLast(endpoint.ports ?? [], removed));
  if (gone.length === 0 && added.length === 0) return undefined;
  driver.unpublish(endpoint, gone);
  const publishBack = (): void => {
    driver.publish(endpoint, gone.map(asBefore));
  };
  let ports: readonly PublishedPort[];
  try {
    ports = driver.publish(endpoint, added);
  } catch (cause) {
    publishBack();
    throw systemError(`driver failed programming external connectivity on endpoint ${next.name}: ${messageOf(cause)}`, {
      cause,
    });
  }
  return {
    endpoints: next.endpoints.map((one) => (one === endpoint ? { ...one, ports: [...kept, ...ports] } : one)),
    goBack: () => {
      driver.unpublish(endpoint, ports);
      publishBack();
    },
  };
}

const asBefore = (port: PublishedPort) => ({ ...port, hostPortEnd: port.hostPort });
