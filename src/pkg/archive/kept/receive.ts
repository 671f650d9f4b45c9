/**
 * Takes a tar into a kept tree. Contents that are there already are compared while they come, not written and not hashed
 * again; what is new is appended. A tar may be the whole tree, or what has changed in it: then entries say what is new,
 * a hard link to itself says that only attributes are, and a character device 0:0 (as overlay does) that the name is
 * gone.
 */
import { dataLoss, invalidParameter, systemError } from '#errdefs/errors.ts';
import { transfer } from '#sys/call.ts';
import { errnoName, SysError } from '#sys/errno.ts';
import { ftruncate, pread } from '#sys/files.ts';
import { NR } from '#sys/numbers.ts';
import type { ByteString, TarEntry } from '../entry.ts';
import { textOf } from '../entry.ts';
import { reasonOfErrno } from '../explain.ts';
import { cleanPath, splitLast } from '../names.ts';
import type { TarSink } from '../parser.ts';
import { isPlain, type KeptDelta, type KeptEntry, KeptIndex, plainDirectory } from './kept-index.ts';

const WINDOW_BYTES = 1 << 20;
const ENTRIES_MAX = 2_000_000;
const NAME_BYTES_MAX = 512 << 20;
/** More changes than this are told by the index alone. */
const DELTA_MAX = 2000;
/** Contents that no entry names may be as large as those that one does, and this much. */
const GARBAGE_BYTES = 64 << 20;

export interface KeptSummary {
  readonly entries: number;
  readonly files: number;
  /** Of files of the tree. */
  readonly liveBytes: number;
  /** Where the next content goes. */
  readonly end: number;
  /** Bytes that were written. */
  readonly written: number;
  /** False: the tree is what it was, and no index was written. */
  readonly changed: boolean;
  /** Changes were none: nothing else is said. */
  readonly untouched: boolean;
  readonly plain: boolean;
  /** Contents without what nothing names; they are in the spare file. */
  readonly compacted: boolean;
  /** What changed the tree that was there; undefined when it is much, or all came. */
  readonly delta: KeptDelta | undefined;
}

export interface ReceiveOptions {
  /** Read with the first entry: changes may be none. */
  readonly base: () => KeptIndex | undefined;
  /** The archive has changes only. */
  readonly changes: boolean;
  /** Open for reading and writing; it stays the caller's. */
  readonly contents: number;
  readonly at: number;
  /** Of directories that the archive does not say anything of. */
  readonly nowSeconds: number;
}

/** Reads what is kept in its order, a window at a time. */
export class Windows {
  readonly #fd: number;
  readonly #memory = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  #from = 0;
  #to = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** At least one byte and at most `length`, valid until the next call. Errors: data-loss. */
  at(offset: number, length: number): Buffer {
    if (offset < this.#from || offset >= this.#to) {
      const count = pread(this.#fd, this.#memory, offset);
      if (count === 0) throw dataLoss('kept contents are shorter than their index says');
      this.#from = offset;
      this.#to = offset + count;
    }
    const start = offset - this.#from;
    return this.#memory.subarray(start, Math.min(start + length, this.#to - this.#from));
  }

  /** What was written meanwhile is not in it. */
  forget(): void {
    this.#to = this.#from;
  }
}

interface Coming {
  readonly entry: TarEntry;
  readonly path: ByteString;
  /** What it has been equal to so far. */
  same: KeptEntry | undefined;
  start: number;
  taken: number;
  hash: Bun.CryptoHasher | undefined;
}

export class KeptReceiver implements TarSink, Disposable {
  readonly #options: ReceiveOptions;
  #base: KeptIndex | undefined;
  #entries = new Map<ByteString, KeptEntry>();
  /** Of what is in a directory, from the first on that is removed. */
  #names: Map<ByteString, Set<ByteString>> | undefined;
  /** Paths of changes. */
  readonly #touched = new Set<ByteString>();
  #hasBegun = false;
  readonly #old: Windows;
  readonly #buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  #used = 0;
  #end: number;
  #nameBytes = 0;
  #coming: Coming | undefined;
  #finished = false;

