/**
 * Published ports of a running container, changed while it runs: what is asked for again is not touched, the rest is taken
 * back, what is new is published. A failure leaves everything as it was.
 */
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { leavingLast, portChanges } from '#container/published-ports.ts';
import { isRunning } from '#container/state.ts';
import { systemError, messageOf } from '#errdefs/errors.ts';
import type { PublishedPort } from '#networkdriver/driver.ts';
import { driverOf, isJudged, judgedAsAsked, leadingOf } from '../network/gateways.ts';
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
  if (!isRunning(next.state)) return undefined;
  const changed = new Map<StoredEndpoint, ChangedEndpoint>();
  const goBack = (): void => {
    for (const one of [...changed.values()].reverse()) one.goBack();
  };
  // Each family may have a network of its own that leads out.
  for (const endpoint of next.endpoints.filter(({ leads }) => leads === true)) {
    try {
      const one = changeEndpoint(services, next, endpoint, removed);
      if (one !== undefined) changed.set(endpoint, one);
    } catch (error) {
      goBack();
      throw error;
    }
  }
  if (changed.size === 0) return undefined;
  return { endpoints: next.endpoints.map((one) => changed.get(one)?.endpoint ?? one), goBack };
}

interface ChangedEndpoint {
  readonly endpoint: StoredEndpoint;
  readonly goBack: () => void;
}

function changeEndpoint(
  services: Services,
  next: ContainerRecord,
  endpoint: StoredEndpoint,
  removed: readonly string[],
): ChangedEndpoint | undefined {
  const driver = driverOf(services, endpoint);
  if (driver === undefined) return undefined;
  const families = leadingOf(endpoint);
  const requests = judgedAsAsked(services, next, endpoint, portRequestsOf(next));
  const { kept, gone, added } = portChanges(requests, leavingLast(endpoint.ports ?? [], removed));
  const judged = isJudged(services, next, endpoint);
  const turned = kept.filter((port) => (port.judged === true) !== judged);
  if (gone.length === 0 && added.length === 0 && turned.length === 0) return undefined;
  const newTurned = turned.map((port) => judgedOrNot(port, judged));
  if (turned.length > 0) driver.rejudge?.(endpoint, turned, newTurned);
  driver.unpublish(endpoint, gone);
  const publishBack = (): void => {
    driver.publish(endpoint, gone.map(asBefore), families);
    if (turned.length > 0) driver.rejudge?.(endpoint, newTurned, turned);
  };
  let ports: readonly PublishedPort[];
  try {
    ports = driver.publish(endpoint, added, families);
  } catch (cause) {
    publishBack();
    throw systemError(`driver failed programming external connectivity on endpoint ${next.name}: ${messageOf(cause)}`, {
      cause,
    });
  }
  return {
    endpoint: { ...endpoint, ports: [...kept.map((port) => judgedOrNot(port, judged)), ...ports] },
    goBack: () => {
      driver.unpublish(endpoint, ports);
      publishBack();
    },
  };
}

function judgedOrNot({ judged: _judged, ...port }: PublishedPort, judged: boolean): PublishedPort {
  return judged ? { ...port, judged } : port;
}

const asBefore = (port: PublishedPort) => ({ ...port, hostPortEnd: port.hostPort });
