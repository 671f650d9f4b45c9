/**
 * Volumes of the local driver: directories `<root>/NAME/_data`, on which a file system is mounted while containers use
 * the volume, when it has options that say so.
 *
 * Invariants: contents are only deleted by `discard`, never through a mount; directories whose name starts with '.' are
 * the store's own (on the way in or out) and hold nothing that anybody was promised.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { conflict, deadlineExceeded, systemError } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { isErrno, type SysError } from '#sys/errno.ts';
import { close, getdents, open, ownedFd, renameat2 } from '#sys/files.ts';
import { mountAt, mountPointsBelow, mountWithin, remountBind, unmount } from '#sys/mount-table.ts';
import { MS, O } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';
import { withAddress } from './network-address.ts';
import { answersAtOnce, describeMount, type DriverOptions, type LocalMount, localMountOf } from './local-options.ts';

/** Copies a directory's contents with all that belongs to them, following no link. */
export type CopyTree = (
  from: string,
  to: string,
  options: { readonly signal?: AbortSignal | undefined },
) => Promise<void>;

const COPY = '_copy';
const DATA = '_data';
const MOUNT_LIMIT_MS = 30_000;

export class LocalVolumes {
  readonly #root: string;
  readonly #lostAndFound: string;
  readonly #copy: CopyTree;

