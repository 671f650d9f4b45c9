/**
 * Puts what was selected into a file system, as COPY and ADD do: into an existing directory, or under a new name;
 * directories that are there keep what they are, everything else is replaced. Both sides are descriptors, and every path
 * is resolved by the kernel inside its root, so neither a link in a context nor one in an image leads out.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { copyOpenXattrs, copyXattrs } from '#pkg/archive/attributes.ts';
import { kernelName, pathVia } from '#pkg/archive/directories.ts';
import { type ByteString, textOf } from '#pkg/archive/entry.ts';
import { call, must } from '#sys/call.ts';
import {
  close,
  fchmod,
  fchown,
  fchownat,
  type FileStatus,
  fstat,
  futimens,
  mkdirat,
  mknodat,
  open,
  openat,
  type OwnedFd,
  ownedFd,
  read,
  statxAt,
  symlinkat,
  unlinkat,
  utimensat,
  linkat,
  writeAll,
} from '#sys/files.ts';
import { isErrno } from '#sys/errno.ts';
import { AT, NR, O, S_IF } from '#sys/numbers.ts';
import { mkdirAllInRoot, tryOpenInRoot } from '#sys/safe-path.ts';
import { exceptions } from './digest.ts';
import { ignoreRule } from './ignore.ts';
import { type PlaceJob, pivoted } from './jobs.ts';
import { changedMode } from './mode.ts';
import { asBytes, clean, type Matched, select } from './select.ts';
import { linkTarget, type Visited, walkBelow } from './walk.ts';

const COPY_BYTES = 1 << 30;
const PIECE_BYTES = 256 << 10;

export function place(job: PlaceJob, step: () => void): void {
  const matched = select(job.selection, ignoreRule(job.selection.ignore));
  try {
    new Placer(job, step).all(matched);
  } finally {
    for (const { fd } of matched) fd[Symbol.dispose]();
  }
}

class Placer {
  readonly #job: PlaceJob;
  readonly #step: () => void;
  /** First copy of each file with several names, below the target's root. */
  readonly #linked = new Map<string, { readonly directory: string; readonly name: ByteString }>();

  constructor(job: PlaceJob, step: () => void) {
    this.#job = job;
    this.#step = step;
  }

  all(matched: readonly Matched[]): void {
    const { destination, selection } = this.#job;
    const into = this.#job.intoDirectory || matched.length > 1 || selection.parents;
    for (const source of matched) {
      this.#step();
      if (selection.parents) this.#withParents(source);
      else if (source.directory) this.#directory(source, destination);
      else this.#file(source, destination, into);
    }
  }

  /** `dir/sub/file` keeps its directories below the destination. */
  #withParents(source: Matched): void {
    const path = textOf(pivoted(source.source, asBytes(source.path)));
    const names = clean(path);
    const target = `${this.#job.destination.replace(/\/+$/, '')}/${names.join('/')}`;
    if (source.directory) this.#directory(source, target);
    else {
      const name = names.at(-1) ?? '';
      this.#file(source, target.slice(0, -name.length), true);
    }
  }

  #directory(source: Matched, destination: string): void {
    const existed = tryOpenInRoot(this.#job.target, destination, O.PATH);
    if (existed !== undefined) {
      const kind = fstat(existed).mode & S_IF.MT;
      close(existed);
      if (kind !== S_IF.DIR) throw invalidParameter(`cannot copy to non-directory: ${destination}`);
    }
    using target = this.#mkdirs(destination);
    this.#below(source, target.fd, destination);
    if (existed === undefined)
      this.#finish(fstat(source.fd.fd), target.fd, kernelName(`/proc/self/fd/${source.fd.fd}/.`));
  }

  #below(source: Matched, target: number, destination: string): void {
    const stack: OwnedFd[] = [ownedFd(openat(target, '.', O.PATH | O.DIRECTORY))];
    const fresh: boolean[] = [];
    const top = (): number => stack.at(-1)?.fd ?? target;
    const visit = (entry: Visited): void => {
      if ((entry.status.mode & S_IF.MT) !== S_IF.DIR) {
        this.#entry(entry, top(), destination);
        return;
      }
      const bytes = kernelName(entry.name);
      const made = makeDirectory(top(), bytes, () => `${destination}/${textOf(entry.path)}`);
      stack.push(ownedFd(openat(top(), bytes, O.PATH | O.DIRECTORY | O.NOFOLLOW)));
      fresh.push(made);
    };
    const leave = (entry: Visited): void => {
      const directory = stack.pop();
      if (directory === undefined) return;
      if (fresh.pop() === true) this.#finish(entry.status, directory.fd, pathVia(entry.directory, entry.name));
      directory[Symbol.dispose]();
    };
    try {
      walkBelow(source.fd.fd, source.path, exceptions(this.#job.selection, source), { visit, leave, step: this.#step });
    } finally {
      for (const directory of stack) directory[Symbol.dispose]();
    }
  }

  /** A single file: its own name in an existing directory, or the destination's. */
  #file(source: Matched, destination: string, into: boolean): void {
    const own = source.path.slice(source.path.lastIndexOf('/') + 1);
    let directory = destination;
    let name = own;
    if (!into) {
      const found = tryOpenInRoot(this.#job.target, destination, O.PATH);
      const isDirectory = found !== undefined && (fstat(found).mode & S_IF.MT) === S_IF.DIR;
      if (found !== undefined) close(found);
      if (!isDirectory) {
        const names = clean(destination);
        name = names.pop() ?? own;
        directory = `/${names.join('/')}`;
      }
    }
    using target = this.#mkdirs(directory);
    const status = fstat(source.fd.fd);
    const from = kernelName(`/proc/self/fd/${source.fd.fd}`);
    this.#node(
      { from, status, open: () => open(from, O.RDONLY), link: () => '' },
      target.fd,
      asBytes(name),
      destination,
    );
  }

  #entry({ directory, name, path, status }: Visited, target: number, destination: string): void {
    const from = pathVia(directory, name);
    const source = {
      from,
      status,
      open: () => openat(directory, kernelName(name), O.RDONLY | O.NOFOLLOW),
      link: () => linkTarget(directory, name),
    };
    this.#node(source, target, name, `${destination}/${textOf(path)}`);
  }

  #node(
    source: {
      readonly from: Buffer;
      readonly status: FileStatus;
      readonly open: () => number;
      readonly link: () => ByteString;
    },
    target: number,
    name: ByteString,
    shown: string,
  ): void {
    const { status } = source;
    const bytes = kernelName(name);
    const kind = status.mode & S_IF.MT;
    // A file finds out by itself whether something is in its way.
    if (kind !== S_IF.REG || status.nlink > 1) makeRoom(target, bytes, shown);
    const key = `${status.dev}:${status.ino}`;
    if (kind === S_IF.REG && status.nlink > 1 && this.#linkAgain(key, target, bytes)) return;
    const { uid, gid } = this.#ownerOf(status);
    if (kind === S_IF.LNK) {
      symlinkat(kernelName(source.link()), target, bytes);
      fchownat(target, bytes, uid, gid);
    } else if (kind === S_IF.REG) {
      this.#regular(source, target, bytes, { uid, gid }, shown);
      if (status.nlink > 1) this.#linked.set(key, { directory: `/proc/self/fd/${target}`, name });
      return;
    } else if (kind === S_IF.SOCK) {
      // A socket without its listener is nothing: left out, as by every tar.
      return;
    } else {
      mknodat(target, bytes, kind | 0o600, status.rdevMajor, status.rdevMinor);
      fchownat(target, bytes, uid, gid);
      const fd = openat(target, bytes, O.PATH | O.NOFOLLOW);
      try {
        must('fchmodat', NR.fchmodat, AT.FDCWD, kernelName(`/proc/self/fd/${fd}`), this.#modeOf(status));
      } finally {
        close(fd);
      }
    }
    copyXattrs(source.from, pathVia(target, name));
    const time = this.#job.timeNs ?? status.mtimeNs;
    utimensat(target, bytes, time, time);
  }

  #regular(
    source: { readonly status: FileStatus; readonly open: () => number },
    target: number,
    bytes: Buffer,
    owner: { readonly uid: number; readonly gid: number },
    shown: string,
  ): void {
    const from = source.open();
    try {
      const to = createFile(target, bytes, shown);
      try {
        if (source.status.size > 0) copyContent(from, to, source.status.size, this.#step);
        if (owner.uid !== 0 || owner.gid !== 0) fchown(to, owner.uid, owner.gid);
        fchmod(to, this.#modeOf(source.status));
        copyOpenXattrs(from, to);
        const time = this.#job.timeNs ?? source.status.mtimeNs;
        futimens(to, time, time);
      } finally {
        close(to);
      }
    } finally {
      close(from);
    }
  }

  /** Only within one directory: names elsewhere may be on their way to another place by now. */
  #linkAgain(key: string, target: number, bytes: Buffer): boolean {
    const first = this.#linked.get(key);
    if (first?.directory !== `/proc/self/fd/${target}`) return false;
    try {
      linkat(target, kernelName(first.name), target, bytes);
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'EMLINK', 'EXDEV')) return false;
      throw error;
    }
  }

  #finish(status: FileStatus, fd: number, from: Buffer): void {
    const { uid, gid } = this.#ownerOf(status);
    const real = openat(fd, '.', O.RDONLY | O.DIRECTORY);
    try {
      fchown(real, uid, gid);
      fchmod(real, this.#modeOf(status));
      copyXattrs(from, kernelName(`/proc/self/fd/${real}/.`));
      const time = this.#job.timeNs ?? status.mtimeNs;
      utimensat(real, '.', time, time);
    } finally {
      close(real);
    }
  }

  #ownerOf(status: FileStatus): { readonly uid: number; readonly gid: number } {
    return this.#job.owner === 'keep' ? status : this.#job.owner;
  }

  #modeOf(status: FileStatus): number {
    const { mode } = this.#job;
    return mode === undefined ? status.mode & 0o7777 : changedMode(mode, status.mode);
  }

  #mkdirs(path: string): OwnedFd {
    const { uid, gid } = this.#job.parentOwner;
    const made = (fd: number): void => {
      if (uid !== 0 || gid !== 0) fchownat(fd, '', uid, gid, AT.EMPTY_PATH);
      if (this.#job.timeNs !== undefined) utimensat(fd, '.', this.#job.timeNs, this.#job.timeNs);
    };
    try {
      return ownedFd(mkdirAllInRoot(this.#job.target, path, { made }));
    } catch (error) {
      if (isErrno(error, 'ENOTDIR', 'EEXIST'))
        throw invalidParameter(`cannot copy to non-directory: ${path}`, { cause: error });
      throw error;
    }
  }
}

/** Whether it was made; what is there already stays. */
function makeDirectory(target: number, name: Buffer, shown: () => string): boolean {
  try {
    mkdirat(target, name, 0o700);
    return true;
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  if ((statxAt(target, name).mode & S_IF.MT) === S_IF.DIR) return false;
  throw invalidParameter(`cannot copy to non-directory: ${shown()}`);
}

export function makeRoom(target: number, name: Buffer, shown: string): void {
  try {
    unlinkat(target, name);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    if (isErrno(error, 'EISDIR'))
      throw invalidParameter(`cannot copy a file over the directory ${shown}`, { cause: error });
    throw error;
  }
}

export function createFile(target: number, name: Buffer, shown: string, mode = 0o600): number {
  const flags = O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW;
  try {
    return openat(target, name, flags, mode);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  makeRoom(target, name, shown);
  return openat(target, name, flags, mode);
}

const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);

function copyContent(from: number, to: number, size: number, step: () => void): void {
  if (size < PIECE_BYTES) {
    // Between file systems the kernel's own ways take longer to begin than a small file takes to copy.
    for (let done = 0; done < size; ) {
      const count = read(from, piece);
      if (count === 0) break;
      writeAll(to, piece.subarray(0, count));
      done += count;
    }
    step();
    return;
  }
  for (;;) {
    let count = call(NR.copy_file_range, from, 0, to, 0, COPY_BYTES, 0);
    // Another file system, or one that cannot.
    if (count < 0) count = must('sendfile', NR.sendfile, to, from, 0, COPY_BYTES);
    if (count === 0) return;
    step();
  }
}
