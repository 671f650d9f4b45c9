/** An update has changed the labels of a running container: its egress policy changes with them. */
import { egressOf } from '#container/network-policy.ts';
import { isRunning } from '#container/state.ts';
import type { ContainerChange } from '../container/update-hooks.ts';
import type { Services } from '../services.ts';
import { refreshFiles } from './connect.ts';
import { isServed } from './name-service.ts';

export function reconfigureEgress(services: Services, { before, record }: ContainerChange): void {
  const [was, is] = [before, record].map(({ config }) => JSON.stringify(egressOf(config.Labels)));
  if (was === is || !isRunning(record.state) || record.endpoints.length === 0) return;
  services.egress.apply(services, record, record.endpoints);
  services.egress.forgetKnown(record.endpoints);
  const servedBefore = isServed(services, { config: before.config }, record.endpoints);
  const served = isServed(services, record, record.endpoints);
  if (served && !servedBefore) services.names.serveRunning(services, record);
  if (served) services.names.refresh(services, record);
  else if (servedBefore) services.names.end(record.id);
  // Who asks for names: the engine, or servers outside.
  if (served !== servedBefore) refreshFiles(services, record);
}
