/**
 * Writes a whole file so that a reader, or a start after a crash, sees the old content or the new one, never a part:
 * temporary name in the same directory, write, fsync, rename, fsync of the directory. With `durable: false` both fsyncs
 * are left out (live facts on tmpfs, files that are derived).
 */
import * as fs from 'node:fs';
import * as path from 'node:path';

let counter = 0;

export function writeFileAtomic(
  file: string,
  content: string | Uint8Array,
  options: { mode?: number; durable?: boolean } = {},
): void {
  const durable = options.durable ?? true;
  const temporary = path.join(path.dirname(file), `.tmp-${process.pid}-${counter++}-${path.basename(file)}`);
  const flags = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW;
  const fd = fs.openSync(temporary, flags, options.mode ?? 0o600);
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

/** fsync of a directory: makes renames and unlinks in it durable. */
export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
