/**
 * Mount points that a start makes in a container's layer: they are the engine's, not changes of the container. dockerd
 * keeps them in a layer of their own between image and container; here they are recognised: empty, and in these places.
 */
import { kernelName } from '#pkg/archive/directories.ts';
import { textOf } from '#pkg/archive/entry.ts';
import { readNames } from '#pkg/archive/remove-tree.ts';
import { isErrno } from '#sys/errno.ts';
import { close, type FileStatus, fstat, open, openat, openat2, ownedFd } from '#sys/files.ts';
import { O, RESOLVE, S_IF } from '#sys/numbers.ts';

const files = ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf', '/dev/console', '/sbin/docker-init', '/.dockerenv'];
/** Below before above. */
const directories = ['/dev/pts', '/dev/shm', '/dev/mqueue', '/dev', '/proc', '/sys/fs/cgroup', '/sys/fs', '/sys'];
/** Made for what is in them only. */
const parents = ['/etc', '/sbin'];

/** Absolute paths in the layer whose own files lie in `directory` (a path of ours). */
export function engineMade(directory: string): Set<string> {
  using root = ownedFd(open(directory, O.RDONLY | O.DIRECTORY));
  const made = new Set<string>();
  for (const path of files) {
    const status = look(root.fd, path);
    if (status !== undefined && (status.mode & S_IF.MT) === S_IF.REG && status.size === 0) made.add(path);
  }
  for (const path of directories) if (allMade(root.fd, path, made) !== undefined) made.add(path);
  for (const path of parents) if ((allMade(root.fd, path, made) ?? 0) > 0) made.add(path);
  return made;
}

function look(root: number, path: string): FileStatus | undefined {
  const fd = openReal(root, path);
  if (fd === undefined) return undefined;
  try {
    return fstat(fd);
  } finally {
    close(fd);
  }
}

/** Undefined when there is nothing or a link is on the way: no start has made that. */
function openReal(root: number, path: string): number | undefined {
  try {
    const resolve = RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS;
    return openat2(root, path, { flags: O.PATH | O.NOFOLLOW, resolve });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}

/** How many entries a directory has, all of them made by the engine; undefined when it has others or is none. */
function allMade(root: number, path: string, made: ReadonlySet<string>): number | undefined {
  const fd = openReal(root, path);
  if (fd === undefined) return undefined;
  try {
    if ((fstat(fd).mode & S_IF.MT) !== S_IF.DIR) return undefined;
    using open = ownedFd(openat(fd, kernelName('.'), O.RDONLY | O.DIRECTORY));
    const names = readNames(open.fd).map((entry) => textOf(entry.name));
    return names.every((name) => made.has(`${path}/${name}`)) ? names.length : undefined;
  } finally {
    close(fd);
  }
}
