/** rename and resize. */
import { parseContainerName } from '#container/name.ts';
import { BerthError, conflict, invalidParameter, kindOf, messageOf } from '#errdefs/errors.ts';
import type { Services } from '../services.ts';
import { publishContainerEvent } from './event.ts';

/** Errors: conflict when the name is taken or the container is being removed. */
export async function renameContainer(services: Services, reference: string, wanted: string): Promise<void> {
  if (wanted === '') throw invalidParameter('Neither old nor new names may be empty');
  const { id } = services.containers.resolve(reference);
  const name = allocating(() => parseContainerName(wanted));
  await services.containers.run(id, (held) => {
    const before = held.record.name;
    if (before === name) {
      throw invalidParameter('Renaming a container with the same name as its current name');
    }
    allocating(() => services.containers.rename(held, name));
    services.names.changed(services);
    publishContainerEvent(services.events, held.record, 'rename', { oldName: `/${before}` });
  });
}

/** In the words of dockerd. */
function allocating<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new BerthError(kindOf(cause), `Error when allocating new name: ${messageOf(cause)}`, { cause });
  }
}

/** Errors: conflict when it does not run. */
export function resizeContainer(services: Services, reference: string, height: number, width: number): void {
  const record = services.containers.resolve(reference);
  const live = services.live.get(record.id);
  if (live === undefined) throw conflict(`container ${record.id} is not running`);
  live.process.resize(height, width);
  publishContainerEvent(services.events, record, 'resize', { height: String(height), width: String(width) });
}
