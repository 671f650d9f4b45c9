/**
 * Unpacks a tar archive below a directory descriptor. The archive is hostile input and the tree may be somebody else's:
 * every name is reached from a descriptor of its directory (directories.ts), files are made by O_EXCL|O_NOFOLLOW, what is
 * in the way is removed first, nothing outside the tree is named or followed.
 *
 * Whiteouts: 'overlay' writes them as the kernel's overlay reads them (character device 0:0, trusted.overlay.opaque),
 * 'apply' deletes what they hide from a tree that holds the lower layer's files, 'none' takes the names as they are.
 * Preconditions: the thread's umask is 0 (see isolateUmask); otherwise modes come out narrower.
 */
import { type BerthError, dataLoss, invalidParameter, systemError } from '#errdefs/errors.ts';
import { Arena } from '#sys/arena.ts';
import { call, transfer } from '#sys/call.ts';
import { errnoName, errnoNumber, SysError } from '#sys/errno.ts';
import { fstat, makedev } from '#sys/files.ts';
import { AT, CLONE, NR, O, S_IF } from '#sys/numbers.ts';
import { Directories, kernelName, pathVia } from './directories.ts';
import { bytesOf, type ByteString, type TarEntry, textOf } from './entry.ts';
import { reasonOfErrno } from './explain.ts';
import { type IdShift, outsideId } from './id-shift.ts';
import { cleanPath, META_PREFIX, OPAQUE_MARKER, splitLast, WHITEOUT_PREFIX, whiteoutTarget } from './names.ts';
import type { TarSink } from './parser.ts';
import { emptyDirectory, removeTree } from './remove-tree.ts';

export type WhiteoutMode = 'overlay' | 'apply' | 'none';

export interface UnpackOptions {
  /** The tree's root directory; it stays the caller's. */
  readonly root: number;
  readonly whiteouts: WhiteoutMode;
  /** See DirectoriesOptions. */
  readonly scope?: { readonly root: number; readonly path: ByteString } | undefined;
  /**
   * Into a tree that is there already and somebody else's: the root keeps its own owner, mode and times. `refuse`: a
   * directory is not replaced by something else, nor something else by a directory.
   */
  readonly into?: 'replace' | 'refuse' | undefined;
  /** Whose everything becomes, in ids of the disk; 'unchanged': of whoever unpacks. Default: as the archive says. */
  readonly owner?: { readonly uid: number; readonly gid: number } | 'unchanged' | undefined;
  readonly ids?: IdShift | undefined;
}

export interface UnpackCounts {
  entries: number;
  /** Bytes of regular files. */
  bytes: number;
}

const EEXIST = -errnoNumber('EEXIST');
const EISDIR = -errnoNumber('EISDIR');
const ENOENT = -errnoNumber('ENOENT');
const FILE_FLAGS = O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC;
/** Attributes that steer overlay itself: a layer must not bring its own. */
const OVERLAY_XATTR = /^(?:trusted|user)\.overlay\./;
const ENOTSUP = -errnoNumber('ENOTSUP');
const EPERM = -errnoNumber('EPERM');

/** Gives this thread a umask of its own, 0; for Workers: the process's other threads keep theirs. */
export function isolateUmask(): void {
  check('unshare', call(NR.unshare, CLONE.FS));
  call(NR.umask, 0);
}

export class Unpacker implements TarSink, Disposable {
  readonly counts: UnpackCounts = { entries: 0, bytes: 0 };
  readonly #root: number;
  readonly #whiteouts: WhiteoutMode;
  readonly #options: UnpackOptions;
  readonly #directories: Directories;
  /** Two timespecs. */
  readonly #arena = new Arena(4096);
  readonly #times: number;
  readonly #uid = process.geteuid?.() ?? 0;
  readonly #gid = process.getegid?.() ?? 0;
  /** Directories get their times when nothing is written into them any more. */
  readonly #directoryTimes = new Map<ByteString, TarEntry>();
  /** Paths that this layer has brought, kept only where whiteouts must not touch them. */
  readonly #own = new Set<ByteString>();
  readonly #hidden = new Set<ByteString>();
  /** A directory with the setgid bit hands its group on, so ownership cannot be taken for granted. */
  #chownAll: boolean;
  /** The directory whose newest file was seen to be this process's own, of its own accord; see #isOurs. */
  #oursIn: ByteString | undefined;

  #file = -1;
  /** Its directory. */
  #fileIn: ByteString = '';
  #fileEntry: TarEntry | undefined;
  #filePosition = 0;