  constructor(options: ReceiveOptions) {
    this.#options = options;
    this.#old = new Windows(options.contents);
    this.#end = options.at;
  }

  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#base = this.#options.base();
    if (this.#options.changes) this.#entries = new Map(this.#base?.entries);
  }

  entry(entry: TarEntry): void {
    this.#begin();
    const path = cleanPath(entry.path);
    if (path === undefined) throw invalidParameter(`invalid tar: "${textOf(entry.path)}" leads out of the archive`);
    this.#nameBytes += path.length + entry.linkPath.length;
    if (this.#entries.size >= ENTRIES_MAX || this.#nameBytes > NAME_BYTES_MAX) {
      throw invalidParameter(`the context has more than ${ENTRIES_MAX} files`);
    }
    if (path === '') return;
    const { changes } = this.#options;
    if (changes && entry.type === 'character' && entry.deviceMajor === 0 && entry.deviceMinor === 0) {
      this.#removeTree(path);
      return;
    }
    this.#parentsOf(path);
    if (changes && entry.type === 'hardlink' && cleanPath(entry.linkPath) === path) {
      const before = this.#entries.get(path);
      if (before?.type !== 'file') throw dataLoss(`invalid changes: there is no file "${textOf(path)}"`);
      this.#set({ ...this.#plainOf(path, entry), type: 'file', ...contentOf(before), linkPath: '' });
      return;
    }
    const known = this.#entries.get(path);
    if (known?.type === 'directory' && entry.type !== 'directory') this.#removeTree(path);
    if (entry.type === 'hardlink') {
      this.#hardLink(path, entry);
      return;
    }
    if (entry.type !== 'file') {
      this.#set(this.#plainOf(path, entry));
      return;
    }
    const before = this.#base?.entries.get(path);
    const same =
      before?.type === 'file' && before.size === entry.size && entry.sparse === undefined ? before : undefined;
    const start = this.#end + this.#used;
    this.#coming = { entry, path, same, start, taken: 0, hash: undefined };
    if (same === undefined) this.#coming.hash = new Bun.CryptoHasher('sha256');
  }

  data(chunk: Buffer, start: number, end: number, position: number): void {
    const coming = this.#coming;
    if (coming === undefined) return;
    // Sparse: zeros up to what comes.
    while (coming.taken < position)
      this.#take(coming, zeros.subarray(0, Math.min(zeros.length, position - coming.taken)));
    this.#take(coming, chunk.subarray(start, end));
  }

  end(): void {
    const coming = this.#coming;
    if (coming === undefined) return;
    const { entry, path } = coming;
    while (coming.taken < entry.size) {
      this.#take(coming, zeros.subarray(0, Math.min(zeros.length, entry.size - coming.taken)));
    }
    const content =
      coming.same === undefined
        ? { size: entry.size, offset: coming.start, hash: coming.hash?.digest('hex') ?? '' }
        : contentOf(coming.same);
    this.#coming = undefined;
    this.#set({ ...this.#plainOf(path, entry), ...content });
  }

