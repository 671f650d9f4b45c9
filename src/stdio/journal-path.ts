/**
 * Where the journal lies. It must outlive the daemon and should lie in memory: in the exec root where that is a tmpfs,
 * else in /dev/shm in a folder of its own, named after the exec root, that only we can have made. Folders whose exec root
 * has gone are removed.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemError } from '#errdefs/errors.ts';
import { statfs } from '#sys/files.ts';

const TMPFS_MAGIC = 0x01021994;
const SHARED_MEMORY = '/dev/shm';
const PREFIX = 'berth-';
/** Names the exec root that a folder belongs to. */
const OWNER = 'exec-root';
const FILE = 'pump.journal';

export function journalPath(execRoot: string, sharedMemory = SHARED_MEMORY): string {
  if (isTmpfs(execRoot) || !isTmpfs(sharedMemory)) return join(execRoot, FILE);
  removeAbandoned(sharedMemory);
  const folder = join(sharedMemory, `${PREFIX}${Bun.hash.xxHash64(execRoot).toString(16)}`);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch {
    if (!isOurs(folder)) throw systemError(`Cannot use "${folder}": it belongs to somebody else`);
    chmodSync(folder, 0o700);
  }
  writeFileSync(join(folder, OWNER), execRoot);
  return join(folder, FILE);
}

function isTmpfs(path: string): boolean {
  try {
    return statfs(path).type === TMPFS_MAGIC;
  } catch {
    return false;
  }
}

function isOurs(folder: string): boolean {
  const status = lstatSync(folder);
  return status.isDirectory() && status.uid === process.getuid?.();
}

function removeAbandoned(sharedMemory: string): void {
  for (const name of readdirSync(sharedMemory)) {
    const folder = join(sharedMemory, name);
    try {
      if (!name.startsWith(PREFIX) || !isOurs(folder)) continue;
      if (!existsSync(readFileSync(join(folder, OWNER), 'utf8'))) rmSync(folder, { recursive: true });
    } catch {
      // It is being made or removed by another daemon.
    }
  }
}
