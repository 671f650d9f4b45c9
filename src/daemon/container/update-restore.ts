/** What a crash in the middle of an update leaves: the update is completed, or gone back on where the kernel refuses it. */
import type { ContainerRecord } from '#container/record.ts';
import type { ExecDriver } from '#execdriver/driver.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';

/** `driver`: of the running container; undefined when it does not run. */
export async function restoreUpdate(
  services: Services,
  record: ContainerRecord,
  driver: ExecDriver | undefined,
): Promise<void> {
  const { pendingUpdate: pending, id } = record;
  if (pending === undefined) return;
  let kept = true;
  try {
    driver?.cgroupOf(id).update(pending.limits);
  } catch (err) {
    kept = false;
    log.warn('an update that was cut off is not in force', { container: id, err });
  }
  await services.containers.run(id, (held) => {
    held.note(kept ? { pendingUpdate: undefined } : { ...pending.before, pendingUpdate: undefined });
  });
}
