/**
 * Mounts as descriptors. A detached mount is in no mount table and is gone with its last descriptor. Each gets private
 * propagation when it is made: under systemd everything is shared, a clone stays shared, and pivot_root refuses that.
 */
import { ok } from '#errdefs/assert.ts';
import { check, must, call } from './call.ts';
import { isErrno, SysError } from './errno.ts';
import { close, openat, ownedFd, type Path } from './files.ts';
import { type OverlayRequest, overlayByMount } from './old-overlay.ts';
import { AT, FSCONFIG, FSMOUNT, FSOPEN, IOCTL, MOUNT_ATTR, MS, NR, O, OPEN_TREE } from './numbers.ts';

/** fsconfig strings end at 255 bytes (and so does the kernel's copy of them). */
export const FSCONFIG_BYTES_MAX = 255;

/** File system context; close it. */
export function fsopen(type: string): number {
  return must('fsopen', NR.fsopen, type, FSOPEN.CLOEXEC);
}

/** Sets one option: a value, a descriptor, or (undefined) a flag. */
export function fsconfig(context: number, key: string, value?: string | number): void {
  if (value === undefined) must('fsconfig', NR.fsconfig, context, FSCONFIG.SET_FLAG, key, 0, 0);
  else if (typeof value === 'number') must('fsconfig', NR.fsconfig, context, FSCONFIG.SET_FD, key, 0, value);
  else must('fsconfig', NR.fsconfig, context, FSCONFIG.SET_STRING, key, value, 0);
}

/** The kernel's own words about why a context failed: '' when it says nothing. */
export function contextMessages(context: number): string {
  const lines: string[] = [];
  const buffer = new Uint8Array(1024);
  for (;;) {
    const length = call(NR.read, context, buffer, buffer.length);
    if (length <= 0) return lines.join('; ');
    // Each message is 'e ', 'w ' or 'i ' and its text.
    lines.push(Buffer.from(buffer.subarray(2, length)).toString().trim());
  }
}

/** CMD_CREATE and fsmount: a detached, private mount. The context stays open. */
export function fsmount(context: number, attributes = 0): number {
  const created = call(NR.fsconfig, context, FSCONFIG.CMD_CREATE, 0, 0, 0);
  if (created < 0) {
    const error = new SysError('fsconfig(CREATE)', -created, [context]);
    const messages = contextMessages(context);
    if (messages !== '') error.message += ` (${messages})`;
    throw error;
  }
  return madePrivate(must('fsmount', NR.fsmount, context, FSMOUNT.CLOEXEC, attributes));
}

function madePrivate(mount: number): number {
  try {
    mountSetattr(mount, { propagation: 'private', recursive: true });
    return mount;
  } catch (error) {
    close(mount);
    throw error;
  }
}

/** `flags` OPEN_TREE.CLONE makes a detached copy, with AT.RECURSIVE of all below. */
export function openTree(dirfd: number, path: Path, flags: number): number {
  return must('open_tree', NR.open_tree, dirfd, path, flags | OPEN_TREE.CLOEXEC);
}

export type Propagation = 'private' | 'shared' | 'slave' | 'unbindable';
const propagations: Readonly<Record<Propagation, number>> = {
  private: MS.PRIVATE,
  shared: MS.SHARED,
  slave: MS.SLAVE,
  unbindable: MS.UNBINDABLE,
};

export interface MountAttributes {
  /** Bits of MOUNT_ATTR. An access-time mode in `set` needs MOUNT_ATTR.ATIME in `clear`. */
  readonly set?: number;
  readonly clear?: number;
  readonly propagation?: Propagation;
  /** User namespace whose maps the mount gets. */
  readonly usernsFd?: number;
  readonly recursive?: boolean;
}

const attributeBytes = new Uint8Array(32);
const attributeView = new DataView(attributeBytes.buffer);

export function mountSetattr(fd: number, attributes: MountAttributes): void {
  const { set = 0, clear = 0, propagation, usernsFd, recursive = false } = attributes;
  const idmap = usernsFd === undefined ? 0 : MOUNT_ATTR.IDMAP;
  attributeView.setUint32(0, set | idmap, true);
  attributeView.setUint32(8, clear, true);
  attributeView.setUint32(16, propagation === undefined ? 0 : propagations[propagation], true);
  attributeView.setUint32(24, usernsFd ?? 0, true);
  const bytes = attributeBytes;
  const flags = AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
  must('mount_setattr', NR.mount_setattr, fd, '', flags, bytes, bytes.length);
}

export interface BindOptions {
  readonly recursive?: boolean;
  readonly readOnly?: boolean;
  /** Default private. */
  readonly propagation?: Propagation;
}

