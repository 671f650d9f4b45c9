/**
 * What a mount of a container brings: a detached mount made here, or a file system that only exists inside the new
 * namespaces (proc, sysfs, mqueue, cgroup) and is made by steps of the list.
 *
 * Everything made here is private and in no mount table; it is gone when its descriptor is closed.
 */
import { BerthError, invalidParameter, systemError } from '#errdefs/errors.ts';
import { resolvePath } from '#sys/host-files.ts';
import { isErrno } from '#sys/errno.ts';
import { close, fchownat, fstatfs, modeOf, open, type OwnedFd, ownedFd } from '#sys/files.ts';
import { bindDetached, detached, idMapMount, mountSetattr, type Propagation } from '#sys/mounts.ts';
import { MS, O, S_IF } from '#sys/numbers.ts';
import type { IdMaps } from '../id-map.ts';
import type { Mount } from '../spec.ts';
import { type AttributeChange, type MountOptions, parseMountOptions } from './options.ts';

/** File systems that belong to a namespace of the container. */
export const insideTypes = ['proc', 'sysfs', 'mqueue', 'cgroup', 'cgroup2'] as const;
export type InsideType = (typeof insideTypes)[number];

export type MountSource =
  | { readonly kind: 'detached'; readonly fd: number; readonly directory: boolean }
  | { readonly kind: 'inside'; readonly type: InsideType; readonly options: MountOptions };

export interface SourceContext {
  /** Relative sources of binds start here. */
  readonly bundle: string;
  readonly ids: IdMaps;
  /** Descriptor of a user namespace with these maps, or with the container's; the context's to close. */
  readonly namespaceOf: (mount: Pick<Mount, 'uidMappings' | 'gidMappings'>) => number;
  /** Mode of the directory that a tmpfs will cover, when there is one. */
  readonly coveredMode: number | undefined;
}

const PROC_SUPER_MAGIC = 0x9fa0;

// What may be put under /proc: the kernel's own numbers replaced by a file, as lxcfs does. Anything else there could
// redirect writes of security labels (CVE-2019-16884, CVE-2019-19921).
const allowedUnderProc = [
  '/proc/cpuinfo',
  '/proc/diskstats',
  '/proc/meminfo',
  '/proc/stat',
  '/proc/swaps',
  '/proc/uptime',
  '/proc/loadavg',
  '/proc/slabinfo',
  '/proc/net/dev',
  '/proc/sys/kernel/ns_last_pid',
  '/proc/sys/crypto/fips_enabled',
];

// Could wait for a server or a daemon for ever, in the one thread that serves everybody.
const mayHang = /^(nfs|nfs4|cifs|smb3|9p|ceph|fuse|fuseblk)(\.|$)/;

export function isInsideType(type: string): type is InsideType {
  // The cast only widens the tuple for `includes`.
  return (insideTypes as readonly string[]).includes(type);
}

function propagationOf(options: MountOptions): Propagation {
  if (options.propagation === MS.SHARED) return 'shared';
  if (options.propagation === MS.SLAVE) return 'slave';
  return options.propagation === MS.UNBINDABLE ? 'unbindable' : 'private';
}

/**
 * Makes what `mount` names. The descriptor of a detached source is the caller's to close, except that of
 * `mount.sourceFd`, which stays its owner's.
 * Errors: invalid-parameter; "bind source path does not exist: X".
 */
export function makeSource(mount: Mount, context: SourceContext): MountSource {
  const options = parseMountOptions(mount.options ?? [], mount.destination);
  const mapped = options.idmap !== 'none' || mount.uidMappings !== undefined || mount.gidMappings !== undefined;
  const bind = options.bind || mount.type === 'bind' || mount.type === 'rbind' || mount.sourceFd !== undefined;
  if (bind) {
    const recursive = options.recursive || mount.type === 'rbind';
    return makeBind(mount, { ...options, recursive }, context, mapped);
  }
  if (mapped) throw invalidParameter(`Only bind mounts can be id-mapped, not "${mount.destination}"`);
  const type = mount.type ?? '';
  if (type === '' || type === 'none') throw invalidParameter(`Mount of "${mount.destination}" has no type`);
  if (mount.destination.startsWith('/proc/'))
    throw invalidParameter(`"${mount.destination}" cannot be mounted because it is inside /proc`);
  if (isInsideType(type)) return { kind: 'inside', type, options };
  if (mount.destination === '/proc')
    throw invalidParameter(`"/proc" cannot be mounted as ${type}: only procfs goes there`);
  if (mayHang.test(type)) throw invalidParameter(`File systems of type "${type}" cannot be mounted by the container`);
  return { kind: 'detached', fd: makeFileSystem(type, mount, options, context), directory: true };
}

