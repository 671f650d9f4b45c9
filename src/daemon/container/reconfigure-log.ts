/** Log options that are changed while a container runs: what it writes from then on is logged by the new ones. */
import type { Services } from '../services.ts';
import { logTargetOf } from './log-target.ts';
import { containersDirectory } from './paths.ts';
import type { ContainerChange } from './update-hooks.ts';

/** Labels and variables may be part of each line, so any change of the target counts. */
export function reconfigureLog(services: Services, { before, record }: ContainerChange): void {
  const directory = containersDirectory(services);
  const old = logTargetOf(directory, { ...record, config: before.config, hostConfig: before.hostConfig });
  if (JSON.stringify(old) !== JSON.stringify(logTargetOf(directory, record))) services.consoles.relog(record);
}
