/**
 * A context as a tar: all that is wanted of it, or what has changed since an account of what was sent. Changes are told
 * as entries; a file whose content is as before is a hard link to itself, and what is gone is a device 0:0
 * (pkg/archive/kept/receive.ts). Files are read while they are sent.
 */
import * as fs from 'node:fs';
import { kernelName } from '#pkg/archive/directories.ts';
import { byteString, type ByteString, bytesOf, type EntryType, textOf } from '#pkg/archive/entry.ts';
import { type ListedLooks, type ListFilter, listTree, statusOfPath } from '#pkg/archive/list-tree.ts';
import { xattrsOf } from '#pkg/archive/pack.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import { type Account, HASH_BYTES, metaOf, type SentFile } from './sent-account.ts';

export interface ContextPart {
  readonly directory: string;
  /** In front of every name, with its slash. */
  readonly prefix: string;
  readonly filter: { wants(path: string): boolean; enters(path: string): boolean };
}

export interface ContextFiles {
  readonly texts: readonly (readonly [name: string, text: string])[];
  readonly parts: readonly ContextPart[];
}

const kinds: Readonly<Record<number, EntryType>> = {
  [fs.constants.S_IFREG]: 'file',
  [fs.constants.S_IFDIR]: 'directory',
  [fs.constants.S_IFLNK]: 'symlink',
  [fs.constants.S_IFCHR]: 'character',
  [fs.constants.S_IFBLK]: 'block',
  [fs.constants.S_IFIFO]: 'fifo',
};

const PIECE_BYTES = 1 << 20;
/** A file that was changed this shortly before it was looked at may change again without looking different. */
const UNSURE_NS = 100_000_000n;

/** Sends once; `sent` is what the account says afterwards. */
export class ContextSender {
  readonly #files: ContextFiles;
  readonly #before: ReadonlyMap<ByteString, SentFile>;
  readonly #started = BigInt(Date.now()) * 1_000_000n;
  readonly sent = new Map<ByteString, SentFile>();
  /** First name of each file with several names. */
  readonly #linked = new Map<string, ByteString>();
  #piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  #used = 0;

  constructor(files: ContextFiles, account: Account | undefined) {
    this.#files = files;
    this.#before = account?.files ?? new Map();
  }

  *pieces(): Generator<Uint8Array> {
    for (const [name, text] of this.#files.texts) {
      const bytes = Buffer.from(text);
      yield* this.#add(formatEntry(plainEntry(name, { type: 'file', size: bytes.length })));
      yield* this.#add(bytes);
      yield* this.#add(Buffer.alloc(padding(bytes.length)));
      this.sent.set(byteString(name), { looks: '', meta: '', hash: '' });
    }
    const lists = this.#files.parts.map(list);
    yield* this.#gone(lists);
    for (const { files, prefix, base } of lists) {
      for (const { path, looks } of files) {
        const before = this.#before.get(prefix + path);
        if (before !== undefined && isAsBefore(looks, before)) this.sent.set(prefix + path, before);
        else yield* this.#file(prefix + path, base + path, looks, before);
      }
    }
    yield* this.#add(endOfArchive);
    if (this.#used > 0) yield this.#piece.subarray(0, this.#used);
  }

  /** What was not looked at stays as it was sent, unless it has become the larger part. */
  *#gone(lists: readonly FileList[]): Generator<Uint8Array> {
    if (this.#before.size === 0) return;
    const now = new Set(this.sent.keys());
    let known = 0;
    for (const { files, prefix } of lists) {
      for (const { path } of files) {
        now.add(prefix + path);
        if (this.#before.has(prefix + path)) known += 1;
      }
    }
    // Mostly nothing is.
    if (known + this.sent.size === this.#before.size) return;
    const elsewhere = new Map<ByteString, SentFile>();
    for (const [path, before] of this.#before) {
      if (now.has(path)) continue;
      if (this.#isLookedAt(path)) yield* this.#remove(path);
      else elsewhere.set(path, before);
    }
    if (elsewhere.size > now.size + 1000) for (const path of elsewhere.keys()) yield* this.#remove(path);
    else for (const [path, before] of elsewhere) this.sent.set(path, before);
  }

  *#remove(path: ByteString): Generator<Uint8Array> {
    yield* this.#add(formatEntry({ ...plainEntry('', { type: 'character' }), path }));
  }

  #isLookedAt(path: ByteString): boolean {
    const part = this.#files.parts.find(({ prefix }) => prefix !== '' && path.startsWith(byteString(prefix)));
    const own = part ?? this.#files.parts.find(({ prefix }) => prefix === '');
    return own?.filter.wants(textOf(path.slice(own.prefix.length))) ?? true;
  }

  /** `full`: where it lies. */
  *#file(path: ByteString, full: ByteString, now: ListedLooks, before: SentFile | undefined): Generator<Uint8Array> {
    const type = kinds[now.mode & fs.constants.S_IFMT];
    // Sockets mean nothing elsewhere.
    if (type === undefined) return;
    const looks = type === 'directory' ? metaOf(now) : now.looks;
    const hasNames = now.nlink > 1 && type !== 'directory';
    const status = unlessGone(() => statusOfPath(kernelName(full)));
    if (status === undefined) return;
    const entry = {
      ...plainEntry('', { type, mode: now.mode & 0o7777, mtimeSeconds: now.mtimeSeconds }),
      path,
      xattrs: xattrsOf(kernelName(full)),
      deviceMajor: status.rdevMajor,
      deviceMinor: status.rdevMinor,
    };
    const isSure = status.ctimeNs + UNSURE_NS < this.#started;
    const inode = `${status.dev}:${status.ino}`;
    const account = { looks: isSure || type === 'directory' ? looks : '', meta: metaOf(now) };
    const first = hasNames ? this.#linked.get(inode) : undefined;
    if (hasNames && first === undefined) this.#linked.set(inode, path);
    if (before !== undefined && before.looks === looks) {
      this.sent.set(path, before);
      return;
    }
    if (first !== undefined) {
      yield* this.#add(formatEntry({ ...entry, type: 'hardlink', linkPath: first, xattrs: undefined }));
      this.sent.set(path, { ...account, hash: '' });
      return;
    }
    if (type !== 'file') {
      yield* this.#add(
        formatEntry(type === 'symlink' ? { ...entry, linkPath: byteString(fs.readlinkSync(bytesOf(full))) } : entry),
      );
      this.sent.set(path, { ...account, hash: '' });
      return;
    }
    yield* this.#content({ path, full }, entry, account, before);
  }

