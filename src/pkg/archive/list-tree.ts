/** What is in a directory, in the order of archives, without opening a file. No link is followed. */
import { isErrno } from '#sys/errno.ts';
import { close, type FileStatus, openat, statxAt } from '#sys/files.ts';
import { type FileLooks, looksOf } from '#sys/looks.ts';
import { AT, O, S_IF } from '#sys/numbers.ts';
import { kernelName } from './directories.ts';
import type { ByteString } from './entry.ts';
import { readNames } from './remove-tree.ts';

/** What a listed file looks like. */
export type ListedLooks = FileLooks;

/** `path` is from the root. */
type VisitListed = (path: ByteString, looks: ListedLooks) => void;

export interface ListFilter {
  wants(path: ByteString): boolean;
  /** Whether something in a directory that is not wanted may be. */
  enters(path: ByteString): boolean;
}

/** All of it, of a path of this process. */
export const statusOfPath = (path: Uint8Array): FileStatus => statxAt(AT.FDCWD, path);

const DT_DIRECTORY = 4;

/** Directories come before what is in them; those that are only on the way to something are told, too. */
export function listTree(root: number, filter: ListFilter, visit: VisitListed): void {
  const fd = openat(root, '.', O.RDONLY | O.DIRECTORY);
  try {
    contents(fd, '', filter, visit);
  } finally {
    close(fd);
  }
}

function contents(directory: number, prefix: ByteString, filter: ListFilter, visit: VisitListed): void {
  const names = readNames(directory);
  names.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, type } of names) {
    const path = prefix + name;
    const wanted = filter.wants(path);
    if (!wanted && type !== DT_DIRECTORY && type !== 0) continue;
    if (!wanted && !filter.enters(path)) continue;
    const status = looksOf(directory, name);
    if (status === undefined) continue;
    const isDirectory = (status.mode & S_IF.MT) === S_IF.DIR;
    if (!wanted && !isDirectory) continue;
    if (wanted) visit(path, status);
    if (!isDirectory) continue;
    const fd = openBelow(directory, kernelName(name));
    if (fd === undefined) continue;
    try {
      contents(fd, `${path}/`, filter, visit);
    } finally {
      close(fd);
    }
  }
}

function openBelow(directory: number, name: Uint8Array): number | undefined {
  try {
    return openat(directory, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}
