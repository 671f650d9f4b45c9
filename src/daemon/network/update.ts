/**
 * What of a network can change while containers are on it: its policies and its labels. Recorded before it is in force,
 * so that a crash in between is completed by the next start; what the kernel refuses is taken back.
 */
import type { NetworkUpdateRequest, NetworkUpdateResponse } from '#api/types/berth-network.ts';
import {
  checkNetworkPolicy,
  EGRESS,
  egressOf,
  isUnguarded,
  PUBLISH_POLICY,
  SPOOF_PROTECTION,
} from '#container/network-policy.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { conflict, forbidden, invalidParameter } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import type { Services } from '../services.ts';
import { followPolicies } from './egress-update.ts';
import { isServed } from './name-service.ts';
import { followPolicy } from './policy-update.ts';
import { isPredefined } from './names.ts';
import type { NetworkRecord } from './record.ts';
import type { Network } from './registry.ts';

const LIVE: readonly string[] = [...Object.values(EGRESS), PUBLISH_POLICY, SPOOF_PROTECTION];

/** Errors: not-found; invalid-parameter; forbidden; conflict for another revision, or containers that may forge senders. */
export async function updateNetwork(
  services: Services,
  reference: string,
  request: NetworkUpdateRequest,
): Promise<NetworkUpdateResponse> {
  const { networks } = services;
  const network = networks.resolve(reference);
  const { record: before } = network;
  if (isPredefined(before.name)) throw forbidden(`${before.name} is a pre-defined network and cannot be updated`);
  const { revision = 0 } = before;
  if (request.Revision !== undefined && request.Revision !== revision) {
    throw conflict(
      `cannot update network ${before.name}: it has revision ${revision} by now, the change was made for ${request.Revision}`,
    );
  }
  const record: NetworkRecord = {
    ...before,
    options: changed(before.options, request.Options ?? {}),
    labels: changed(before.labels, request.Labels ?? {}),
    revision: revision + 1,
  };
  check(record, request);
  const policyChanges = JSON.stringify(egressOf(before.options)) !== JSON.stringify(egressOf(record.options));
  const affected = policyChanges && before.configOnly !== true ? membersOf(services, network) : [];
  if (egressOf(record.options) !== undefined) checkGuarded(affected, before);
  const served = new Map(affected.map((one) => [one.id, isServed(services, one, one.endpoints)]));
  put(services, network, record, policyChanges);
  failpoint('network-update.recorded');
  const { id, name, driver } = record;
  services.events.publish({ type: 'network', action: 'update', id, attributes: { name, type: driver } });
  for (const { id: container } of affected) {
    await services.containers.run(container, async (held) => {
      if (!isRunning(held.record.state) || !isOn(held.record, network)) return;
      await followPolicies(services, held.record, served.get(container) ?? false);
    });
  }
  await followAll(services, network, before);
  return { Revision: record.revision ?? 0 };
}

/** What one container's ports cannot be made is taken back of all. */
async function followAll(services: Services, network: Network, before: NetworkRecord): Promise<void> {
  const follow = async (): Promise<void> => {
    for (const { id } of membersOf(services, network)) {
      await services.containers.run(id, async (held) => followPolicy(services, held));
    }
  };
  try {
    await follow();
  } catch (error) {
    services.networks.update(before);
    await follow().catch((err: unknown) => log.error('an update is not wholly undone', { network: before.name, err }));
    throw error;
  }
}

function changed(
  words: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const next = { ...words, ...changes };
  // as: what is null is left out.
  return Object.fromEntries(Object.entries(next).filter(([, word]) => word !== null)) as Record<string, string>;
}

function check({ options, driver, configOnly }: NetworkRecord, { Options: asked }: NetworkUpdateRequest): void {
  const fixed = Object.keys(asked ?? {}).find((key) => !LIVE.includes(key));
  if (fixed !== undefined) {
    throw invalidParameter(`network option "${fixed}" cannot be changed; those that can: ${LIVE.join(', ')}`);
  }
  checkNetworkPolicy(options, 'network option');
  if (Object.keys(asked ?? {}).length > 0 && driver !== 'bridge' && configOnly !== true) {
    const what = Object.keys(asked ?? {}).some((key) => Object.values<string>(EGRESS).includes(key))
      ? 'an egress policy'
      : 'this policy';
    throw invalidParameter(`${what} cannot be enforced on a network of driver "${driver}"`);
  }
}

const isOn = ({ endpoints }: Pick<ContainerRecord, 'endpoints'>, { record }: Network): boolean =>
  endpoints.some(({ networkId }) => networkId === record.id);

const membersOf = ({ containers }: Services, network: Network): ContainerRecord[] =>
  containers.all().filter((one) => isRunning(one.state) && isOn(one, network));

/** A policy tells containers by their addresses. */
function checkGuarded(members: readonly ContainerRecord[], { options }: NetworkRecord): void {
  const loose = members.find(
    ({ config }) => isUnguarded(config.Labels, options) && egressOf(config.Labels) === undefined,
  );
  if (loose === undefined || egressOf(options) !== undefined) return;
  throw conflict(`container ${loose.name} runs without spoof protection: an egress policy needs it`);
}

function put(services: Services, network: Network, record: NetworkRecord, policyChanges: boolean): void {
  const { record: before } = network;
  services.networks.update(record);
  if (!policyChanges || record.configOnly === true) return;
  try {
    services.egress.applyNetwork(services, record);
  } catch (error) {
    services.networks.update(before);
    throw error;
  }
}
