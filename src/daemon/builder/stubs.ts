/**
 * Mount points that a step's start has made, taken out of the step's layer again: none is part of the image. Names are
 * looked up in the layer without following any link, and only what is still empty goes (CVE-2024-23652).
 */
import { engineMade } from '../files/engine-made.ts';
import { isErrno } from '#sys/errno.ts';
import { close, type FileStatus, fstat, open, openat2, ownedFd, unlinkat } from '#sys/files.ts';
import { AT, O, RESOLVE, S_IF } from '#sys/numbers.ts';
import { openParentInRoot, tryOpenInRoot } from '#sys/safe-path.ts';

/** Which of these paths, and of the directories above them, are not there before the step. */
export function missingPaths(root: number, paths: readonly string[]): string[] {
  const missing = new Set<string>();
  for (const path of paths) {
    const names = path.split('/').filter((name) => name !== '');
    for (let length = names.length; length > 0; length--) {
      const prefix = `/${names.slice(0, length).join('/')}`;
      const found = tryOpenInRoot(root, prefix, O.PATH);
      if (found !== undefined) {
        close(found);
        break;
      }
      missing.add(prefix);
    }
  }
  return [...missing];
}

/**
 * `directory`: where the layer's own files lie. `below`: root of what it stands on, O_PATH; undefined for nothing.
 * `whole`: the files of what is below are among them (vfs), so that only what is new may go.
 */
export function removeStubs(
  directory: string,
  stubs: readonly string[],
  below: number | undefined,
  whole: boolean,
): void {
  using root = ownedFd(open(directory, O.PATH | O.DIRECTORY));
  const all = [...new Set([...engineMade(directory), ...stubs])].sort((a, b) => depth(b) - depth(a));
  const parents = new Set<string>();
  for (const path of all) {
    if (removeIfEmpty(root.fd, path, below, whole)) parents.add(path.slice(0, path.lastIndexOf('/')));
  }
  // A directory that came into the layer only because something was made in it says nothing either.
  for (const path of [...parents].sort((a, b) => depth(b) - depth(a))) {
    for (let at = path; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
      if (below === undefined || whole || !removeIfEmpty(root.fd, at, below, whole, true)) break;
    }
  }
}

const depth = (path: string): number => path.split('/').length;

function removeIfEmpty(
  root: number,
  path: string,
  below: number | undefined,
  whole: boolean,
  onlyCopies = false,
): boolean {
  const status = look(root, path);
  if (status === undefined) return false;
  const before = below === undefined ? undefined : look(below, path);
  const kind = status.mode & S_IF.MT;
  if (before !== undefined) {
    // The one below shows through where nothing of it was changed.
    const same = before.mode === status.mode && before.uid === status.uid && before.gid === status.gid;
    if (whole || !same || kind !== S_IF.DIR) return false;
  } else if (onlyCopies) return false;
  if (kind !== S_IF.DIR && (kind !== S_IF.REG || status.size > 0)) return false;
  const { dir, name } = openParentInRoot(root, path);
  using _parent = dir;
  try {
    unlinkat(dir.fd, name, kind === S_IF.DIR ? AT.REMOVEDIR : 0);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOTEMPTY', 'ENOENT', 'EEXIST')) return false;
    throw error;
  }
}

/** Undefined when there is nothing, or a link is on the way: no start has made that. */
function look(root: number, path: string): FileStatus | undefined {
  try {
    const resolve = RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS;
    using found = ownedFd(openat2(root, path, { flags: O.PATH | O.NOFOLLOW, resolve }));
    return fstat(found.fd);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}
