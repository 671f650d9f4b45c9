/**
 * COPY from a kept tree. All of it is put into an empty layer, or only what differs into a layer that lies over an
 * earlier one of the same COPY: together they are what a full copy would be, so a changed file among thirty thousand
 * costs one file. What such a pair cannot say (a file is gone that is in the layers below, a directory became a file)
 * takes a full copy.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { kernelName } from '#pkg/archive/directories.ts';
import { byteString, type ByteString, textOf } from '#pkg/archive/entry.ts';
import type { KeptEntry } from '#pkg/archive/kept/kept-index.ts';
import { Windows } from '#pkg/archive/kept/receive.ts';
import { splitLast } from '#pkg/archive/names.ts';
import {
  close,
  fchmod,
  fchown,
  fchownat,
  fstat,
  futimens,
  mkdirat,
  openat,
  type OwnedFd,
  ownedFd,
  statxAt,
  symlinkat,
  unlinkat,
  utimensat,
  writeAll,
} from '#sys/files.ts';
import { isErrno } from '#sys/errno.ts';
import { AT, O, S_IF } from '#sys/numbers.ts';
import { mkdirAllInRoot, openInRoot, tryOpenInRoot } from '#sys/safe-path.ts';
import { exceptions } from './digest.ts';
import { ignoreRule } from './ignore.ts';
import type { KeptOutcome, KeptPlaceJob } from './jobs.ts';
import { forPieces, type KeptMatched, KeptView, selectKept, walkKept } from './kept.ts';
import { changedMode } from './mode.ts';
import { createFile, makeRoom } from './place.ts';
import { findList, isSamePlaced, type Placed, type PlacedKind, rememberList, writeList } from './placed-list.ts';
import { clean } from './select.ts';

/** More than this share of the files in a layer of differences, and it is better a layer of its own. */
const DIFFERENT_SHARE_MAX = 0.25;

export function placeKept(job: KeptPlaceJob, step: () => void): KeptOutcome<'placed' | 'full'> {
  const view = new KeptView(job.kept);
  const matched = selectKept(view, job.selection, ignoreRule(job.selection.ignore));
  if (matched === 'tree') return 'tree';
  const wanted = new Wanted(job, view, matched).all();
  if (wanted === 'tree') return 'tree';
  const before = job.over === '' ? [] : findList(job.over);
  if (before === undefined) return 'full';
  const change =
    job.over === ''
      ? { put: [...wanted.values()], gone: [], replaced: new Set<ByteString>() }
      : changeOf(job, before, wanted);
  if (change === 'full') return 'full';
  new KeptPlacer(job, wanted, step).apply(change);
  const list = matched.length === 1 ? [...wanted.values()] : inTarOrder(wanted.values());
  rememberList(job.list, list);
  // Of one that lies over another it is wanted once, and soon.
  if (job.over === '') writeList(job.list, list);
  return 'placed';
}

/** Directories are opened by text. */
const isText = (path: ByteString): boolean => /^[\x00-\x7f]*$/.test(path) || byteString(textOf(path)) === path;

/** As a walk comes by: names of a directory in byte order, each followed by what is in it. */
function inTarOrder(placed: Iterable<Placed>): Placed[] {
  const keyed = [...placed].map((one) => ({ one, key: one.path.replaceAll('/', '\0') }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ one }) => one);
}

/** What a COPY makes of an entry: the next COPY of the same kind knows it by the entry. */
interface Known {
  readonly as: string;
  readonly placed: WeakMap<KeptEntry, Placed>;
}

let known: Known | undefined;

export function forgetPlaced(): void {
  known = undefined;
}

function knownAs({ destination, owner, mode, timeNs, kept }: KeptPlaceJob): Known {
  const times = timeNs === undefined ? '' : String(timeNs);
  const as = JSON.stringify([kept.subtree, destination, owner.uid, owner.gid, mode, times]);
  if (known?.as !== as) known = { as, placed: new WeakMap() };
  return known;
}

/** What the layer is to have. */
class Wanted {
  readonly #job: KeptPlaceJob;
  readonly #view: KeptView;
  readonly #matched: readonly KeptMatched[];
  readonly #placed = new Map<ByteString, Placed>();
  readonly #known: Known;
  #isText = true;

