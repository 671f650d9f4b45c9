/**
 * Masked and read-only paths. A masked directory gets an empty read-only tmpfs, a masked file the host's /dev/null; both
 * come as descriptors of the host (never the container's own /dev/null, CVE-2025-31133) and are copied inside for each
 * path. Which of the two a path of /proc or /sys needs is asked of the host's, which is the same kernel's.
 */
import { invalidParameter, systemError } from '#errdefs/errors.ts';
import { errnoNumber, SysError } from '#sys/errno.ts';
import { close, fstat, open, ownedFd, tryModeAt } from '#sys/files.ts';
import { bindDetached, detachedTmpfs } from '#sys/mounts.ts';
import { AT, MOUNT_ATTR, MOVE_MOUNT, NR, O, OPEN_TREE, S_IF } from '#sys/numbers.ts';
import type { Program, Source } from '#sys/program.ts';
import type { InsideMounts } from './inside.ts';
import { cleanPath } from './place.ts';
import { closePlace, type PreparedMounts } from './prepare.ts';

const ENOENT = errnoNumber('ENOENT');
const ENOTDIR = errnoNumber('ENOTDIR');

interface RestrictedPath {
  readonly path: string;
  readonly directory: boolean;
}

export interface Restrictions extends Disposable {
  /** Adds the steps. Preconditions: all mounts are attached, the host's tree is still the working one. */
  attach(inside: InsideMounts): void;
}

const hostOf: Readonly<Record<string, string>> = { proc: '/proc', sysfs: '/sys' };
const NULL_MAJOR = 1;
const NULL_MINOR = 3;

/** Looks up every path; those that do not exist need nothing. */
export function prepareRestrictions(
  mounts: PreparedMounts,
  masked: readonly string[],
  readOnly: readonly string[],
): Restrictions {
  const look = (paths: readonly string[]) => paths.flatMap((path) => restricted(mounts, path) ?? []);
  const toMask = look(masked);
  const toRestrict = look(readOnly);
  const owned: number[] = [];
  try {
    const nothing = toMask.some((p) => !p.directory) ? take(owned, hostNull()) : undefined;
    const empty = toMask.some((p) => p.directory)
      ? take(owned, mounts.spares?.take('mask', emptyDirectory) ?? emptyDirectory())
      : undefined;
    return {
      attach: (inside) => {
        addMasks(inside, toMask, nothing, empty);
        for (const { path } of toRestrict) addReadOnly(inside, path);
      },
      [Symbol.dispose]: () => owned.splice(0).forEach(close),
    };
  } catch (error) {
    owned.forEach(close);
    throw error;
  }
}

function take(owned: number[], fd: number): number {
  owned.push(fd);
  return fd;
}

function restricted(mounts: PreparedMounts, wanted: string): RestrictedPath | undefined {
  const place = mounts.table.find(cleanPath(wanted));
  if (place === undefined) return undefined;
  closePlace(place);
  if (place.directory !== undefined) return { path: place.path, directory: place.directory };
  const within = mounts.insideTypeAt(place.path);
  const host = within === undefined ? undefined : hostOf[within.type];
  if (within === undefined || host === undefined)
    throw invalidParameter(`Path "${wanted}" cannot be masked or made read-only`);
  const mode = tryModeAt(AT.FDCWD, host + place.path.slice(within.at.length), 0);
  if (mode >= 0) return { path: place.path, directory: (mode & S_IF.MT) === S_IF.DIR };
  // About half of those that are masked by default are on no one host.
  if (mode === -ENOENT || mode === -ENOTDIR) return undefined;
  throw systemError(`Cannot look at "${wanted}" of the host`, { cause: new SysError('statx', -mode, [wanted]) });
}

function hostNull(): number {
  using file = ownedFd(open('/dev/null', O.PATH | O.NOFOLLOW));
  const { mode, rdevMajor, rdevMinor } = fstat(file.fd);
  const genuine = (mode & S_IF.MT) === S_IF.CHR && rdevMajor === NULL_MAJOR && rdevMinor === NULL_MINOR;
  if (!genuine) throw systemError('Cannot mask files: /dev/null of the host is not the null device');
  return bindDetached(file.fd);
}

function emptyDirectory(): number {
  const attributes = MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC;
  return detachedTmpfs({ mode: '755', nr_inodes: '1', size: '4k' }, attributes);
}

/**
 * A mount can be copied only when it is in our namespace, so the two originals first go to places of the host's tree that
 * exist for certain; they vanish with that tree.
 */
function addMasks(
  inside: InsideMounts,
  paths: readonly RestrictedPath[],
  nothing: number | undefined,
  empty: number | undefined,
): void {
  const { program } = inside;
  const holders = new Map<boolean, Source>();
  for (const [directory, fd, at] of [
    [false, nothing, '/dev/null'],
    [true, empty, '/dev'],
  ] as const) {
    if (fd === undefined) continue;
    const source = program.fd(fd);
    program.do(`hold the mask at ${at}`, NR.move_mount, source, '', AT.FDCWD, at, MOVE_MOUNT.F_EMPTY_PATH);
    holders.set(directory, source);
  }
  for (const { path, directory } of paths) {
    const holder = holders.get(directory);
    if (holder !== undefined) addMask(program, inside, path, holder);
  }
}

function addMask(program: Program, inside: InsideMounts, path: string, holder: Source): void {
  // A proc mounted with hidepid or subset lacks some of the host's entries.
  const target = inside.open(path, { forgives: 'ENOENT' });
  const flags = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | AT.EMPTY_PATH;
  const copy = program.do(`copy mask for ${path}`, NR.open_tree, holder, '', flags);
  inside.attachOpened(`mask ${path}`, copy, target);
  program.skipsToHere(target);
}

function addReadOnly(inside: InsideMounts, path: string): void {
  const first = inside.open(path, { forgives: 'ENOENT' });
  const copy = inside.copyOf(`copy ${path}`, first, true);
  inside.setAttributes(`make ${path} read-only`, copy, MOUNT_ATTR.RDONLY, { recursive: true });
  inside.attach(`read-only ${path}`, copy, inside.open(path));
  inside.program.skipsToHere(first);
}