  /** Writes the index, unless it would say the same; contents go to `spare` when much of them is named no more. */
  finish(index: string, spare: () => { readonly fd: number } & Disposable): KeptSummary {
    if (!this.#hasBegun && this.#options.changes) {
      this.#finished = true;
      return { ...nothing, end: this.#end };
    }
    this.#begin();
    this.#flush();
    let files = 0;
    let liveBytes = 0;
    let plain = true;
    let entries = new KeptIndex(this.#entries);
    for (const entry of this.#entries.values()) {
      if (entry.type === 'file') files += 1;
      liveBytes += entry.size;
      plain &&= isPlain(entry);
    }
    const written = this.#end - this.#options.at;
    const changed = !this.#isUnchanged();
    const compacted = changed && this.#end > 2 * liveBytes + GARBAGE_BYTES;
    if (compacted) {
      using file = spare();
      entries = this.#compact(file.fd);
      this.#end = liveBytes;
    }
    if (changed) entries.write(index);
    this.#finished = true;
    return {
      entries: this.#entries.size,
      files,
      liveBytes,
      end: this.#end,
      written,
      changed,
      untouched: false,
      plain,
      compacted,
      delta: changed && !compacted ? this.#delta() : undefined,
    };
  }

  #delta(): KeptDelta | undefined {
    if (!this.#options.changes || this.#base === undefined || this.#touched.size > DELTA_MAX) return undefined;
    const paths = [...this.#touched];
    const put = paths.flatMap((path) => this.#entries.get(path) ?? []);
    return { put, gone: paths.filter((path) => !this.#entries.has(path)) };
  }

  /** What was appended by an archive that did not end well is given back. */
  [Symbol.dispose](): void {
    if (!this.#finished) ftruncate(this.#options.contents, this.#options.at);
  }

  #take(coming: Coming, piece: Buffer): void {
    let rest = piece;
    while (coming.same !== undefined && rest.length > 0) {
      const old = this.#old.at(coming.same.offset + coming.taken, rest.length);
      if (rest.compare(old, 0, old.length, 0, old.length) !== 0) {
        this.#differs(coming, coming.same);
        break;
      }
      coming.taken += old.length;
      rest = rest.subarray(old.length);
    }
    if (rest.length === 0) return;
    coming.hash?.update(rest);
    this.#append(rest);
    coming.taken += rest.length;
  }

  /** From here on it is another file: what was equal so far is its beginning, too. */
  #differs(coming: Coming, same: KeptEntry): void {
    const { taken } = coming;
    const hash = new Bun.CryptoHasher('sha256');
    coming.same = undefined;
    coming.hash = hash;
    coming.start = this.#end + this.#used;
    for (let at = 0; at < taken; ) {
      const piece = Buffer.from(this.#old.at(same.offset + at, taken - at));
      hash.update(piece);
      this.#append(piece);
      at += piece.length;
    }
  }

  #append(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const count = bytes.copy(this.#buffer, this.#used, at);
      at += count;
      this.#used += count;
      if (this.#used === this.#buffer.length) this.#flush();
    }
  }

  #flush(): void {
    writeAt(this.#options.contents, this.#buffer.subarray(0, this.#used), this.#end);
    this.#end += this.#used;
    this.#used = 0;
  }

  #compact(to: number): KeptIndex {
    const entries = new Map<ByteString, KeptEntry>();
    let end = 0;
    this.#old.forget();
    for (const [path, entry] of this.#entries) {
      for (let done = 0; done < entry.size; ) {
        const piece = this.#old.at(entry.offset + done, entry.size - done);
        writeAt(to, piece, end + done);
        done += piece.length;
      }
      entries.set(path, { ...entry, offset: end });
      end += entry.size;
    }
    return new KeptIndex(entries);
  }

  #plainOf(path: ByteString, entry: TarEntry): KeptEntry {
    const xattrs = [...(entry.xattrs ?? [])].map(
      ([name, value]) => [name, Buffer.from(value).toString('base64')] as const,
    );
    return {
      path,
      type: entry.type,
      mode: entry.mode & 0o7777,
      mtimeSeconds: entry.mtimeSeconds,
      mtimeNanoseconds: entry.mtimeNanoseconds,
      size: 0,
      offset: 0,
      hash: '',
      linkPath: entry.type === 'symlink' ? entry.linkPath : '',
      deviceMajor: entry.deviceMajor,
      deviceMinor: entry.deviceMinor,
      xattrs: xattrs.length === 0 ? undefined : xattrs,
    };
  }

  /** Content is the first name's; that it is one file is said, so that nobody takes the tree for a plain one. */
  #hardLink(path: ByteString, entry: TarEntry): void {
    const target = cleanPath(entry.linkPath);
    const first = target === undefined ? undefined : this.#entries.get(target);
    if (first === undefined || first.type === 'directory') {
      throw dataLoss(`invalid hardlink "${textOf(path)}" -> "${textOf(entry.linkPath)}"`);
    }
    this.#set({ ...first, path, type: 'hardlink', linkPath: first.type === 'hardlink' ? first.linkPath : first.path });
  }

  #set(entry: KeptEntry): void {
    this.#touched.add(entry.path);
    this.#entries.set(entry.path, entry);
    if (this.#names !== undefined) addName(this.#names, entry.path);
  }

  #parentsOf(path: ByteString): void {
    const [directory] = splitLast(path);
    if (directory === '') return;
    const known = this.#entries.get(directory);
    if (known?.type === 'directory') return;
    if (known !== undefined) throw invalidParameter(`invalid tar: "${textOf(path)}" lies below what is no directory`);
    this.#parentsOf(directory);
    const before = this.#base?.entries.get(directory);
    if (before?.type === 'directory') {
      this.#set(before);
      return;
    }
    this.#set(plainDirectory(directory, this.#options.nowSeconds));
  }

  #removeTree(path: ByteString): void {
    const known = this.#entries.get(path);
    this.#remove(path);
    if (known?.type !== 'directory') return;
    const [directory, name] = splitLast(path);
    this.#names ??= namesOf(this.#entries.keys());
    this.#names.get(directory)?.delete(name);
    for (const below of this.#names.get(path) ?? []) this.#removeTree(`${path}/${below}`);
    this.#names.delete(path);
  }

  #remove(path: ByteString): void {
    this.#touched.add(path);
    this.#entries.delete(path);
  }