  constructor(job: KeptPlaceJob, view: KeptView, matched: readonly KeptMatched[]) {
    this.#job = job;
    this.#view = view;
    this.#matched = matched;
    this.#known = knownAs(job);
  }

  all(): KeptOutcome<Map<ByteString, Placed>> {
    const { destination, intoDirectory, target, selection } = this.#job;
    const names = clean(destination);
    const kind = straight(target, names);
    if (kind === 'other') return 'tree';
    const into = intoDirectory || this.#matched.length > 1 || kind === 'directory';
    for (const source of this.#matched) {
      if (source.entry.type === 'directory') {
        if (kind === 'file') return 'tree';
        this.#parents(names);
        this.#below(source, names.map(byteString).join('/'), exceptions(selection, source));
      } else if (into && kind === 'file') return 'tree';
      else {
        const own = splitLast(byteString(source.path))[1];
        const path = into ? [...names.map(byteString), own] : names.map(byteString);
        if (path.length === 0) return 'tree';
        this.#parents(into ? names : names.slice(0, -1));
        this.#put(path.join('/'), source.entry);
      }
    }
    return this.#isText ? this.#placed : 'tree';
  }

  #below(source: KeptMatched, directory: ByteString, ignored: ReturnType<typeof exceptions>): void {
    walkKept(this.#view, source.path, ignored, {
      visit: (path, entry) => this.#put(directory === '' ? path : `${directory}/${path}`, entry),
    });
  }

  #parents(names: readonly string[]): void {
    for (let length = 1; length <= names.length; length++) {
      const path = names.slice(0, length).map(byteString).join('/');
      this.#placed.set(path, { ...nothing, path, kind: 'parent' });
    }
  }

  #put(path: ByteString, entry: KeptEntry): void {
    const { type } = entry;
    const kind = type === 'file' || type === 'directory' ? type : 'symlink';
    const there = this.#placed.get(path);
    if (there?.kind === 'parent' || there?.kind === 'directory') {
      // The earlier source's directory stays what it is.
      if (kind !== 'directory') throw invalidParameter(`cannot copy a file over the directory /${textOf(path)}`);
      return;
    }
    let placed = this.#known.placed.get(entry);
    if (placed?.path !== path) {
      placed = this.#make(path, kind, entry);
      if (isText(path)) this.#known.placed.set(entry, placed);
      else this.#isText = false;
    }
    this.#placed.set(path, placed);
  }

  #make(path: ByteString, kind: Exclude<PlacedKind, 'parent'>, entry: KeptEntry): Placed {
    const { owner, timeNs, mode } = this.#job;
    const own = kind === 'symlink' ? 0o777 : entry.mode;
    const typed = own | (kind === 'directory' ? S_IF.DIR : S_IF.REG);
    return {
      path,
      kind,
      mode: kind === 'symlink' || mode === undefined ? own : changedMode(mode, typed),
      uid: owner.uid,
      gid: owner.gid,
      ...timesOf(entry, timeNs),
      size: entry.size,
      offset: entry.offset,
      hash: entry.hash,
      link: entry.linkPath,
    };
  }
}

const nothing = {
  mode: 0,
  uid: 0,
  gid: 0,
  seconds: 0,
  nanoseconds: 0,
  size: 0,
  offset: 0,
  hash: '',
  link: '',
} as const;

/** What is at the end of a path that no link is part of; 'other' when one is. */
function straight(target: number, names: readonly string[]): 'directory' | 'file' | 'nothing' | 'other' {
  for (let length = 1; length <= names.length; length++) {
    let mode: number;
    try {
      mode = statxAt(target, names.slice(0, length).join('/')).mode & S_IF.MT;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return 'nothing';
      throw error;
    }
    if (mode === S_IF.REG && length === names.length) return 'file';
    if (mode !== S_IF.DIR) return 'other';
  }
  return 'directory';
}

interface Change {
  readonly put: readonly Placed[];
  /** Those deepest first. */
  readonly gone: readonly ByteString[];
  /** Of what is put: there was something of that name. */
  readonly replaced: ReadonlySet<ByteString>;
}

