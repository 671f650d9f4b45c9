/**
 * Writes a whole file so that a reader, or a start after a crash, sees the old content or the new one, never a part:
 * temporary name in the same directory, write, fsync, rename, fsync of the directory. With `durable: false` both fsyncs
 * are left out (live facts on tmpfs, files that are derived).
 *
 * A busy disk holds an fsync back for hundreds of milliseconds: where others wait for this thread, take the forms that
 * return a promise; the runtime's threads do their work.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';

const FLAGS = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW;

let counter = 0;

const temporaryOf = (file: string): string =>
  path.join(path.dirname(file), `.tmp-${process.pid}-${counter++}-${path.basename(file)}`);

export function writeFileAtomic(
  file: string,
  content: string | Uint8Array,
  options: { mode?: number; durable?: boolean } = {},
): void {
  const durable = options.durable ?? true;
  const temporary = temporaryOf(file);
  const fd = fs.openSync(temporary, FLAGS, options.mode ?? 0o600);
  try {
    fs.writeFileSync(fd, content);
    if (durable) fs.fsyncSync(fd);
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
  if (durable) syncDirectory(path.dirname(file));
}

/** As `writeFileAtomic`, off this thread. */
export async function writeFileAside(
  file: string,
  content: Uint8Array,
  options: { mode?: number; durable?: boolean } = {},
): Promise<void> {
  const durable = options.durable ?? true;
  const temporary = temporaryOf(file);
  try {
    {
      await using handle = await fs.promises.open(temporary, FLAGS, options.mode ?? 0o600);
      await handle.writeFile(content);
      if (durable) await handle.sync();
    }
    await fs.promises.rename(temporary, file);
  } catch (error) {
    await fs.promises.rm(temporary, { force: true });
    throw error;
  }
  if (durable) await syncDirectoryAside(path.dirname(file));
}

/** As `syncDirectory`, off this thread. */
export async function syncDirectoryAside(directory: string): Promise<void> {
  await using handle = await fs.promises.open(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  await handle.sync();
}

/** fsync of a directory: makes renames and unlinks in it durable. */
export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