/** A detached copy of the tree at `source` (path or descriptor). */
export function bindDetached(source: string | number, options: BindOptions = {}): number {
  const { recursive = false, readOnly = false, propagation = 'private' } = options;
  const flags = OPEN_TREE.CLONE | (recursive ? AT.RECURSIVE : 0);
  const fd =
    typeof source === 'number' ? openTree(source, '', flags | AT.EMPTY_PATH) : openTree(AT.FDCWD, source, flags);
  try {
    mountSetattr(fd, { propagation, recursive });
    if (readOnly) mountSetattr(fd, { set: MOUNT_ATTR.RDONLY, recursive: false });
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** `options` are key=value pairs or flags, e.g. { mode: '1777', size: '65536k' }. */
export function detachedTmpfs(
  options: Readonly<Record<string, string | undefined>> = {},
  attributes = 0,
  source = 'tmpfs',
): number {
  return detached('tmpfs', { source, ...options }, attributes);
}

/** A file system of its own kind by its options; an option whose value is undefined is a flag. */
export function detached(type: string, options: Readonly<Record<string, string | undefined>>, attributes = 0): number {
  using context = ownedFd(fsopen(type));
  for (const [key, value] of Object.entries(options)) fsconfig(context.fd, key, value);
  return fsmount(context.fd, attributes);
}

let lowerOneByOne: boolean | undefined;

/**
 * An overlay as a detached mount; the descriptor of its root. Since Linux 6.8 lower directories are given one by one, so
 * neither their number nor their paths are bounded by a page; older kernels accept the option and fail at CREATE with
 * EINVAL, and then mount(2) does it (old-overlay.ts).
 */
export function detachedOverlay(request: OverlayRequest): number {
  if (request.within !== undefined) return overlayWithin(request, request.within);
  if (lowerOneByOne !== false) {
    try {
      const fd = make(request, (context) => {
        for (const directory of request.lower) fsconfig(context, 'lowerdir+', fitting(directory));
      });
      lowerOneByOne = true;
      return fd;
    } catch (error) {
      if (lowerOneByOne === true || !isErrno(error, 'EINVAL')) throw error;
    }
  }
  const fd = overlayByMount(request);
  lowerOneByOne = false;
  return madePrivate(fd);
}

/** Directories of a detached mount by its descriptor: since 6.15 as they are, before by a child that attaches it. */
function overlayWithin(request: OverlayRequest, within: number): number {
  const inside = (path: string): string => `/proc/self/fd/${within}/${path}`;
  const { upper, work } = request;
  const direct: OverlayRequest = {
    ...request,
    ...(upper === undefined ? {} : { upper: inside(upper) }),
    ...(work === undefined ? {} : { work: inside(work) }),
  };
  try {
    return make(direct, (context) => {
      for (const directory of request.lower) fsconfig(context, 'lowerdir+', fitting(inside(directory)));
    });
  } catch (error) {
    if (!isErrno(error, 'EINVAL')) throw error;
  }
  return madePrivate(overlayByMount(request));
}

/**
 * Gives a detached mount the maps of a user namespace: an id of the file system is what the maps say it is outside.
 * Errors: SysError; EINVAL and EOPNOTSUPP when the kernel or the file system cannot do it.
 */
export function idMapMount(fd: number, usernsFd: number, recursive = false): void {
  mountSetattr(fd, { usernsFd, recursive });
}

function fitting(path: string): string {
  assertFits(path);
  return path;
}

function make(request: OverlayRequest, lower: (context: number) => void): number {
  using context = ownedFd(fsopen('overlay'));
  fsconfig(context.fd, 'source', 'overlay');
  lower(context.fd);
  if (request.upper !== undefined) fsconfig(context.fd, 'upperdir', fitting(request.upper));
  if (request.work !== undefined) fsconfig(context.fd, 'workdir', fitting(request.work));
  for (const [key, value] of Object.entries(request.options ?? {})) fsconfig(context.fd, key, value);
  return fsmount(context.fd, request.attributes ?? 0);
}

/** A new instance of devpts. `gid` of the terminals, usually 5. */
export function detachedDevpts(
  options: Readonly<Record<string, string | undefined>> = { ptmxmode: '0666', mode: '0620', gid: '5' },
): number {
  return detached('devpts', { source: 'devpts', ...options }, MOUNT_ATTR.NOSUID | MOUNT_ATTR.NOEXEC);
}

export interface Pty {
  readonly master: number;
  readonly slave: number;
}

/** A new terminal of a devpts mount, which may be mounted nowhere. */
export function openPty(devpts: number): Pty {
  const flags = O.RDWR | O.NOCTTY;
  const master = openat(devpts, 'ptmx', flags);
  try {
    must('ioctl', NR.ioctl, master, IOCTL.TIOCSPTLCK, new Uint8Array(4));
    return { master, slave: check(NR.ioctl, call(NR.ioctl, master, IOCTL.TIOCGPTPEER, flags | O.CLOEXEC)) };
  } catch (error) {
    close(master);
    throw error;
  }
}

/** Whether `error` says that the kernel has no such file system or call. */
export function isUnsupported(error: unknown): boolean {
  return isErrno(error, 'ENODEV', 'ENOSYS', 'EOPNOTSUPP');
}

/** Asserts that a path fits into one fsconfig string. */
export function assertFits(value: string): void {
  ok(Buffer.byteLength(value) <= FSCONFIG_BYTES_MAX, `"${value}" is longer than ${FSCONFIG_BYTES_MAX} bytes`);
}
