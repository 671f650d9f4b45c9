/**
 * File systems of containers as detached mounts: what a container's own namespace has, and a root with mounts put
 * together as they would be in one. Both are made by a child, since mounts can only be attached or copied from inside
 * the namespace they are in (before Linux 6.15). Main thread only; a millisecond or two.
 */
import { mountOfChild } from './mount-of-child.ts';
import { AT, CLONE, MOVE_MOUNT, MS, NR, O, OPEN_TREE, RESOLVE } from './numbers.ts';

export interface PlacedMount {
  /** Detached; it is used up: close it afterwards. */
  readonly fd: number;
  /** Real path below the root, '/' first, without symlinks. */
  readonly path: string;
}

/** Copy of the root mount of a process's mount namespace, without what is mounted below it. */
export function rootMountOf(pidfd: number): number {
  return mountOfChild((program) => {
    program.do('join mount namespace', NR.setns, program.fd(pidfd), CLONE.NEWNS);
    const flags = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC;
    return program.keep(program.do('copy root mount', NR.open_tree, AT.FDCWD, '/', flags));
  }, 0);
}

/**
 * One tree of a detached root and mounts in it. `root` is used up too: it can be read on, but not attached any more.
 * `standIn`: any directory of the host; it is mounted over in the child only.
 */
export function composedTree(root: number, mounts: readonly PlacedMount[], standIn: string): number {
  return mountOfChild((program) => {
    program.do('make all mounts private', NR.mount, 0, '/', 0, MS.REC | MS.PRIVATE, 0);
    const base = program.fd(root);
    program.do('attach root', NR.move_mount, base, '', AT.FDCWD, standIn, MOVE_MOUNT.F_EMPTY_PATH);
    const how = BigUint64Array.of(
      BigInt(O.PATH | O.CLOEXEC),
      0n,
      BigInt(RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS | RESOLVE.NO_SYMLINKS),
    );
    const address = program.bytes(new Uint8Array(how.buffer));
    for (const { fd, path } of mounts) {
      const relative = path === '/' ? '.' : path.slice(1);
      const target = program.do(`open ${path}`, NR.openat2, base, relative, address, 24);
      const flags = MOVE_MOUNT.F_EMPTY_PATH | MOVE_MOUNT.T_EMPTY_PATH;
      const step = program.do(`mount on ${path}`, NR.move_mount, program.fd(fd), '', 0, '', flags);
      program.feed(target, step, 2);
    }
    const copy = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | AT.EMPTY_PATH | AT.RECURSIVE;
    return program.keep(program.do('copy tree', NR.open_tree, base, '', copy));
  }, CLONE.NEWNS);
}
