/**
 * The mounts of a container in two halves. `prepareMounts` does what has a condition in it: sources become detached
 * mounts, mount points are found and made, real paths learnt. `attach` adds the steps that put them together inside.
 *
 * Ownership: PreparedMounts owns its descriptors until it is disposed (after the outcome is known); a `sourceFd` of the
 * specification stays its owner's.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { close, mkdirat, modeOf, type OwnedFd, ownedFd, symlinkat } from '#sys/files.ts';
import { detachedTmpfs } from '#sys/mounts.ts';
import { AT, MOUNT_ATTR, NR, OPEN_TREE } from '#sys/numbers.ts';
import type { CgroupDirectory } from '../cgroups/cgroup.ts';
import { type IdMaps, idMapText, namespaceOfMaps } from '../id-map.ts';
import type { Device, Mount } from '../spec.ts';
import { makeDevices } from './devices.ts';
import type { InsideMounts } from './inside.ts';
import type { MountOptions } from './options.ts';
import { cleanPath, isBelow, MountTable, type Place } from './place.ts';
import { closeSource, type InsideType, makeSource, type MountSource } from './source.ts';
import type { SpareMounts } from './spare-mounts.ts';

export interface MountsRequest {
  readonly root: number;
  readonly mounts: readonly Mount[];
  readonly bundle: string;
  readonly ids: IdMaps;
  /** The container's maps, for mounts that are to have them. */
  readonly maps: Pick<Mount, 'uidMappings' | 'gidMappings'>;
  /** The container's own directories of each hierarchy, for a cgroup mount on v1. */
  readonly cgroups: readonly CgroupDirectory[];
  readonly cgroupVersion: 1 | 2;
  readonly devices: readonly Device[];
  readonly spares: SpareMounts | undefined;
}

interface PreparedMount {
  readonly mount: Mount;
  /** Real path of its mount point. */
  readonly path: string;
  readonly source: MountSource;
}

/** What a /dev holds before anything is mounted on it. */
interface Furniture {
  readonly devices: readonly Device[];
  /** Mount points, by name. */
  readonly directories: readonly string[];
}

// The kernel's own file systems and devices: an image that has a link there would send them elsewhere.
const neverLinks = ['/dev', '/proc', '/sys'];
/** Each is a descriptor that goes along with the start, and those are limited (SCM_MAX_FD). */
const MOUNTS_MAX = 200;
/** What a /dev that was made ahead may have other mounts on. */
const ON_DEV: readonly string[] = ['/dev/pts', '/dev/mqueue', '/dev/shm'];
const DIRECTORY_ON_FILE =
  'not a directory: Are you trying to mount a directory onto a file (or vice-versa)? ' +
  'Check if the specified host path exists and is the expected type';

export class PreparedMounts implements Disposable {
  readonly table: MountTable;
  readonly #request: MountsRequest;
  readonly #mounts: PreparedMount[] = [];
  /** Descriptors that are ours and no source's. */
  readonly #owned: number[] = [];
  /** User namespaces by their maps. */
  readonly #namespaces = new Map<string, OwnedFd>();
  /** /dev has the devices of the request already. */
  #furnished = false;

  constructor(request: MountsRequest) {
    this.#request = request;
    this.table = new MountTable(request.root, { uid: request.ids.uid(0), gid: request.ids.gid(0) });
  }

