/** Options of a tmpfs as `--tmpfs` words them: which are valid, and how they join the defaults. */
import { invalidParameter } from '#errdefs/errors.ts';

const defaults = ['noexec', 'nosuid', 'nodev'];
/** Each flag and the one it takes the place of. */
const opposites: Readonly<Record<string, string>> = {
  ro: 'rw',
  rw: 'ro',
  exec: 'noexec',
  noexec: 'exec',
  suid: 'nosuid',
  nosuid: 'suid',
  dev: 'nodev',
  nodev: 'dev',
  sync: 'async',
  async: 'sync',
  atime: 'noatime',
  noatime: 'atime',
  diratime: 'nodiratime',
  nodiratime: 'diratime',
  relatime: 'norelatime',
  norelatime: 'relatime',
  strictatime: 'nostrictatime',
  nostrictatime: 'strictatime',
};
/** Of the mount, not of its file system: the last one counts. */
const propagations = ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave', 'unbindable', 'runbindable'];
const valued = ['size', 'mode', 'uid', 'gid', 'nr_inodes', 'nr_blocks', 'mpol'];

export function checkTmpfsOptions(options: readonly string[]): void {
  for (const option of options) {
    const at = option.indexOf('=');
    const valid =
      at < 0
        ? option in opposites || propagations.includes(option)
        : valued.includes(option.slice(0, at)) && at < option.length - 1;
    if (!valid) throw invalidParameter(`invalid tmpfs option ["${option}"]`);
  }
}

/** The defaults, without those that a later option contradicts; the last of two opposites or values wins. */
export function tmpfsOptions(options: readonly string[]): string[] {
  const merged = new Map<string, string>();
  for (const option of [...defaults, ...options]) {
    const at = option.indexOf('=');
    const key = at < 0 ? option : option.slice(0, at);
    const opposite = opposites[key];
    if (opposite !== undefined) merged.delete(opposite);
    if (propagations.includes(key)) for (const other of propagations) merged.delete(other);
    merged.delete(key);
    merged.set(key, option);
  }
  return [...merged.values()];
}