  *#content(
    file: { readonly path: ByteString; readonly full: ByteString },
    entry: Parameters<typeof formatEntry>[0],
    account: Pick<SentFile, 'looks' | 'meta'>,
    before: SentFile | undefined,
  ): Generator<Uint8Array> {
    const { path } = file;
    const flags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
    const fd = unlessGone(() => fs.openSync(bytesOf(file.full), flags));
    if (fd === undefined) return;
    try {
      if (before !== undefined && before.hash !== '' && entry.xattrs === undefined) {
        const hash = hashOf(fd);
        if (hash === before.hash) {
          if (before.meta !== account.meta) {
            yield* this.#add(formatEntry({ ...entry, type: 'hardlink', linkPath: path }));
          }
          this.sent.set(path, { ...account, hash });
          return;
        }
      }
      const { size } = fs.fstatSync(fd);
      yield* this.#add(formatEntry({ ...entry, size }));
      const hash = new Bun.CryptoHasher('sha256');
      let left = size;
      for (let at = 0; left > 0; ) {
        if (this.#used === PIECE_BYTES) yield this.#swap();
        const count = fs.readSync(fd, this.#piece, this.#used, Math.min(left, PIECE_BYTES - this.#used), at);
        if (count === 0) break;
        hash.update(this.#piece.subarray(this.#used, this.#used + count));
        this.#used += count;
        left -= count;
        at += count;
      }
      // It has become shorter while it was read: the account is not sure of it.
      const isSure = left === 0;
      for (; left > 0; left -= Math.min(left, PIECE_BYTES)) yield* this.#add(Buffer.alloc(Math.min(left, PIECE_BYTES)));
      yield* this.#add(Buffer.alloc(padding(size)));
      const digest = isSure ? hash.digest().toString('latin1', 0, HASH_BYTES) : '';
      this.sent.set(path, { ...account, looks: isSure ? account.looks : '', hash: digest });
    } finally {
      fs.closeSync(fd);
    }
  }

  *#add(bytes: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#used === PIECE_BYTES) yield this.#swap();
      const count = Math.min(bytes.length - at, PIECE_BYTES - this.#used);
      this.#piece.set(bytes.subarray(at, at + count), this.#used);
      this.#used += count;
      at += count;
    }
  }

  #swap(): Buffer {
    const full = this.#piece;
    this.#piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
    this.#used = 0;
    return full;
  }
}

/** Of a directory other changes do not count; a file with several names is looked at again. */
function isAsBefore(now: ListedLooks, before: SentFile): boolean {
  if ((now.mode & fs.constants.S_IFMT) === fs.constants.S_IFDIR) return before.looks === metaOf(now);
  return now.nlink === 1 && before.looks === now.looks;
}

function hashOf(fd: number): string {
  const hash = new Bun.CryptoHasher('sha256');
  for (let at = 0; ; ) {
    const count = fs.readSync(fd, memory, 0, memory.length, at);
    if (count === 0) return hash.digest().toString('latin1', 0, HASH_BYTES);
    hash.update(memory.subarray(0, count));
    at += count;
  }
}

const memory = Buffer.allocUnsafeSlow(256 << 10);

/** Files of a part: its directory is `base`, with a slash. */
interface FileList {
  readonly files: { readonly path: ByteString; readonly looks: ListedLooks }[];
  readonly prefix: ByteString;
  readonly base: ByteString;
}

function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function list({ directory, prefix, filter }: ContextPart): FileList {
  const files: FileList['files'] = [];
  const root = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  const textFilter: ListFilter = {
    wants: (path) => filter.wants(textOf(path)),
    enters: (path) => filter.enters(textOf(path)),
  };
  try {
    listTree(root, textFilter, (path, looks) => files.push({ path, looks }));
  } finally {
    fs.closeSync(root);
  }
  return { files, prefix: byteString(prefix), base: byteString(directory.endsWith('/') ? directory : `${directory}/`) };
}