  constructor(options: UnpackOptions) {
    this.#root = options.root;
    this.#options = options;
    this.#whiteouts = options.whiteouts;
    this.#chownAll = options.whiteouts !== 'overlay';
    this.#times = this.#arena.alloc(32);
    this.#directories = new Directories(options.root, {
      mode: 0o755,
      made: (path) => this.#madeParent(path),
      scope: options.scope,
    });
  }

  entry(given: TarEntry): void {
    this.counts.entries += 1;
    const entry = this.#withOwner(given);
    const path = cleanPath(entry.path);
    if (path === undefined) throw this.#escapes(entry.path);
    if (path === '') {
      if (entry.type !== 'directory') throw dataLoss(`invalid tar: "${textOf(entry.path)}" names no file`);
      if (this.#options.into === undefined) this.#setDirectory(path, entry);
      return;
    }
    const [directory, name] = splitLast(path);
    if (this.#whiteouts !== 'none' && name.startsWith(WHITEOUT_PREFIX)) {
      this.#whiteout(directory, name, entry);
      return;
    }
    switch (entry.type) {
      case 'file':
        this.#createFile(path, directory, name, entry);
        break;
      case 'directory':
        this.#createDirectory(path, directory, name, entry);
        break;
      case 'hardlink':
        this.#createHardLink(path, directory, name, entry);
        break;
      case 'symlink':
      case 'character':
      case 'block':
      case 'fifo':
        this.#createSpecial(path, directory, name, entry);
        break;
      default:
        entry.type satisfies never;
    }
    this.#brought(path);
  }

  data(chunk: Buffer, start: number, end: number, position: number): void {
    const entry = this.#fileEntry;
    // A whiteout may have contents; nobody wants them.
    if (entry === undefined) return;
    let at = start;
    while (at < end) {
      const piece = chunk.subarray(at, end);
      const where = position + at - start;
      const written =
        where === this.#filePosition
          ? transfer(NR.write, this.#file, piece)
          : transfer(NR.pwrite64, this.#file, piece, piece.length, where);
      if (written < 0) throw failed('write', entry.path, written);
      if (where === this.#filePosition) this.#filePosition += written;
      at += written;
    }
    this.counts.bytes += end - start;
  }

  end(): void {
    const entry = this.#fileEntry;
    if (entry === undefined) return;
    if (entry.sparse !== undefined) this.#must('ftruncate', entry, call(NR.ftruncate, this.#file, entry.size));
    if (this.#isToChown(entry) && !this.#isOurs(entry)) {
      this.#must('chown', entry, call(NR.fchown, this.#file, entry.uid, entry.gid));
    }
    // chown and write take setuid and setgid away.
    if ((entry.mode & 0o6000) !== 0) this.#must('chmod', entry, call(NR.fchmod, this.#file, entry.mode));
    for (const [key, value] of entry.xattrs ?? []) {
      if (OVERLAY_XATTR.test(key)) continue;
      this.#xattr(entry, call(NR.fsetxattr, this.#file, kernelName(key), value, value.length, 0));
    }
    this.#setTimes(entry);
    this.#must('utimensat', entry, call(NR.utimensat, this.#file, 0, this.#arena.base + this.#times, 0));
    call(NR.close, this.#file);
    this.#file = -1;
    this.#fileEntry = undefined;
  }

  /** All entries are there: the directories' times. */
  finish(): void {
    for (const [path, entry] of this.#directoryTimes) {
      this.#setTimes(entry);
      const at = this.#arena.base + this.#times;
      const name = path === '' ? '.' : splitLast(path)[1];
      const parent = path === '' ? this.#root : this.#directories.fd(splitLast(path)[0]);
      const done = call(NR.utimensat, parent, kernelName(name), at, AT.SYMLINK_NOFOLLOW);
      if (done !== ENOENT) this.#must('utimensat', entry, done);
    }
    this.#directoryTimes.clear();
  }

  [Symbol.dispose](): void {
    if (this.#file >= 0) call(NR.close, this.#file);
    this.#file = -1;
    this.#directories[Symbol.dispose]();
    this.#arena[Symbol.dispose]();
  }

  #createFile(path: ByteString, directory: ByteString, name: ByteString, entry: TarEntry): void {
    const bytes = kernelName(name);
    const create = (): number =>
      call(NR.openat, this.#directories.fd(directory), bytes, FILE_FLAGS, entry.mode & 0o7777);
    let fd = create();
    if (fd === EEXIST) {
      this.#makeRoom(path, directory, bytes);
      fd = create();
    }
    if (fd < 0) throw failed('open', path, fd);
    this.#file = fd;
    this.#fileIn = directory;
    this.#fileEntry = entry;
    this.#filePosition = 0;
  }

  #createDirectory(path: ByteString, directory: ByteString, name: ByteString, entry: TarEntry): void {
    const bytes = kernelName(name);
    const parent = this.#directories.fd(directory);
    let made = call(NR.mkdirat, parent, bytes, entry.mode & 0o7777);
    if (made === EEXIST && !this.#isDirectory(parent, bytes)) {
      if (this.#options.into === 'refuse') throw this.#cannotOverwrite('non-directory', path, 'directory');
      this.#remove(path, directory, bytes);
      made = call(NR.mkdirat, this.#directories.fd(directory), bytes, entry.mode & 0o7777);
    }
    if (made < 0 && made !== EEXIST) throw failed('mkdir', path, made);
    if (this.#hidden.has(path)) this.#setOpaque(path);
    this.#setDirectory(path, entry, made === 0);
  }

  /** Owner, mode and attributes of a directory; a fresh one has its mode. */
  #setDirectory(path: ByteString, entry: TarEntry, fresh = false): void {
    const [directory, last] = splitLast(path);
    const name = path === '' ? '.' : last;
    const parent = path === '' ? this.#root : this.#directories.fd(directory);
    const bytes = kernelName(name);
    if ((entry.mode & 0o2000) !== 0) this.#chownAll = true;
    this.#oursIn = undefined;
    if (!fresh || this.#isToChown(entry)) {
      if (this.#options.owner !== 'unchanged') {
        const done = call(NR.fchownat, parent, bytes, entry.uid, entry.gid, AT.SYMLINK_NOFOLLOW);
        this.#must('chown', entry, done);
      }
      // By a descriptor that cannot be a link: chmod knows no flag against following one.
      const fd = call(NR.openat, parent, bytes, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
      this.#must('open', entry, fd);
      const changed = call(NR.fchmod, fd, entry.mode & 0o7777);
      call(NR.close, fd);
      this.#must('chmod', entry, changed);
    }
    this.#setXattrs(parent, name, entry);
    this.#directoryTimes.delete(path);
    this.#directoryTimes.set(path, entry);
  }

  #createHardLink(path: ByteString, directory: ByteString, name: ByteString, entry: TarEntry): void {
    const target = cleanPath(entry.linkPath.startsWith('/') ? entry.linkPath : `./${entry.linkPath}`);
    if (target === undefined || target === '') {
      throw dataLoss(`invalid hardlink "${textOf(entry.path)}" -> "${textOf(entry.linkPath)}"`);
    }
    if (target === path) return;
    const [targetDirectory, targetName] = splitLast(target);
    const bytes = kernelName(name);
    const link = (): number => {
      // The second look-up may close what the first one found: a duplicate keeps it.
      const from = call(NR.openat, this.#directories.fd(targetDirectory), kernelName('.'), O.PATH | O.CLOEXEC, 0);
      if (from < 0) return from;
      const to = this.#directories.fd(directory);
      const done = call(NR.linkat, from, kernelName(targetName), to, bytes, 0);
      call(NR.close, from);
      return done;
    };
    let done = link();
    if (done === EEXIST) {
      this.#makeRoom(path, directory, bytes);
      done = link();
    }
    if (done < 0) throw failed('link', path, done);
  }

  #createSpecial(path: ByteString, directory: ByteString, name: ByteString, entry: TarEntry): void {
    const bytes = kernelName(name);
    const mode = entry.mode & 0o7777;
    const make = (parent: number): number => {
      if (entry.type === 'symlink') return call(NR.symlinkat, kernelName(entry.linkPath), parent, bytes);
      const kind = entry.type === 'fifo' ? S_IF.IFO : entry.type === 'block' ? S_IF.BLK : S_IF.CHR;
      const device = entry.type === 'fifo' ? 0 : makedev(entry.deviceMajor, entry.deviceMinor);
      return call(NR.mknodat, parent, bytes, kind | mode, device);
    };
    if (entry.linkPath.includes('\0') || (entry.type === 'symlink' && entry.linkPath === '')) {
      throw dataLoss(`invalid symlink "${textOf(entry.path)}"`);
    }
    let done = make(this.#directories.fd(directory));
    if (done === EEXIST) {
      this.#makeRoom(path, directory, bytes);
      done = make(this.#directories.fd(directory));
    }
    if (done < 0) throw failed(entry.type === 'symlink' ? 'symlink' : 'mknod', path, done);
    const parent = this.#directories.fd(directory);
    if (this.#isToChown(entry)) {
      this.#must('chown', entry, call(NR.fchownat, parent, bytes, entry.uid, entry.gid, AT.SYMLINK_NOFOLLOW));
      if (entry.type !== 'symlink' && (mode & 0o6000) !== 0) this.#chmodNode(parent, bytes, entry);
    }
    this.#setXattrs(parent, name, entry);
    this.#setTimes(entry);
    const at = this.#arena.base + this.#times;
    this.#must('utimensat', entry, call(NR.utimensat, parent, bytes, at, AT.SYMLINK_NOFOLLOW));
  }

  /** Through a descriptor that is no link: in a tree that others write to, the name may mean a link by now. */
  #chmodNode(parent: number, bytes: Buffer, entry: TarEntry): void {
    const fd = call(NR.openat, parent, bytes, O.PATH | O.NOFOLLOW | O.CLOEXEC, 0);
    this.#must('open', entry, fd);
    try {
      if ((fstat(fd).mode & S_IF.MT) === S_IF.LNK) return;
      this.#must('chmod', entry, call(NR.fchmodat, AT.FDCWD, kernelName(`/proc/self/fd/${fd}`), entry.mode & 0o7777));
    } finally {
      call(NR.close, fd);
    }
  }

  #withOwner(entry: TarEntry): TarEntry {
    const { owner, ids } = this.#options;
    if (owner === undefined && ids === undefined) return entry;
    if (owner === 'unchanged') return { ...entry, uid: this.#uid, gid: this.#gid };
    if (owner !== undefined) return { ...entry, ...owner };
    return { ...entry, uid: outsideId(ids?.uids, entry.uid), gid: outsideId(ids?.gids, entry.gid) };
  }

  #isToChown(entry: TarEntry): boolean {
    if (this.#options.owner === 'unchanged') return false;
    return this.#chownAll || entry.uid !== this.#uid || entry.gid !== this.#gid;
  }

  /**
   * Whether the file that is open belongs to whom it should without a chown. What a directory or a file system makes of
   * its first new file it makes of the next ones there; where the bits of a mode depend on the owner, nothing is taken
   * for granted.
   */
  #isOurs(entry: TarEntry): boolean {
    if (entry.uid !== this.#uid || entry.gid !== this.#gid || (entry.mode & 0o6000) !== 0) return false;
    if (this.#oursIn === this.#fileIn) return true;
    const { uid, gid } = fstat(this.#file);
    if (uid !== this.#uid || gid !== this.#gid) return false;
    this.#oursIn = this.#fileIn;
    return true;
  }

  /** A parent that the archive does not have: as the container's root would make it. */
  #madeParent(path: ByteString): void {
    this.#brought(path);
    const { ids } = this.#options;
    if (ids === undefined) return;
    const [directory, name] = splitLast(path);
    const parent = directory === '' ? this.#root : this.#directories.fd(directory);
    const [uid, gid] = [outsideId(ids.uids, 0), outsideId(ids.gids, 0)];
    check('chown', call(NR.fchownat, parent, kernelName(name), uid, gid, AT.SYMLINK_NOFOLLOW));
  }

  #escapes(path: ByteString): BerthError {
    const { scope } = this.#options;
    const place = scope === undefined ? 'the layer' : `"${scope.path === '' ? '/' : textOf(scope.path)}"`;
    return dataLoss(`invalid tar: "${textOf(path)}" is outside of ${place}`);
  }

  #cannotOverwrite(old: string, path: ByteString, fresh: string): BerthError {
    const base = this.#options.scope?.path ?? '';
    const target = textOf(`${base}/${path}`);
    return invalidParameter(`cannot overwrite ${old} "${target}" with ${fresh} "${base === '' ? '/' : textOf(base)}"`);
  }

  /** Something stands where no directory shall come. */
  #makeRoom(path: ByteString, directory: ByteString, bytes: Buffer): void {
    if (this.#options.into === 'refuse' && this.#isDirectory(this.#directories.fd(directory), bytes)) {
      throw this.#cannotOverwrite('directory', path, 'non-directory');
    }
    this.#remove(path, directory, bytes);
  }

  #whiteout(directory: ByteString, name: ByteString, entry: TarEntry): void {
    if (name === OPAQUE_MARKER) {
      if (this.#whiteouts === 'overlay') this.#setOpaque(directory);
      else emptyDirectory(this.#directories.fd(directory), directory, this.#own);
      return;
    }
    if (name.startsWith(META_PREFIX)) return;
    const target = whiteoutTarget(name);
    if (target === undefined) throw this.#escapes(`${directory}/${name}`);
    const path = directory === '' ? target : `${directory}/${target}`;
    const bytes = kernelName(target);
    const parent = this.#directories.fd(directory);
    if (this.#whiteouts === 'apply') {
      // A whiteout hides what is below, never what the same layer brings.
      if (!this.#own.has(path)) this.#remove(path, directory, bytes);
      else if (this.#isDirectory(parent, bytes)) {
        emptyDirectory(this.#directories.fd(path), path, this.#own);
      }
      return;
    }
    const made = call(NR.mknodat, parent, bytes, S_IF.CHR, 0);
    if (made === EEXIST) {
      if (this.#isDirectory(parent, bytes)) this.#setOpaque(path);
      return;
    }
    if (made < 0) throw failed('mknod', path, made);
    // Packed again, the layer is to be the same.
    this.#setTimes(entry);
    const times = this.#arena.base + this.#times;
    this.#must('utimensat', entry, call(NR.utimensat, parent, bytes, times, AT.SYMLINK_NOFOLLOW));
    this.#hidden.add(path);
  }

  #setOpaque(path: ByteString): void {
    const [directory, last] = splitLast(path);
    const at =
      path === '' ? kernelName(`/proc/self/fd/${this.#root}/.`) : pathVia(this.#directories.fd(directory), last);
    // The directory itself may be missing so far: the look-up makes it.
    if (path !== '') this.#directories.fd(path);
    const value = Buffer.from('y');
    const done = call(NR.lsetxattr, at, kernelName('trusted.overlay.opaque'), value, 1, 0);
    if (done < 0) throw failed('setxattr', path, done);
  }

  #setXattrs(parent: number, name: ByteString, entry: TarEntry): void {
    for (const [key, value] of entry.xattrs ?? []) {
      if (OVERLAY_XATTR.test(key)) continue;
      this.#xattr(entry, call(NR.lsetxattr, pathVia(parent, name), kernelName(key), value, value.length, 0));
    }
  }

  /** As Docker: a file system that cannot keep an attribute, or refuses it, does not refuse the layer. */
  #xattr(entry: TarEntry, result: number): void {
    if (result !== ENOTSUP && result !== EPERM) this.#must('setxattr', entry, result);
  }

  #isDirectory(parent: number, bytes: Buffer): boolean {
    const fd = call(NR.openat, parent, bytes, O.PATH | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
    if (fd < 0) return false;
    call(NR.close, fd);
    return true;
  }

  #remove(path: ByteString, directory: ByteString, bytes: Buffer): void {
    this.#oursIn = undefined;
    const parent = this.#directories.fd(directory);
    const gone = call(NR.unlinkat, parent, bytes, 0);
    if (gone === EISDIR) {
      this.#directories.forget(path);
      removeTree(this.#directories.fd(directory), bytes);
      for (const known of this.#directoryTimes.keys()) {
        if (known === path || known.startsWith(`${path}/`)) this.#directoryTimes.delete(known);
      }
    } else if (gone < 0 && gone !== ENOENT) throw failed('unlink', path, gone);
    else this.#directories.forget(path);
  }

  /** Remembered only for 'apply': overlay keeps layers apart by itself. */
  #brought(path: ByteString): void {
    if (this.#whiteouts === 'apply') this.#own.add(path);
  }

  #setTimes(entry: TarEntry): void {
    const { view } = this.#arena;
    for (const at of [this.#times, this.#times + 16]) {
      this.#arena.u64(at, entry.mtimeSeconds);
      view.setUint32(at + 8, entry.mtimeNanoseconds, true);
    }
  }

  #must(verb: string, entry: TarEntry, result: number): void {
    if (result < 0) throw failed(verb, entry.path, result);
  }
}

function check(name: string, result: number): void {
  if (result < 0) throw new SysError(name, -result);
}

function failed(verb: string, path: ByteString, result: number): BerthError {
  const code = errnoName(-result);
  const message = `${verb} /${textOf(path).replace(/^\/+/, '')}: ${reasonOfErrno(code)}`;
  return systemError(message, { cause: new SysError(verb, -result, [bytesOf(path)]) });
}