  add(mount: Mount): void {
    const destination = cleanPath(mount.destination);
    if (destination === '/') throw invalidParameter('A mount on "/" of the container is not possible');
    const source = this.#makeSource({ ...mount, destination });
    let path: string;
    try {
      path = this.#mountPoint(destination, source);
    } catch (error) {
      closeSource(mount, source);
      throw error;
    }
    this.#mounts.push({ mount, path, source });
    if (source.kind === 'detached') this.table.cover(path, source.fd);
    else if (source.type === 'cgroup' && this.#request.cgroupVersion === 1) this.#coverByCgroupTree(path);
    else this.table.cover(path, undefined);
  }

  #makeSource(mount: Mount): MountSource {
    const { bundle, ids } = this.#request;
    let coveredMode: number | undefined;
    if (mount.type === 'tmpfs' && !mount.options?.some((option) => option.startsWith('mode='))) {
      const covered = this.table.find(mount.destination);
      if (covered?.fd !== undefined) {
        coveredMode = modeOf(covered.fd);
        close(covered.fd);
      }
    }
    const make = () =>
      makeSource(mount, { bundle, ids, coveredMode, namespaceOf: (wanted) => this.#namespaceOf(wanted) });
    const { type, source, options } = mount;
    const { spares } = this.#request;
    if (spares === undefined || !this.#mayBeSpare(mount)) return make();
    const furnished = mount.destination === '/dev' ? this.#furniture() : undefined;
    if (furnished !== undefined) this.#furnished = true;
    const key = JSON.stringify([type, source, options, coveredMode, furnished]);
    const fd = spares.take(key, () => {
      const made = make();
      if (made.kind !== 'detached') throw invalidParameter(`Mount of "${mount.destination}" cannot be made ahead`);
      return furnished === undefined ? made.fd : furnish(made.fd, furnished, ids);
    });
    return { kind: 'detached', fd, directory: true };
  }

  /** It is made of nothing but its options. */
  #mayBeSpare(mount: Mount): boolean {
    const { ids } = this.#request;
    const plain = mount.sourceFd === undefined && mount.uidMappings === undefined && mount.gidMappings === undefined;
    const bound = mount.options?.some((option) => /^r?bind$|idmap/.test(option)) ?? false;
    const ofKind = mount.type === 'tmpfs' || mount.type === 'devpts';
    return ofKind && plain && !bound && ids.uid(0) === 0 && ids.gid(0) === 0;
  }

  /** undefined: other mounts decide where its devices lie. */
  #furniture(): Furniture | undefined {
    const { mounts, devices } = this.#request;
    const onDev = mounts.map(({ destination }) => cleanPath(destination)).filter((path) => path.startsWith('/dev/'));
    if (!onDev.every((path) => ON_DEV.includes(path))) return undefined;
    const beside = (path: string) => path.startsWith('/dev/') && !onDev.some((at) => isBelow(path, at));
    if (!devices.every(({ path }) => beside(cleanPath(path)))) return undefined;
    return { devices, directories: [...new Set(onDev)].map(nameOf) };
  }

  /** Makes the devices, unless /dev came with them. */
  makeDevices(): void {
    if (!this.#furnished) makeDevices(this.table, this.#request.devices, this.#request.ids);
  }

  #namespaceOf(wanted: Pick<Mount, 'uidMappings' | 'gidMappings'>): number {
    const { maps } = this.#request;
    const uids = wanted.uidMappings ?? maps.uidMappings ?? [];
    const gids = wanted.gidMappings ?? maps.gidMappings ?? [];
    if (uids.length === 0 || gids.length === 0)
      throw invalidParameter('An id-mapped mount needs uidMappings and gidMappings, or a user namespace');
    const key = `${idMapText(uids)}/${idMapText(gids)}`;
    let namespace = this.#namespaces.get(key);
    if (namespace === undefined) {
      namespace = namespaceOfMaps(uids, gids);
      this.#namespaces.set(key, namespace);
    }
    return namespace.fd;
  }

  #mountPoint(destination: string, source: MountSource): string {
    const directory = source.kind === 'inside' || source.directory;
    const place = this.table.locate(destination, directory ? 'directory' : 'file');
    closePlace(place);
    const special = source.kind === 'inside' && source.type !== 'mqueue';
    if ((special || neverLinks.includes(destination)) && place.path !== destination)
      throw invalidParameter(`Mount destination "${destination}" must not be a symlink in the container`);
    if (place.directory !== undefined && place.directory !== directory)
      throw invalidParameter(`Cannot mount on "${destination}": ${DIRECTORY_ON_FILE}`);
    return place.path;
  }