  constructor(options: { readonly root: string; readonly lostAndFound: string; readonly copy: CopyTree }) {
    this.#root = options.root;
    this.#lostAndFound = options.lostAndFound;
    this.#copy = options.copy;
    fs.mkdirSync(this.#root, { recursive: true, mode: 0o700 });
  }

  mountpoint(name: string): string {
    return path.join(this.#root, name, DATA);
  }

  makeDirectory(name: string): void {
    const directory = path.join(this.#root, name);
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    fs.mkdirSync(path.join(directory, DATA), { recursive: true, mode: 0o755 });
  }

  /** For a directory of the store's own. */
  hiddenName(): string {
    return `.new-${randomBytes(8).toString('hex')}`;
  }

  exists(name: string): boolean {
    return fs.existsSync(path.join(this.#root, name));
  }

  move(from: string, to: string): void {
    fs.renameSync(path.join(this.#root, from), path.join(this.#root, to));
  }

  /** Mounts what the options say, unless it is. Errors: system, in dockerd's words. */
  async mount(name: string, options: DriverOptions): Promise<void> {
    const wanted = localMountOf(options);
    if (wanted === undefined) return;
    const target = this.mountpoint(name);
    if (this.#isMounted(target)) return;
    try {
      await mountLocal(await withAddress(wanted), target);
    } catch (cause) {
      const why = isErrno(cause) ? `${describeMount(wanted, target)}: ${explain(cause)}` : String(cause);
      const message = `error while mounting volume '${target}': failed to mount local volume: ${why}`;
      throw isErrno(cause, 'ETIMEDOUT') ? deadlineExceeded(message, { cause }) : systemError(message, { cause });
    }
  }

  unmount(name: string, options: DriverOptions): void {
    if (localMountOf(options) !== undefined) unmount(this.mountpoint(name));
  }

  #isMounted(target: string): boolean {
    return mountPointsBelow(path.dirname(target)).includes(target);
  }

  /**
   * Fills an empty volume with what the image has at `destination`. The copy is made beside it and moved in, so that a
   * crash leaves it empty; into a mounted one it is made directly. Whatever the image has there that is no directory is
   * not copied. A copy that fails leaves the volume empty.
   */
  async copyUp(
    name: string,
    from: { readonly rootfs: number; readonly destination: string },
    options: { readonly mountpoint: string; readonly direct: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<void> {
    const found = tryOpenInRoot(from.rootfs, from.destination, O.RDONLY | O.DIRECTORY);
    if (found === undefined) return;
    using source = ownedFd(found);
    using target = ownedFd(open(options.mountpoint, O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
    if (getdents(target.fd).length > 0) return;
    // The descriptor is the path: the mount it leads into has no other. The dot, because the last name may be no link.
    const image = `/proc/self/fd/${source.fd}/.`;
    if (options.direct) {
      await this.#copyOrNothing(image, options.mountpoint, options.signal, () => emptyDirectory(options.mountpoint));
      return;
    }
    const beside = path.join(this.#root, name, COPY);
    fs.rmSync(beside, { recursive: true, force: true });
    fs.mkdirSync(beside, { mode: 0o700 });
    await this.#copyOrNothing(image, beside, options.signal, () => fs.promises.rm(beside, { recursive: true }));
    // The directory that lives in the volume takes the place of the empty one: one rename, all or nothing.
    fs.rmdirSync(options.mountpoint);
    const parent = open(path.join(this.#root, name), O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    try {
      renameat2(parent, COPY, parent, DATA);
    } finally {
      close(parent);
    }
  }

  async #copyOrNothing(
    from: string,
    to: string,
    signal: AbortSignal | undefined,
    undo: () => Promise<void>,
  ): Promise<void> {
    try {
      await this.#copy(from, to, { signal });
    } catch (error) {
      await undo().catch((err: unknown) => log.error('half a copy into a volume is left', { directory: to, err }));
      throw error;
    }
  }

  /** Errors: conflict when something of somebody else is mounted in it: deleting would reach what lies there. */
  checkRemovable(name: string, options: DriverOptions): void {
    this.unmount(name, options);
    const [mounted] = mountPointsBelow(path.join(this.#root, name));
    if (mounted !== undefined) throw conflict(`remove ${name}: "${mounted}" is a mount point: unmount it first`);
  }

  /** Takes the directory out of sight at once; the promise is its deletion. */
  discard(name: string): Promise<void> {
    const out = path.join(this.#root, `.removing-${randomBytes(8).toString('hex')}`);
    try {
      fs.renameSync(path.join(this.#root, name), out);
    } catch {
      return Promise.resolve();
    }
    try {
      // The usual case: an anonymous volume that nothing was written into.
      fs.rmdirSync(path.join(out, DATA));
      fs.rmdirSync(out);
      return Promise.resolve();
    } catch {
      return fs.promises.rm(out, { recursive: true, force: true });
    }
  }

  /** At start-up: the directories of these volumes exist, others are moved away, and nothing of the store is left. */
  restore(recorded: ReadonlySet<string>): void {
    for (const name of recorded) {
      fs.rmSync(path.join(this.#root, name, COPY), { recursive: true, force: true });
      this.makeDirectory(name);
    }
    for (const name of fs.readdirSync(this.#root)) {
      if (recorded.has(name)) continue;
      if (name.startsWith('.')) this.#sweep(name);
      else this.#setAside(name);
    }
  }

  #sweep(name: string): void {
    fs.promises.rm(path.join(this.#root, name), { recursive: true, force: true }).catch((err: unknown) => {
      log.error('what is left of a volume cannot be deleted', { directory: name, err });
    });
  }

  #setAside(name: string): void {
    fs.mkdirSync(this.#lostAndFound, { recursive: true, mode: 0o700 });
    const to = path.join(this.#lostAndFound, `volume-${name}-${randomBytes(4).toString('hex')}`);
    fs.renameSync(path.join(this.#root, name), to);
    log.warn('volume without a record set aside', { volume: name, to });
  }

  /** Volumes on whose directory something is mounted. */
  mounted(): string[] {
    const places = mountPointsBelow(this.#root).map((place) => path.relative(this.#root, place).split('/'));
    return places.filter(([, data, more]) => data === DATA && more === undefined).flatMap(([name]) => name ?? []);
  }
}

async function mountLocal(wanted: LocalMount, target: string): Promise<void> {
  const { source, type, data: options } = wanted;
  const request = { source, target, type, options, flags: wanted.flags };
  if (!answersAtOnce(wanted)) {
    await mountWithin(request, MOUNT_LIMIT_MS);
    return;
  }
  mountAt(request);
  const more = wanted.flags & ~(MS.BIND | MS.REC);
  if ((wanted.flags & MS.BIND) === 0 || more === 0) return;
  try {
    remountBind(target, more);
  } catch (error) {
    unmount(target);
    throw error;
  }
}

const words: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENODEV: 'no such device',
  ENOTDIR: 'not a directory',
  EINVAL: 'invalid argument',
  EPERM: 'operation not permitted',
  EACCES: 'permission denied',
  EBUSY: 'device or resource busy',
  ENOTBLK: 'block device required',
  ETIMEDOUT: 'connection timed out',
  ECONNREFUSED: 'connection refused',
  EPROTONOSUPPORT: 'protocol not supported',
};

function explain(error: SysError): string {
  return words[error.code] ?? error.code;
}

async function emptyDirectory(directory: string): Promise<void> {
  for (const name of await fs.promises.readdir(directory)) {
    await fs.promises.rm(path.join(directory, name), { recursive: true, force: true });
  }
}