function changeOf(job: KeptPlaceJob, before: readonly Placed[], wanted: Map<ByteString, Placed>): Change | 'full' {
  // Mostly all but a few are the same objects.
  const same = new Set<Placed>();
  const known = new Map<ByteString, Placed>();
  for (const one of before) {
    if (wanted.get(one.path) === one) same.add(one);
    else known.set(one.path, one);
  }
  const put: Placed[] = [];
  const replaced = new Set<ByteString>();
  for (const one of wanted.values()) {
    if (same.has(one)) continue;
    const old = known.get(one.path);
    if (old !== undefined) replaced.add(one.path);
    if (old === undefined) put.push(one);
    else if (old.kind === 'parent' && one.kind === 'directory') wanted.set(one.path, old);
    else if (old.kind !== one.kind && (old.kind === 'directory' || old.kind === 'parent')) return 'full';
    else if (old.kind !== one.kind && one.kind !== 'file' && one.kind !== 'symlink') return 'full';
    else if (!isSamePlaced(old, one)) put.push(one);
  }
  const gone = before.filter(({ path }) => !wanted.has(path));
  if (put.length + gone.length > Math.max(16, before.length * DIFFERENT_SHARE_MAX)) return 'full';
  for (const { path, kind } of gone) if (kind === 'parent' || isBelow(job.below, path)) return 'full';
  return { put, replaced, gone: gone.map(({ path }) => path).sort((a, b) => (a < b ? 1 : -1)) };
}

/** The layers below have something of that name, which a mark of removal would hide. */
function isBelow(root: number, path: ByteString): boolean {
  const fd = tryOpenInRoot(root, kernelPath(path), O.PATH | O.NOFOLLOW);
  if (fd !== undefined) close(fd);
  return fd !== undefined;
}

const kernelPath = (path: ByteString): string => textOf(path);

class KeptPlacer {
  readonly #job: KeptPlaceJob;
  readonly #wanted: Map<ByteString, Placed>;
  readonly #step: () => void;
  readonly #windows: Windows;
  /** The directory that was used last: entries come directory by directory. */
  #open: { readonly path: ByteString; readonly fd: OwnedFd } | undefined;
  /** Directories of the COPY's own whose attributes are set when all is in them. */
  readonly #touched = new Set<ByteString>();

  constructor(job: KeptPlaceJob, wanted: Map<ByteString, Placed>, step: () => void) {
    this.#job = job;
    this.#wanted = wanted;
    this.#step = step;
    this.#windows = new Windows(job.kept.contents);
  }

