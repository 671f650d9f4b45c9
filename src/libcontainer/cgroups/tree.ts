/**
 * Directories of a hierarchy: made with their parents, listed with what the container made below, and removed from the
 * leaves up. rmdir answers EBUSY while a dying process is still counted, so removal tries again a bounded time.
 */
import { systemError } from '#errdefs/errors.ts';
import { listDirectory, makeDirectory, parentOf, readText, removeDirectory } from '#sys/host-files.ts';
import { codeOf } from './write.ts';

const DEPTH_MAX = 64;
const REMOVE_LIMIT_MS = 10_000;
const RETRY_MS_MAX = 250;

/** mkdir. False when it was there already. `onMade` is called for each directory made, parents first. */
export function makeGroup(directory: string, onMade: (directory: string) => void): boolean {
  try {
    makeDirectory(directory, 0o755);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (codeOf(error) !== 'ENOENT') throw error;
    makeGroup(parentOf(directory), onMade);
    makeDirectory(directory, 0o755);
  }
  onMade(directory);
  return true;
}

/** The group and all below it, parents first. Empty when it is gone. */
export function groupsBelow(directory: string, depth = 0): string[] {
  if (depth > DEPTH_MAX) throw systemError(`Cannot walk cgroup "${directory}": deeper than ${DEPTH_MAX}`);
  try {
    const { directories } = listDirectory(directory);
    return [directory, ...directories.flatMap((child) => groupsBelow(`${directory}/${child}`, depth + 1))];
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Processes of one group only. A process of another pid namespace is written as 0: nothing can be done to it. */
export function pidsOf(directory: string): number[] {
  let text: string;
  try {
    text = readText(`${directory}/cgroup.procs`);
  } catch (error) {
    const code = codeOf(error);
    // EOPNOTSUPP: a threaded v2 group lists its processes in the group above.
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'EOPNOTSUPP') return [];
    throw error;
  }
  return text
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 0);
}

export function pidsBelow(directory: string): number[] {
  return [...new Set(groupsBelow(directory).flatMap(pidsOf))];
}

/** rmdir of a group and those below. False when something is still in it. */
function tryRemove(directory: string): boolean {
  try {
    removeDirectory(directory);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return true;
    // ENOTEMPTY and EBUSY: groups below, or processes.
    if (code !== 'EBUSY' && code !== 'ENOTEMPTY') throw error;
  }
  for (const group of groupsBelow(directory).toReversed()) {
    try {
      removeDirectory(group);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
      if (code !== 'ENOENT') throw error;
    }
  }
  return true;
}

/** Removes all directories; `kill` is called before each further try, since a fork may have outrun the last one. */
export async function removeGroups(directories: readonly string[], kill: () => void): Promise<void> {
  const started = performance.now();
  let left = directories;
  for (let waitMs = 1; ; waitMs = Math.min(2 * waitMs, RETRY_MS_MAX)) {
    left = left.filter((directory) => !tryRemove(directory));
    const [first] = left;
    if (first === undefined) return;
    if (performance.now() - started > REMOVE_LIMIT_MS) {
      const pids = left.flatMap(pidsBelow).join(' ');
      throw systemError(`Cannot remove cgroup "${first}": still in use after ${REMOVE_LIMIT_MS} ms (pids ${pids})`);
    }
    kill();
    await Bun.sleep(waitMs);
  }
}

/** SIGKILL to each; those that are gone do not matter. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (codeOf(error) !== 'ESRCH') throw error;
    }
  }
}
