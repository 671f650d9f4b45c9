/** What builds that an earlier daemon had begun have left: containers of their steps, and states that nobody recorded. */
import { sweepSnapshots } from '#builder/prune.ts';
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { removeContainer } from '../container/remove.ts';
import type { Services } from '../services.ts';

export async function restoreBuilds(services: Services): Promise<void> {
  for (const record of services.containers.everything()) {
    if (record.ofBuild !== true) continue;
    log.info('step of a build that was cut off is removed', { container: record.id });
    try {
      await removeContainer(services, { container: record.id, force: true, volumes: true, link: false });
    } catch (error) {
      log.error('step of a build not removed', { container: record.id, err: messageOf(error) });
    }
  }
  await sweepSnapshots(services.builder.parts);
}
