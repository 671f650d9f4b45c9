/**
 * A directory of the client (fsutil's DiffCopy) as a tar: the client lists everything, we ask for the contents of files
 * in that order. A tar, because unpacking one into a root that nothing escapes from is there already.
 */
import { dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { byteString, type EntryType } from '#pkg/archive/entry.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import type { Call, Metadata } from '#pkg/grpc/client.ts';
import type { MessageOf } from '#pkg/protobuf/protobuf.ts';
import type { Session } from './session.ts';
import { goMode, packetTypes, receiveFiles, type packet, type stat } from './session-methods.ts';

export interface FilesWanted {
  /** `context`, `dockerfile`, or a named context. */
  readonly name: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Links of these paths are followed: what they lead to comes too. */
  readonly follow: readonly string[];
}

type Stat = MessageOf<typeof stat>;
type Packet = MessageOf<typeof packet>;

/** So many bytes of files are asked for at once; a larger file is asked for alone. */
const AHEAD_BYTES = 4 * 1024 * 1024;
const AHEAD_FILES = 64;
const ENTRIES_MAX = 5_000_000;

/** The tar, as it comes. Errors: not-found for a directory that the client does not share; unavailable; data-loss. */
export async function* clientFiles(
  session: Session,
  wanted: FilesWanted,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  using call = await session.call(receiveFiles, { metadata: metadataOf(wanted), signal });
  const receiver = new Receiver(call);
  for await (const message of call.answers()) {
    receiver.take(message);
    yield* receiver.ready();
    await receiver.ask();
    if (receiver.peerEnded) break;
  }
  if (!receiver.complete) throw dataLoss('the client ended before all of its files had come');
  yield endOfArchive;
  await call.end();
}

function metadataOf({ name, include, exclude, follow }: FilesWanted): Metadata {
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
  /** What came of it so far and was not passed on. */
  readonly chunks: Uint8Array[];
  asked: boolean;
  headSent: boolean;
  sent: number;
  done: boolean;
}

class Receiver {
  readonly #call: Call<typeof packet, typeof packet>;
  /** Files that are listed and not yet passed on, in order. */
  readonly #queue: Pending[] = [];
  readonly #byId = new Map<number, Pending>();
  #next = 0;
  #listed = false;
  #askedAll = 0;
  #asked = 0;
  #askedBytes = 0;
  #ended = false;
  peerEnded = false;

  constructor(call: Call<typeof packet, typeof packet>) {
    this.#call = call;
  }

  get complete(): boolean {
    return this.#listed && this.#queue.length === 0;
  }

  take(message: Packet): void {
    switch (message.type) {
      case packetTypes.stat:
        if (message.stat === undefined) this.#listed = true;
        else this.#list(message.stat);
        break;
      case packetTypes.data: {
        const file = this.#byId.get(message.id);
        if (file === undefined || !file.asked)
          throw dataLoss(`contents of file ${message.id}, which was not asked for`);
        if (message.data.length === 0) this.#finish(file);
        else file.chunks.push(message.data);
        break;
      }
      case packetTypes.end:
        this.peerEnded = true;
        break;
      case packetTypes.error:
        throw invalidParameter(`the client cannot send its files: ${Buffer.from(message.data).toString()}`);
      default:
        throw dataLoss(`a packet of unknown kind ${message.type}`);
    }
  }

  #list(stat: Stat): void {
    if (this.#listed || this.#next >= ENTRIES_MAX) throw dataLoss('more files than can be');
    const id = this.#next++;
    const isFile = typeOf(stat) === 'file';
    const pending = { stat, id, chunks: [], asked: false, headSent: false, sent: 0, done: !isFile || stat.size === 0 };
    this.#queue.push(pending);
    if (isFile && stat.size > 0) this.#byId.set(id, pending);
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
      const file = this.#queue[0];
      if (file === undefined) return;
      if (!file.headSent) {
        const head = headOf(file.stat);
        if (head !== undefined) yield head;
        file.headSent = true;
      }
      for (const chunk of file.chunks.splice(0)) {
        file.sent += chunk.length;
        if (file.sent > file.stat.size) throw dataLoss(`${file.stat.path} grew while it was sent`);
        yield chunk;
      }
      if (!file.done) return;
      if (typeOf(file.stat) === 'file') {
        if (file.sent < file.stat.size) throw dataLoss(`${file.stat.path} shrank while it was sent`);
        yield new Uint8Array(padding(file.stat.size));
      }
      this.#queue.shift();
      this.#askedAll = Math.max(0, this.#askedAll - 1);
    }
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

function typeOf({ mode, linkname }: Stat): EntryType | undefined {
  if ((mode & goMode.directory) !== 0) return 'directory';
  if ((mode & goMode.symlink) !== 0) return 'symlink';
  if ((mode & goMode.device) !== 0) return (mode & goMode.character) === 0 ? 'block' : 'character';
  if ((mode & goMode.pipe) !== 0) return 'fifo';
  if ((mode & (goMode.socket | goMode.irregular)) !== 0) return undefined;
  return linkname === '' ? 'file' : 'hardlink';
}

/** Undefined for what no archive holds: sockets. */
function headOf(stat: Stat): Uint8Array | undefined {
  const type = typeOf(stat);
  if (type === undefined) return undefined;
  if (stat.path === '' || stat.path.includes('\0') || stat.size < 0) throw dataLoss('an entry without a usable name');
  const special = { setuid: 0o4000, setgid: 0o2000, sticky: 0o1000 } as const;
  let mode = stat.mode & goMode.permissions;
  for (const [name, bit] of Object.entries(special)) {
    // The keys of `special` are keys of `goMode`.
    if ((stat.mode & goMode[name as keyof typeof special]) !== 0) mode |= bit;
  }
  return formatEntry(
    plainEntry(stat.path, {
      type,
      mode,
      uid: stat.uid,
      gid: stat.gid,
      size: type === 'file' ? stat.size : 0,
      mtimeSeconds: Number(stat.modTime / 1_000_000_000n),
      mtimeNanoseconds: Number(stat.modTime % 1_000_000_000n),
      linkPath: byteString(stat.linkname),
      deviceMajor: stat.devmajor,
      deviceMinor: stat.devminor,
      xattrs: stat.xattrs.size === 0 ? undefined : stat.xattrs,
    }),
  );
}
