/** `logs --grep`: a pattern in the logs of containers, also of those that were removed since. */
import * as path from 'node:path';
import type { LogsSearchInput } from '#api/jobs/container.ts';
import { BerthError, notFound } from '#errdefs/errors.ts';
import type { SearchedLog } from '#logger/search/protocol.ts';
import type { Services } from '../services.ts';
import { logTargetOf } from './log-target.ts';
import { containersDirectory } from './paths.ts';

/** Errors: not-found for a name that no container has or had. */
export async function searchLogs(services: Services, input: LogsSearchInput, signal: AbortSignal): Promise<void> {
  const logs =
    input.containers.length === 0
      ? [...archived(services), ...live(services)]
      : input.containers.flatMap((name) => named(services, name));
  const stream = input.open();
  await services.logSearch.search(
    { logs, pattern: input.pattern, sinceNs: input.since, untilNs: input.until },
    (bytes) => stream.write(bytes),
    AbortSignal.any([signal, stream.closed]),
  );
}

function live(services: Services, id?: string): SearchedLog[] {
  return services.containers
    .all()
    .filter((record) => id === undefined || record.id === id)
    .flatMap((record) => {
      const target = logTargetOf(containersDirectory(services), record);
      if (target?.readable !== true) return [];
      const { driver, path: file, maxFiles } = target;
      return [{ container: record.id, name: record.name, removed: false, log: { driver, path: file, maxFiles } }];
    });
}

function archived(services: Services): SearchedLog[] {
  return services.logArchive.list().map(({ log: { id, name, driver, fileName, maxFiles }, directory }) => ({
    container: id,
    name,
    removed: true,
    log: { driver, path: path.join(directory, fileName), maxFiles },
  }));
}

/** A container by name, id or the beginning of one; those of the same name that are gone come first. */
function named(services: Services, name: string): SearchedLog[] {
  const gone = archived(services).filter(
    (one) => one.name === name.replace(/^\//, '') || (name.length >= 4 && one.container.startsWith(name)),
  );
  try {
    return [...gone, ...live(services, services.containers.resolve(name).id)];
  } catch (error) {
    if (gone.length > 0) return gone;
    if (error instanceof BerthError && error.kind === 'not-found') throw notFound(`No such container: ${name}`);
    throw error;
  }
}