  #isUnchanged(): boolean {
    const before = this.#base?.entries;
    if (before?.size !== this.#entries.size) return false;
    for (const [path, entry] of this.#entries) {
      const old = before.get(path);
      if (old === entry) continue;
      if (old === undefined || !isSame(old, entry)) return false;
    }
    return true;
  }
}

const zeros = Buffer.alloc(64 << 10);

const nothing = {
  entries: 0,
  files: 0,
  liveBytes: 0,
  written: 0,
  changed: false,
  untouched: true,
  plain: false,
  compacted: false,
  delta: undefined,
} as const;

function namesOf(paths: Iterable<ByteString>): Map<ByteString, Set<ByteString>> {
  const names = new Map<ByteString, Set<ByteString>>();
  for (const path of paths) addName(names, path);
  return names;
}

function addName(names: Map<ByteString, Set<ByteString>>, path: ByteString): void {
  const [directory, name] = splitLast(path);
  const known = names.get(directory);
  if (known === undefined) names.set(directory, new Set([name]));
  else known.add(name);
}

const contentOf = ({ size, offset, hash }: KeptEntry) => ({ size, offset, hash });

function isSame(a: KeptEntry, b: KeptEntry): boolean {
  return (
    a.type === b.type &&
    a.mode === b.mode &&
    a.hash === b.hash &&
    a.mtimeSeconds === b.mtimeSeconds &&
    a.mtimeNanoseconds === b.mtimeNanoseconds &&
    a.linkPath === b.linkPath &&
    a.deviceMajor === b.deviceMajor &&
    a.deviceMinor === b.deviceMinor &&
    JSON.stringify(a.xattrs) === JSON.stringify(b.xattrs)
  );
}

function writeAt(fd: number, bytes: Buffer, offset: number): void {
  for (let at = 0; at < bytes.length; ) {
    const rest = bytes.subarray(at);
    const written = transfer(NR.pwrite64, fd, rest, rest.length, offset + at);
    if (written < 0) {
      const reason = reasonOfErrno(errnoName(-written));
      throw systemError(`the context cannot be kept: ${reason}`, { cause: new SysError('pwrite', -written) });
    }
    at += written;
  }
}