function makeFileSystem(type: string, mount: Mount, options: MountOptions, context: SourceContext): number {
  const parameters: Record<string, string | undefined> = { source: mount.source ?? type };
  if (type === 'tmpfs') {
    if (context.coveredMode !== undefined) parameters['mode'] = (context.coveredMode & 0o7777).toString(8);
    parameters['uid'] = '0';
    parameters['gid'] = '0';
  }
  if (type === 'devpts') parameters['uid'] = '0';
  for (const [key, value] of options.parameters) parameters[key] = value;
  // Ids in options are the container's; the file system is made on the host.
  for (const [key, translate] of [
    ['uid', context.ids.uid],
    ['gid', context.ids.gid],
  ] as const) {
    const value = parameters[key];
    if (value !== undefined) parameters[key] = String(translate(Number(value)));
  }
  // devpts only knows uid= as an owner for every terminal: left out it is whoever opens one.
  if (type === 'devpts' && parameters['uid'] === '0') delete parameters['uid'];
  try {
    using made = ownedFd(detached(type, parameters, options.attributes.set));
    if (options.propagation !== undefined)
      mountSetattr(made.fd, { propagation: propagationOf(options), recursive: options.propagationRecursive });
    if (type === 'devpts') ownTerminals(made.fd, context.ids);
    return made.release();
  } catch (error) {
    throw systemError(`Cannot make ${type} for "${mount.destination}"`, { cause: error });
  }
}

/** Its directory and multiplexer belong to whoever mounts devpts. */
function ownTerminals(devpts: number, ids: IdMaps): void {
  const uid = ids.uid(0);
  if (uid !== 0) for (const name of ['.', 'ptmx']) fchownat(devpts, name, uid, ids.gid(0));
}

function makeBind(mount: Mount, options: MountOptions, context: SourceContext, mapped: boolean): MountSource {
  if (mount.sourceFd !== undefined) {
    if (mapped) mapIds(mount.sourceFd, mount, options, context);
    setAttributes(mount.sourceFd, options);
    return { kind: 'detached', fd: mount.sourceFd, directory: isDirectory(mount.sourceFd) };
  }
  if (mount.source === undefined || mount.source === '')
    throw invalidParameter(`Bind mount on "${mount.destination}" has no source`);
  using source = openSource(resolvePath(context.bundle, mount.source));
  checkUnderProc(mount, source.fd);
  try {
    using copy = ownedFd(
      bindDetached(source.fd, { recursive: options.recursive, propagation: propagationOf(options) }),
    );
    if (mapped) mapIds(copy.fd, mount, options, context);
    setAttributes(copy.fd, options);
    return { kind: 'detached', directory: isDirectory(source.fd), fd: copy.release() };
  } catch (error) {
    if (error instanceof BerthError) throw error;
    throw systemError(`Cannot bind "${mount.source}" for "${mount.destination}"`, { cause: error });
  }
}

function mapIds(fd: number, mount: Mount, options: MountOptions, context: SourceContext): void {
  try {
    idMapMount(fd, context.namespaceOf(mount), options.idmap === 'recursive');
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'EOPNOTSUPP', 'EPERM')) throw error;
    throw invalidParameter(
      `Cannot map the ids of "${mount.source ?? ''}" for "${mount.destination}": its file system or this kernel has no id-mapped mounts`,
      { cause: error },
    );
  }
}

function openSource(source: string): OwnedFd {
  try {
    return ownedFd(open(source, O.PATH));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR'))
      throw invalidParameter(`bind source path does not exist: ${source}`, { cause: error });
    throw systemError(`Cannot open bind source "${source}"`, { cause: error });
  }
}

function checkUnderProc(mount: Mount, source: number): void {
  const { destination } = mount;
  if (destination !== '/proc' && !destination.startsWith('/proc/')) return;
  if (allowedUnderProc.includes(destination)) return;
  if (fstatfs(source).type !== PROC_SUPER_MAGIC)
    throw invalidParameter(`"${destination}" cannot be mounted because it is inside /proc`);
}

function setAttributes(fd: number, options: MountOptions): void {
  const changes: readonly (readonly [AttributeChange, boolean])[] = [
    [options.attributes, false],
    [options.recursiveAttributes, true],
  ];
  for (const [{ set, clear }, recursive] of changes)
    if (set !== 0 || clear !== 0) mountSetattr(fd, { set, clear, recursive });
}

export function isDirectory(fd: number): boolean {
  return (modeOf(fd) & S_IF.MT) === S_IF.DIR;
}

/** Closes a source that makeSource returned for `mount`. */
export function closeSource(mount: Mount, source: MountSource): void {
  if (source.kind === 'detached' && source.fd !== mount.sourceFd) close(source.fd);
}
