/**
 * Egress policies that change while containers run: of one by its labels (an update), of all on a network by the network's
 * options. Rules first, then names, and then what is under way and no longer allowed ends.
 */
import { egressOf } from '#container/network-policy.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import type { ContainerChange } from '../container/update-hooks.ts';
import type { Services } from '../services.ts';
import { refreshFiles } from './connect.ts';
import { cutForbidden } from './cut.ts';
import { isServed } from './name-service.ts';

export async function reconfigureEgress(services: Services, { before, record }: ContainerChange): Promise<void> {
  const [was, is] = [before, record].map(({ config }) => JSON.stringify(egressOf(config.Labels)));
  if (was === is || !isRunning(record.state) || record.endpoints.length === 0) return;
  services.egress.apply(services, record, record.endpoints);
  const servedBefore = isServed(services, { config: before.config }, record.endpoints);
  await followPolicies(services, record, servedBefore);
}

/** The rules of a running container are others than before. Preconditions: in its queue. */
export async function followPolicies(
  services: Services,
  record: ContainerRecord,
  servedBefore: boolean,
): Promise<void> {
  services.egress.forgetKnown(record.endpoints);
  const served = isServed(services, record, record.endpoints);
  if (served && !servedBefore) services.names.serveRunning(services, record);
  if (served) services.names.refresh(services, record);
  else if (servedBefore) services.names.end(record.id);
  // Who asks for names: the engine, or servers outside.
  if (served !== servedBefore) refreshFiles(services, record);
  await cutForbidden(services, record);
}
