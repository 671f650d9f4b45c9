/**
 * Gives a whole tree to one owner, whoever else writes to it meanwhile. Each entry is opened without following links and
 * without leaving the mount, and what was opened is what is changed. A file that has names outside of the tree is left
 * as it is: one who may only write here could have linked another's file in.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { isErrno } from '#sys/errno.ts';
import { close, fchownat, type FileStatus, fstat, openat, openat2 } from '#sys/files.ts';
import { AT, O, RESOLVE, S_IF } from '#sys/numbers.ts';
import { kernelName } from './directories.ts';
import { readNames } from './remove-tree.ts';

const DEPTH_MAX = 1000;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** `root`: any descriptor of the tree's top, which may be a file. `step` is called for each entry; it may throw. */
export function chownTree(root: number, owner: Owner, step: () => void): void {
  new Changer(owner, step).entry(root, 0);
}

class Changer {
  readonly #owner: Owner;
  readonly #step: () => void;
  /** Names seen so far of files that have several. */
  readonly #seen = new Map<string, number>();

  constructor(owner: Owner, step: () => void) {
    this.#owner = owner;
    this.#step = step;
  }

  /** `fd` may be O_PATH. */
  entry(fd: number, depth: number): void {
    this.#step();
    const status = fstat(fd);
    const directory = (status.mode & S_IF.MT) === S_IF.DIR;
    if (directory || depth === 0 || this.#allNamesSeen(status)) this.#give(fd, status);
    if (directory) this.#contents(fd, depth);
  }

  #give(fd: number, status: FileStatus): void {
    const { uid, gid } = this.#owner;
    if (status.uid !== uid || status.gid !== gid) fchownat(fd, '', uid, gid, AT.EMPTY_PATH);
  }

  #allNamesSeen({ nlink, dev, ino }: FileStatus): boolean {
    if (nlink === 1) return true;
    const key = `${dev}:${ino}`;
    const seen = (this.#seen.get(key) ?? 0) + 1;
    this.#seen.set(key, seen);
    return seen >= nlink;
  }

  #contents(path: number, depth: number): void {
    if (depth >= DEPTH_MAX) throw invalidParameter(`cannot change owners: the tree is deeper than ${DEPTH_MAX}`);
    const directory = openat(path, '.', O.RDONLY | O.DIRECTORY);
    try {
      for (const { name } of readNames(directory)) {
        const fd = open(directory, kernelName(name));
        if (fd === undefined) continue;
        try {
          this.entry(fd, depth + 1);
        } finally {
          close(fd);
        }
      }
    } finally {
      close(directory);
    }
  }
}

/** Undefined when it is gone by now, or another file system is mounted there. */
function open(directory: number, name: Uint8Array): number | undefined {
  const resolve = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_XDEV;
  try {
    return openat2(directory, name, { flags: O.PATH | O.NOFOLLOW, resolve });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EXDEV', 'ELOOP')) return undefined;
    throw error;
  }
}

const dangerous = new Set(
  [
    '',
    'bin',
    'boot',
    'dev',
    'etc',
    'home',
    'lib',
    'lib32',
    'lib64',
    'media',
    'mnt',
    'opt',
    'proc',
    'root',
    'run',
    'sbin',
  ]
    .concat(['srv', 'sys', 'tmp', 'usr', 'var', 'var/lib', 'var/log', 'usr/bin', 'usr/lib', 'usr/sbin', 'usr/local'])
    .map((name) => `/${name}`),
);

/** `realPath` is without links. Errors: invalid-parameter for a directory that the host lives on. */
export function refuseHostDirectories(realPath: string): void {
  if (!dangerous.has(realPath)) return;
  throw invalidParameter(`changing the owners of host path "${realPath}" is not allowed`);
}