  apply({ put, gone, replaced }: Change): void {
    try {
      for (const path of gone) this.#remove(path);
      this.#destination();
      for (const one of put) {
        this.#step();
        if (one.kind === 'directory') this.#directory(one, replaced.has(one.path));
        else if (one.kind !== 'parent') this.#entry(one);
      }
      for (const path of [...this.#touched].sort((a, b) => (a < b ? 1 : -1))) this.#finish(path);
    } finally {
      this.#open?.fd[Symbol.dispose]();
    }
  }

  #directoryFd(path: ByteString): number {
    if (this.#open?.path === path) return this.#open.fd.fd;
    this.#open?.fd[Symbol.dispose]();
    this.#open = undefined;
    const flags = O.PATH | O.DIRECTORY | O.NOFOLLOW;
    const fd = ownedFd(openInRoot(this.#job.target, path === '' ? '.' : kernelPath(path), flags));
    this.#open = { path, fd };
    return fd.fd;
  }

  /** Directories above what is copied, and the one that takes a source directory's place. */
  #destination(): void {
    const { parentOwner, timeNs, target, destination, owner } = this.#job;
    const parents = [...this.#wanted.values()].filter(({ kind }) => kind === 'parent');
    const last = parents.at(-1);
    if (last === undefined) return;
    const made = (fd: number): void => {
      if (parentOwner.uid !== 0 || parentOwner.gid !== 0) {
        fchownat(fd, '', parentOwner.uid, parentOwner.gid, AT.EMPTY_PATH);
      }
      if (timeNs !== undefined) utimensat(fd, '.', timeNs, timeNs);
    };
    const existed = straight(target, clean(destination)) === 'directory';
    close(mkdirAllInRoot(target, kernelPath(last.path), { made }));
    const source = this.#job.selection.sources.length === 1 ? this.#sourceDirectory() : undefined;
    if (existed || source === undefined) return;
    const mode = this.#job.mode === undefined ? source.mode : changedMode(this.#job.mode, source.mode | S_IF.DIR);
    const times = timesOf(source, timeNs);
    this.#own.set(last.path, { ...nothing, path: last.path, kind: 'directory', mode, ...owner, ...times });
    this.#touched.add(last.path);
  }

  /** Attributes of directories that are parents in the list, and the COPY's own all the same. */
  readonly #own = new Map<ByteString, Placed>();

  #sourceDirectory(): KeptEntry | undefined {
    const view = new KeptView(this.#job.kept);
    const { selection } = this.#job;
    const matched = selectKept(view, selection, ignoreRule(selection.ignore));
    const [only] = matched === 'tree' ? [] : matched;
    return only?.entry.type === 'directory' ? only.entry : undefined;
  }

  #directory(one: Placed, isKnown: boolean): void {
    if (isKnown) {
      this.#touched.add(one.path);
      return;
    }
    const [directory, name] = splitLast(one.path);
    const bytes = kernelName(name);
    const parent = this.#directoryFd(directory);
    this.#noteParent(directory);
    try {
      mkdirat(parent, bytes, 0o700);
      this.#touched.add(one.path);
      return;
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
    if ((statxAt(parent, bytes).mode & S_IF.MT) !== S_IF.DIR) {
      throw invalidParameter(`cannot copy to non-directory: /${textOf(one.path)}`);
    }
    // It is there already and keeps what it is.
    this.#wanted.set(one.path, { ...nothing, path: one.path, kind: 'parent' });
  }

  #noteParent(directory: ByteString): void {
    if (this.#wanted.get(directory)?.kind === 'directory') this.#touched.add(directory);
  }

  #entry(one: Placed): void {
    const [directory, name] = splitLast(one.path);
    const bytes = kernelName(name);
    const parent = this.#directoryFd(directory);
    this.#noteParent(directory);
    const shown = `/${textOf(one.path)}`;
    const time = timeOf(one);
    if (one.kind === 'symlink') {
      makeRoom(parent, bytes, shown);
      symlinkat(kernelName(one.link), parent, bytes);
      if (one.uid !== 0 || one.gid !== 0) fchownat(parent, bytes, one.uid, one.gid);
      utimensat(parent, bytes, time, time);
      return;
    }
    const fd = createFile(parent, bytes, shown, one.mode & 0o777);
    try {
      forPieces(this.#windows, one, (piece) => {
        writeAll(fd, piece);
        if (one.size > piece.length) this.#step();
      });
      if (one.uid !== 0 || one.gid !== 0) fchown(fd, one.uid, one.gid);
      if ((one.mode & 0o7000) !== 0) fchmod(fd, one.mode);
      futimens(fd, time, time);
    } finally {
      close(fd);
    }
  }

  #remove(path: ByteString): void {
    const [directory, name] = splitLast(path);
    const parent = this.#directoryFd(directory);
    const bytes = kernelName(name);
    const isDirectory = (statxAt(parent, bytes).mode & S_IF.MT) === S_IF.DIR;
    unlinkat(parent, bytes, isDirectory ? AT.REMOVEDIR : 0);
    this.#touched.delete(path);
    this.#noteParent(directory);
  }

  #finish(path: ByteString): void {
    const one = this.#own.get(path) ?? this.#wanted.get(path);
    if (one?.kind !== 'directory') return;
    const [directory, name] = splitLast(path);
    const fd = openat(this.#directoryFd(directory), kernelName(name), O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    try {
      const { uid, gid } = fstat(fd);
      if (uid !== one.uid || gid !== one.gid) fchown(fd, one.uid, one.gid);
      fchmod(fd, one.mode);
      const time = timeOf(one);
      futimens(fd, time, time);
    } finally {
      close(fd);
    }
  }
}

function timesOf(entry: KeptEntry, timeNs: bigint | undefined): Pick<Placed, 'seconds' | 'nanoseconds'> {
  if (timeNs !== undefined) return { seconds: Number(timeNs / 1_000_000_000n), nanoseconds: 0 };
  return { seconds: entry.mtimeSeconds, nanoseconds: entry.mtimeNanoseconds };
}

const timeOf = ({ seconds, nanoseconds }: Placed): bigint => BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