  /** v1: a tmpfs with a directory for each hierarchy, and links for those that share one (`cpu` → `cpu,cpuacct`). */
  #coverByCgroupTree(path: string): void {
    const uid = String(this.#request.ids.uid(0));
    const gid = String(this.#request.ids.gid(0));
    const attributes = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC;
    const { cgroups, spares } = this.#request;
    const hierarchies = cgroups.map(({ mountPoint, controllers }) => ({ name: nameOf(mountPoint), controllers }));
    const make = () => {
      using tree = ownedFd(detachedTmpfs({ mode: '755', uid, gid }, attributes, 'cgroup'));
      for (const { name, controllers } of hierarchies) {
        mkdirat(tree.fd, name, 0o755);
        for (const controller of controllers) if (controller !== name) symlinkat(name, tree.fd, controller);
      }
      return tree.release();
    };
    const tree = spares === undefined ? make() : spares.take(JSON.stringify(['cgroup', uid, gid, hierarchies]), make);
    this.#owned.push(tree);
    this.table.cover(path, tree);
  }

  get spares(): SpareMounts | undefined {
    return this.#request.spares;
  }

  /** Adds the steps. Preconditions: the root is attached and everything of the host is still reachable by its path. */
  attach(inside: InsideMounts, shared: { readonly proc: boolean }): void {
    let trees = 0;
    for (const { mount, path, source } of this.#mounts) {
      const name = `mount on ${mount.destination}`;
      if (source.kind === 'detached') {
        inside.attach(name, inside.program.fd(source.fd), inside.open(path));
      } else if (source.type === 'cgroup' && this.#request.cgroupVersion === 1) {
        const tree = this.#owned[trees];
        trees += 1;
        if (tree !== undefined) this.#attachCgroupTree(inside, name, path, tree, source.options);
      } else if (source.type === 'proc' && shared.proc && mountIsPlain(source.options)) {
        inside.attach(name, inside.slots.proc, inside.open(path));
      } else {
        inside.attach(name, this.#makeInside(inside, source.type, source.options), inside.open(path));
      }
    }
  }

  #makeInside(inside: InsideMounts, type: InsideType, options: MountOptions) {
    const fileSystem = type === 'cgroup' ? 'cgroup2' : type;
    const parameters = type === 'cgroup' || type === 'cgroup2' ? [] : options.parameters;
    return inside.make(fileSystem, [['source', type], ...parameters], options.attributes.set);
  }

  #attachCgroupTree(inside: InsideMounts, name: string, path: string, tree: number, options: MountOptions): void {
    const { program } = inside;
    inside.attach(name, program.fd(tree), inside.open(path));
    for (const { mountPoint, directory } of this.#request.cgroups) {
      // Still the host's path: pivot_root comes later.
      const flags = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC;
      const opened = program.do('copy cgroup', NR.open_tree, AT.FDCWD, directory, flags);
      const target = inside.open(`${path}/${nameOf(mountPoint)}`);
      inside.attachOpened(`mount cgroup ${nameOf(mountPoint)}`, opened, target);
    }
    const { set } = options.attributes;
    if (set !== 0) inside.setAttributes('restrict cgroup', program.fd(tree), set, { recursive: true });
  }

  /** A proc mount whose descriptor may serve for sysctls and for /proc alike, with its attributes. */
  plainProcAttributes(): number | undefined {
    const proc = this.#mounts.find((m) => m.source.kind === 'inside' && m.source.type === 'proc');
    if (proc === undefined || proc.source.kind !== 'inside') return undefined;
    return mountIsPlain(proc.source.options) ? proc.source.options.attributes.set : undefined;
  }

  /** Kind of the file system that will be attached at `path` (real): only those made inside. */
  insideTypeAt(path: string): { readonly type: InsideType; readonly at: string } | undefined {
    let best: { readonly type: InsideType; readonly at: string } | undefined;
    for (const { path: at, source } of this.#mounts) {
      const covers = (path === at || path.startsWith(`${at}/`)) && at.length >= (best?.at.length ?? 0);
      if (covers) best = source.kind === 'inside' ? { type: source.type, at } : undefined;
    }
    return best;
  }

  /** The detached mount whose mount point is `path` (real). */
  detachedAt(path: string): number | undefined {
    const last = this.#mounts.findLast((m) => m.path === path);
    return last?.source.kind === 'detached' ? last.source.fd : undefined;
  }

  /** Whether the last mount at `destination` is a bind of something of the host. */
  isBind(destination: string): boolean {
    const last = this.#mounts.findLast((m) => cleanPath(m.mount.destination) === destination);
    return last !== undefined && last.source.kind === 'detached' && last.mount.type !== 'tmpfs';
  }

  [Symbol.dispose](): void {
    for (const { mount, source } of this.#mounts.splice(0)) closeSource(mount, source);
    for (const fd of this.#owned.splice(0)) close(fd);
    for (const namespace of this.#namespaces.values()) namespace[Symbol.dispose]();
    this.#namespaces.clear();
  }
}

function furnish(dev: number, { devices, directories }: Furniture, ids: IdMaps): number {
  using owned = ownedFd(dev);
  const table = new MountTable(dev, { uid: 0, gid: 0 });
  table.cover('/dev', dev);
  makeDevices(table, devices, ids);
  for (const name of directories) mkdirat(dev, name, 0o755);
  return owned.release();
}

function mountIsPlain(options: MountOptions): boolean {
  return options.parameters.length === 0 && (options.attributes.set & MOUNT_ATTR.RDONLY) === 0;
}

function nameOf(mountPoint: string): string {
  return mountPoint.slice(mountPoint.lastIndexOf('/') + 1);
}

export function closePlace(place: Place): void {
  if (place.fd !== undefined) close(place.fd);
}

/** Errors: invalid-parameter; nothing is left then. */
export function prepareMounts(request: MountsRequest): PreparedMounts {
  if (request.mounts.length > MOUNTS_MAX)
    throw invalidParameter(`A container can have at most ${MOUNTS_MAX} mounts, not ${request.mounts.length}`);
  const prepared = new PreparedMounts(request);
  try {
    for (const mount of request.mounts) prepared.add(mount);
    return prepared;
  } catch (error) {
    prepared[Symbol.dispose]();
    throw error;
  }
}
