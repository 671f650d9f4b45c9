/**
 * A directory of the client (fsutil's DiffCopy) as a tar: the client lists everything, we ask for the contents of files
 * in that order. Where an earlier listing is kept, the tar has the changes since (pkg/archive/kept), and only contents
 * that may differ are asked for: sizes and times tell, as with BuildKit, but for times without a fraction of a second,
 * which programs set: two files may well have the same.
 */
import { dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { byteString, type ByteString, type EntryType, type TarEntry } from '#pkg/archive/entry.ts';
import type { KeptEntry, KeptIndex } from '#pkg/archive/kept/kept-index.ts';
import { cleanPath, splitLast } from '#pkg/archive/names.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import type { Call, Metadata } from '#pkg/grpc/client.ts';
import { encode, type MessageOf } from '#pkg/protobuf/protobuf.ts';
import type { Session } from './session.ts';
import { goMode, packetTypes, receiveFiles, packet, type stat } from './session-methods.ts';

export interface FilesWanted {
  /** `context`, `dockerfile`, or a named context. */
  readonly name: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Links of these paths are followed: what they lead to comes too. */
  readonly follow: readonly string[];
}

export interface Taking {
  /** What is here of an earlier time: the tar has what has changed since. */
  readonly base: KeptIndex | undefined;
  /** Bytes that have come. */
  readonly told: (bytes: number) => void;
}

type Stat = MessageOf<typeof stat>;
type Packet = MessageOf<typeof packet>;

/** So many bytes of files are asked for at once; a larger file is asked for alone, and passed on while it comes. */
const AHEAD_BYTES = 4 * 1024 * 1024;
const AHEAD_FILES = 64;
const ENTRIES_MAX = 5_000_000;

/** The tar, as it comes. Errors: not-found for a directory that the client does not share; unavailable; data-loss. */
export async function* clientFiles(
  session: Session,
  wanted: FilesWanted,
  { base, told }: Taking,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  using call = await session.call(receiveFiles, { metadata: metadataOf(wanted), signal });
  const receiver = new Receiver(call, base);
  for await (const message of call.answers()) {
    told(sizeOf(message));
    receiver.take(message);
    yield* receiver.ready();
    await receiver.ask();
    if (receiver.peerEnded) break;
  }
  if (!receiver.complete) throw dataLoss('the client ended before all of its files had come');
  yield endOfArchive;
  await call.end();
}

export const refusalOf = ({ data }: Packet) =>
  invalidParameter(`the client cannot send its files: ${Buffer.from(data).toString()}`);

/** Of the message: what BuildKit counts as transferred. */
export function sizeOf(message: Packet): number {
  const { length } = message.data;
  if (length === 0) return encode(packet, message).length;
  const bytesOf = (value: number): number => Math.max(1, Math.ceil((32 - Math.clz32(value)) / 7));
  return encode(packet, { ...message, data: new Uint8Array(0) }).length + 1 + bytesOf(length) + length;
}

export function metadataOf({ name, include, exclude, follow }: FilesWanted): Metadata {
  const out: [string, string][] = [];
  for (const [key, values] of [
    ['dir-name', [name]],
    ['include-patterns', include],
    ['exclude-patterns', exclude],
    ['followpaths', follow],
  ] as const) {
    // Headers are ASCII; what is not goes as in an address, and is marked.
    const encode = values.some((value) => /[^\x20-\x7e]/.test(value));
    for (const value of values) out.push([key, encode ? queryEscape(value) : value]);
    if (encode) out.push([`${key}-encoded`, '1']);
  }
  return out;
}

/** Go's url.QueryEscape. */
const queryEscape = (text: string) =>
  encodeURIComponent(text)
    .replace(/%20/g, '+')
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

interface Pending {
  readonly stat: Stat;
  readonly id: number;
  readonly entry: TarEntry;
  /** What came of it so far and was not passed on. */
  readonly chunks: Uint8Array[];
  /** Bytes that have come. */
  come: number;
  asked: boolean;
  headSent: boolean;
  done: boolean;
}

class Receiver {
  readonly #call: Call<typeof packet, typeof packet>;
  readonly #base: KeptIndex | undefined;
  /** Paths that are listed; only with a base. */
  readonly #seen = new Set<ByteString>();
  /** Those of them whose content is not the kept one. */
  readonly #changed = new Set<ByteString>();
  /** What is listed, goes into the tar and is not yet passed on, in order; from `#first` on. */
  readonly #queue: Pending[] = [];
  #first = 0;
  readonly #byId = new Map<number, Pending>();
  #next = 0;
  #listed = false;
  #askedAll = 0;
  #asked = 0;
  #askedBytes = 0;
  #ended = false;
  peerEnded = false;

  constructor(call: Call<typeof packet, typeof packet>, base: KeptIndex | undefined) {
    this.#call = call;
    this.#base = base;
  }

  get complete(): boolean {
    return this.#listed && this.#first === this.#queue.length;
  }

  take(message: Packet): void {
    switch (message.type) {
      case packetTypes.stat:
        if (message.stat !== undefined) this.#list(message.stat);
        else this.#endOfList();
        break;
      case packetTypes.data: {
        const file = this.#byId.get(message.id);
        if (file === undefined || !file.asked)
          throw dataLoss(`contents of file ${message.id}, which was not asked for`);
        if (message.data.length === 0) this.#finish(file);
        else this.#content(file, message.data);
        break;
      }
      case packetTypes.end:
        this.peerEnded = true;
        break;
      case packetTypes.error:
        throw refusalOf(message);
      default:
        throw dataLoss(`a packet of unknown kind ${message.type}`);
    }
  }

  #list(stat: Stat): void {
    if (this.#listed || this.#next >= ENTRIES_MAX) throw dataLoss('more files than can be');
    const id = this.#next++;
    const entry = entryOf(stat);
    if (entry === undefined) return;
    const { path } = entry;
    if (this.#base !== undefined) this.#seen.add(path);
    const known = this.#base?.entries.get(path);
    const change = known === undefined ? 'all' : this.#changeOf(known, entry);
    if (change === 'none') return;
    if (change === 'attributes') {
      // A file that is a link to itself: its content stays.
      this.#put({ ...entry, type: 'hardlink', size: 0, linkPath: path }, stat, id);
      return;
    }
    if (this.#base !== undefined && entry.type === 'file') this.#changed.add(path);
    const pending = this.#put(entry, stat, id);
    if (entry.type !== 'file' || entry.size === 0) return;
    pending.done = false;
    this.#byId.set(id, pending);
  }

  #put(entry: TarEntry, stat: Stat, id: number): Pending {
    const pending = { stat, id, entry, chunks: [], come: 0, asked: false, headSent: false, done: true };
    this.#queue.push(pending);
    return pending;
  }

  #changeOf(known: KeptEntry, entry: TarEntry): 'none' | 'attributes' | 'all' {
    const { type } = entry;
    if (known.type !== type) return 'all';
    // Names of one file have its attributes.
    if (type === 'hardlink') {
      return known.linkPath === entry.linkPath && !this.#changed.has(entry.linkPath) ? 'none' : 'all';
    }
    const isSameTime = known.mtimeSeconds === entry.mtimeSeconds && known.mtimeNanoseconds === entry.mtimeNanoseconds;
    const isSame = isSameTime && known.mode === entry.mode && isSameXattrs(known, entry);
    if (type === 'file') {
      const isKept = known.size === entry.size && isSameTime && entry.mtimeNanoseconds !== 0;
      return !isKept ? 'all' : isSame ? 'none' : 'attributes';
    }
    const isSameNode =
      known.linkPath === entry.linkPath &&
      known.deviceMajor === entry.deviceMajor &&
      known.deviceMinor === entry.deviceMinor;
    return isSame && isSameNode ? 'none' : 'all';
  }

  #endOfList(): void {
    this.#listed = true;
    if (this.#base === undefined) return;
    for (const path of this.#base.entries.keys()) {
      if (this.#seen.has(path)) continue;
      const [directory] = splitLast(path);
      // What was in it goes with it.
      if (directory !== '' && !this.#seen.has(directory)) continue;
      this.#put({ ...plainEntry('x', { type: 'character' }), path }, nothing, -1);
    }
  }

  #content(file: Pending, data: Uint8Array): void {
    const { size } = file.stat;
    // What a file has got since it was listed comes next time; of a small one its true size can still be said.
    const room = Math.max(size, size <= AHEAD_BYTES ? AHEAD_BYTES : 0) - file.come;
    const piece = data.length <= room ? data : data.subarray(0, room);
    if (piece.length > 0) file.chunks.push(piece);
    file.come += piece.length;
  }

  #finish(file: Pending): void {
    file.done = true;
    this.#byId.delete(file.id);
    this.#asked--;
    this.#askedBytes -= file.stat.size;
  }

  /** Bytes that can be passed on. */
  *ready(): Generator<Uint8Array> {
    for (;;) {
      const file = this.#queue[this.#first];
      if (file === undefined) break;
      const { entry } = file;
      const isStreamed = entry.size > AHEAD_BYTES;
      if (!file.done && !isStreamed) break;
      const size = entry.type !== 'file' ? 0 : isStreamed ? entry.size : file.come;
      if (!file.headSent) yield formatEntry({ ...entry, size });
      file.headSent = true;
      yield* file.chunks.splice(0);
      if (!file.done) break;
      if (file.come < size) throw dataLoss(`${file.stat.path} shrank while it was sent`);
      yield new Uint8Array(padding(size));
      this.#first++;
    }
    if (this.#first < 4096) return;
    this.#queue.splice(0, this.#first);
    this.#askedAll = Math.max(0, this.#askedAll - this.#first);
    this.#first = 0;
  }

  /** Asks for further contents as far as there is room, and ends when all is there. */
  async ask(): Promise<void> {
    for (; this.#askedAll < this.#queue.length; this.#askedAll++) {
      const file = this.#queue[this.#askedAll];
      if (file === undefined || file.done || file.asked) continue;
      if (this.#asked >= AHEAD_FILES) return;
      if (this.#asked > 0 && this.#askedBytes + file.stat.size > AHEAD_BYTES) return;
      file.asked = true;
      this.#asked++;
      this.#askedBytes += file.stat.size;
      await this.#call.send({ type: packetTypes.request, id: file.id });
    }
    if (!this.complete || this.#ended) return;
    this.#ended = true;
    await this.#call.send({ type: packetTypes.end });
  }
}

const nothing: Stat = {
  path: '',
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  modTime: 0n,
  linkname: '',
  devmajor: 0,
  devminor: 0,
  xattrs: new Map(),
};

function isSameXattrs({ xattrs = [] }: KeptEntry, entry: TarEntry): boolean {
  const own = entry.xattrs ?? new Map<ByteString, Uint8Array>();
  if (xattrs.length !== own.size) return false;
  return xattrs.every(([name, value]) => {
    const bytes = own.get(name);
    return bytes !== undefined && Buffer.from(bytes).toString('base64') === value;
  });
}

export function typeOf({ mode, linkname }: Stat): EntryType | undefined {
  if ((mode & goMode.directory) !== 0) return 'directory';
  if ((mode & goMode.symlink) !== 0) return 'symlink';
  if ((mode & goMode.device) !== 0) return (mode & goMode.character) === 0 ? 'block' : 'character';
  if ((mode & goMode.pipe) !== 0) return 'fifo';
  if ((mode & (goMode.socket | goMode.irregular)) !== 0) return undefined;
  return linkname === '' ? 'file' : 'hardlink';
}

/** Undefined for what no context holds: sockets, and what overlay marks removed files with. */
function entryOf(stat: Stat): TarEntry | undefined {
  const type = typeOf(stat);
  if (type === undefined) return undefined;
  if (type === 'character' && stat.devmajor === 0 && stat.devminor === 0) return undefined;
  const path = cleanPath(byteString(stat.path));
  const linkPath = type === 'hardlink' ? cleanPath(byteString(stat.linkname)) : byteString(stat.linkname);
  if (path === undefined || path === '' || linkPath === undefined || stat.size < 0)
    throw dataLoss('an entry without a usable name');
  const special = { setuid: 0o4000, setgid: 0o2000, sticky: 0o1000 } as const;
  let mode = stat.mode & goMode.permissions;
  for (const [name, bit] of Object.entries(special)) {
    // The keys of `special` are keys of `goMode`.
    if ((stat.mode & goMode[name as keyof typeof special]) !== 0) mode |= bit;
  }
  const nanoseconds = Number(((stat.modTime % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  return {
    ...plainEntry('x', { type }),
    path,
    mode,
    uid: stat.uid,
    gid: stat.gid,
    size: type === 'file' ? stat.size : 0,
    mtimeSeconds: Number((stat.modTime - BigInt(nanoseconds)) / 1_000_000_000n),
    mtimeNanoseconds: nanoseconds,
    linkPath,
    deviceMajor: stat.devmajor,
    deviceMinor: stat.devminor,
    xattrs: stat.xattrs.size === 0 ? undefined : stat.xattrs,
  };
}
