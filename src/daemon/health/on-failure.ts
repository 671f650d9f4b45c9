/**
 * What is done when a container becomes unhealthy, beyond saying so: nothing, as with Docker, or what its label
 * `berth.health.on-failure` says. `kill` leaves the rest to the restart policy; `stop` is a stop by the user.
 */
import { containerRestart, containerStop } from '#api/jobs/container.ts';
import { HEALTH_ON_FAILURE_LABEL, healthOnFailureOf } from '#container/extension-labels.ts';
import type { ContainerRecord } from '#container/record.ts';
import { log } from '#pkg/log/log.ts';
import { publishContainerEvent } from '../container/event.ts';
import { type LiveContainer, signalQuietly } from '../container/live.ts';
import type { Services } from '../services.ts';
import { noteAsked } from '../why/why.ts';

const SIGKILL = 9;

export function onUnhealthy(services: Services, record: ContainerRecord, live: LiveContainer): void {
  const action = healthOnFailureOf(record.config.Labels);
  if (action === 'none') return;
  const { id } = record;
  log.warn('an unhealthy container is acted upon', { container: id, action, label: HEALTH_ON_FAILURE_LABEL });
  services.tasks.spawn(
    'unhealthy',
    async (signal) => {
      const caller = { source: 'health' };
      const input = { container: id, signal: '', timeoutSeconds: undefined };
      if (action === 'restart') await services.engine.run(containerRestart, input, { caller, signal });
      else if (action === 'stop') await services.engine.run(containerStop, input, { caller, signal });
      else {
        noteAsked(services, caller, 'kill', { container: id });
        publishContainerEvent(services.events, record, 'kill', { signal: String(SIGKILL) });
        await signalQuietly(live.process, SIGKILL);
      }
    },
    { container: id, action },
  );
}
