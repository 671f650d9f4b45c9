/**
 * Device nodes and links of a container's /dev. They are made from outside in its detached tmpfs (or, for a bundle without
 * one, in the root filesystem), so no call inside depends on paths of the image, and a user namespace, where mknod is
 * refused, gets the same nodes.
 */
import { conflict, invalidParameter, systemError } from '#errdefs/errors.ts';
import { exists } from '#sys/host-files.ts';
import { isErrno } from '#sys/errno.ts';
import { fchmodat, fchownat, mknodat, type OwnedFd, ownedFd, statxAt, symlinkat } from '#sys/files.ts';
import { AT, S_IF } from '#sys/numbers.ts';
import type { IdMaps } from '../id-map.ts';
import type { Device } from '../spec.ts';
import { cleanPath, type MountTable } from './place.ts';

const defaultDevices: readonly Device[] = [
  { path: '/dev/null', type: 'c', major: 1, minor: 3 },
  { path: '/dev/zero', type: 'c', major: 1, minor: 5 },
  { path: '/dev/full', type: 'c', major: 1, minor: 7 },
  { path: '/dev/random', type: 'c', major: 1, minor: 8 },
  { path: '/dev/urandom', type: 'c', major: 1, minor: 9 },
  { path: '/dev/tty', type: 'c', major: 5, minor: 0 },
];

const links: readonly (readonly [name: string, target: string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
];
/** Only where the kernel has it, as runc. */
const coreLink = ['core', '/proc/kcore'] as const;

const DEVICE_MODE = 0o666;
const fileTypes: Readonly<Record<string, number>> = { c: S_IF.CHR, u: S_IF.CHR, b: S_IF.BLK, p: S_IF.IFO };

/** Splits an absolute clean path. */
function split(path: string): readonly [directory: string, name: string] {
  const slash = path.lastIndexOf('/');
  return [path.slice(0, slash) || '/', path.slice(slash + 1)];
}

/** Opened parents of the nodes of one container: nearly all are /dev. */
class Parents implements Disposable {
  readonly #table: MountTable;
  readonly #open = new Map<string, OwnedFd>();

  constructor(table: MountTable) {
    this.#table = table;
  }

  of(directory: string, device: string): number {
    const known = this.#open.get(directory);
    if (known !== undefined) return known.fd;
    const place = this.#table.locate(directory, 'directory');
    if (place.fd === undefined) throw invalidParameter(`Device "${device}" lies in a file system that cannot hold one`);
    this.#open.set(directory, ownedFd(place.fd));
    // A link of the image must not choose where on the host a device is made (CVE-2026-41579, CVE-2026-47766).
    if (place.path !== directory)
      throw invalidParameter(`Device "${device}" cannot be made: "${directory}" is a symlink in the container`);
    return place.fd;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) fd[Symbol.dispose]();
  }
}

/** Preconditions: the mounts of the container are in `table`, and /dev was seen to be no symlink. */
export function makeDevices(table: MountTable, devices: readonly Device[], ids: IdMaps): void {
  using parents = new Parents(table);
  // A device of the specification takes the place of the default one at the same path.
  const wanted = new Map<string, Device>();
  for (const device of [...defaultDevices, ...devices]) wanted.set(cleanPath(device.path), device);
  for (const [path, device] of wanted) {
    const [directory, name] = split(path);
    if (name === '') throw invalidParameter(`"${device.path}" names no device`);
    makeNode(parents.of(directory, device.path), name, device, ids);
  }
  const dev = parents.of('/dev', '/dev');
  for (const [name, target] of links) makeLink(dev, name, target, ids);
  if (exists(coreLink[1])) makeLink(dev, ...coreLink, ids);
  makeLink(dev, 'ptmx', 'pts/ptmx', ids);
}

function makeNode(parent: number, name: string, device: Device, ids: IdMaps): void {
  const type = fileTypes[device.type];
  if (type === undefined) throw invalidParameter(`Device "${device.path}" has an unknown type "${device.type}"`);
  const { major = 0, minor = 0 } = device;
  const mode = (device.fileMode ?? DEVICE_MODE) & 0o7777;
  try {
    mknodat(parent, name, type | mode, major, minor);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw systemError(`Cannot make device "${device.path}"`, { cause: error });
    const existing = statxAt(parent, name);
    const same = (existing.mode & S_IF.MT) === type && existing.rdevMajor === major && existing.rdevMinor === minor;
    if (!same) throw conflict(`Cannot make device "${device.path}": the image has something else there`);
    return;
  }
  // The umask of the process took bits away.
  fchmodat(parent, name, mode);
  const uid = ids.uid(device.uid ?? 0);
  const gid = ids.gid(device.gid ?? 0);
  if (uid !== 0 || gid !== 0) fchownat(parent, name, uid, gid);
}

/** A link that an image has already stays as it is. */
function makeLink(parent: number, name: string, target: string, ids: IdMaps): void {
  try {
    symlinkat(target, parent, name);
    if (ids.uid(0) !== 0) fchownat(parent, name, ids.uid(0), ids.gid(0), AT.SYMLINK_NOFOLLOW);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
}
