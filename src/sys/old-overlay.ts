/**
 * Overlays on kernels before 6.8, where fsconfig takes all lower directories in one string of 255 bytes at most: mount(2)
 * takes a page. A child in a mount namespace of its own opens the directories (overlayfs wants them from the namespace
 * that mounts), mounts, sends us a detached copy by a socket and ends. Directories are named by the child's descriptors,
 * relative to where these are listed, so all 500 layers that the kernel stacks fit, wherever they lie.
 */
import { mountOfChild } from './mount-of-child.ts';
import { AT, CLONE, MOVE_MOUNT, MS, NR, O, OPEN_TREE } from './numbers.ts';
import type { Program, Source } from './program.ts';

export interface OverlayRequest {
  /** Topmost first. Paths, or short links to them. */
  readonly lower: readonly string[];
  /** Without them the overlay is read-only. */
  readonly upper?: string;
  readonly work?: string;
  /** More options of overlayfs; undefined is a flag. */
  readonly options?: Readonly<Record<string, string | undefined>>;
  readonly attributes?: number;
  /** Detached mount below which the directories lie (their paths are relative to it): what an id-mapped one maps. */
  readonly within?: number;
}

const PAGE_BYTES = 4096;

/** Descriptor of the mount's root. Main thread only; blocks for about a millisecond. */
export function overlayByMount(request: OverlayRequest): number {
  return mountOfChild((program) => mountOverlay(program, request), CLONE.NEWNS);
}

/** The steps, and the descriptor of the mount. */
function mountOverlay(program: Program, request: OverlayRequest): Source {
  // There the names of descriptors are as short as can be.
  program.do('go to the descriptors', NR.chdir, '/proc/self/fd');
  program.do('make all mounts private', NR.mount, 0, '/', 0, MS.REC | MS.PRIVATE, 0);
  const within = request.within === undefined ? undefined : program.fd(request.within);
  // Before 6.15 overlayfs takes no directories of a mount that belongs to no namespace.
  if (within !== undefined)
    program.do('attach layers', NR.move_mount, within, '', AT.FDCWD, '/', MOVE_MOUNT.F_EMPTY_PATH);
  const tree = program.slot();
  // The kernel gives the lowest free number, and nothing is open above the slot.
  let next = program.numberOf(tree);
  const name = (path: string) => {
    program.do('open layer', NR.openat, within ?? AT.FDCWD, path, O.PATH | O.DIRECTORY | O.CLOEXEC, 0);
    next += 1;
    return String(next);
  };
  const parts = [`lowerdir=${request.lower.map(name).join(':')}`];
  if (request.upper !== undefined) parts.push(`upperdir=${name(request.upper)}`);
  if (request.work !== undefined) parts.push(`workdir=${name(request.work)}`);
  for (const [key, value] of Object.entries(request.options ?? {}))
    parts.push(value === undefined ? key : `${key}=${value}`);
  const options = parts.join(',');
  if (options.length >= PAGE_BYTES) {
    throw new RangeError(`this kernel (before 6.8) cannot stack ${request.lower.length} layers`);
  }
  // Any directory serves: it is mounted over in this namespace only.
  const target = within === undefined ? (request.lower[0] ?? '/') : '/dev';
  // Mount attributes have the values of MS_* up to NOEXEC.
  program.do('mount overlay', NR.mount, 'overlay', target, 'overlay', (request.attributes ?? 0) & 0xf, options);
  const cloned = program.do('clone mount', NR.open_tree, AT.FDCWD, target, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC);
  program.doWith(cloned, 'keep mount', NR.dup3, tree, O.CLOEXEC);
  return tree;
}
