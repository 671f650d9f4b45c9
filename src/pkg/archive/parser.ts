/**
 * Reads a tar archive that is pushed in pieces of any size and tells a sink its members. Understands v7, ustar, PAX
 * (records and sparse formats), GNU (long names, base-256 numbers, sparse files). Archives are hostile input: every
 * size is bounded before memory is taken for it, and nothing is believed without its checksum.
 *
 * Behaves as Go's archive/tar, which Docker reads images with, wherever writers disagree: links, directories and
 * devices have no contents whatever their size says, one zero block at the very end is enough, bytes after the end are
 * passed over, and global PAX headers are read but not applied.
 */
import { type BerthError, dataLoss } from '#errdefs/errors.ts';
import type { ByteString, EntryType, Extent, TarEntry } from './entry.ts';
import { BLOCK, invalidHeader, isZeroBlock, number, parseHeader, type RawHeader } from './header.ts';
import { type PaxRecord, parsePax, paxInteger, paxTime } from './pax.ts';
import { checkMap, MapReader, oldEntries, oldExtension, paxMap } from './sparse.ts';

export interface TarSink {
  entry(entry: TarEntry): void;
  /** Bytes [start, end) of `chunk` belong at `position` of the entry's file. The chunk is only valid during the call. */
  data(chunk: Buffer, start: number, end: number, position: number): void;
  /** The entry is complete. */
  end(): void;
}

/** Of one PAX header or GNU long name. Go's reader allows 1 MiB as well. */
const META_BYTES_MAX = 1 << 20;

type State = 'header' | 'meta' | 'sparse-extension' | 'sparse-map' | 'data' | 'after-end';

const XATTR_PREFIX = 'SCHILY.xattr.';
const types: Readonly<Record<string, EntryType>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

export class TarParser {
  readonly #sink: TarSink;
  readonly #partial = Buffer.alloc(BLOCK);
  #partialLength = 0;
  #state: State = 'header';
  #zeroBlocks = 0;

  /** Contents of the meta entry being collected. */
  #meta: Buffer = Buffer.alloc(0);
  #metaLength = 0;
  #metaFlag = '';

  /** What the meta entries before a header said about it. */
  #pax: PaxRecord[] = [];
  #longName: ByteString | undefined;
  #longLink: ByteString | undefined;
  #pendingMeta = false;

  /** The entry whose map or contents are being read. */
  #header: RawHeader | undefined;
  #extents: Extent[] = [];
  #mapReader: MapReader | undefined;
  #stored = 0;
  #padding = 0;
  #position = 0;
  #extent = 0;
  #sparse: readonly Extent[] | undefined;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** Takes the next piece. Errors: data-loss for what is no tar; whatever the sink throws. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === 'after-end') return;
      if (this.#state === 'data') at = this.#takeData(chunk, at);
      else if (this.#state === 'meta') at = this.#takeMeta(chunk, at);
      else if (this.#partialLength === 0 && chunk.length - at >= BLOCK) {
        this.#takeBlock(chunk, at);
        at += BLOCK;
      } else {
        const count = Math.min(BLOCK - this.#partialLength, chunk.length - at);
        this.#partial.set(chunk.subarray(at, at + count), this.#partialLength);
        this.#partialLength += count;
        at += count;
        if (this.#partialLength < BLOCK) return;
        this.#partialLength = 0;
        this.#takeBlock(this.#partial, 0);
      }
    }
  }

  /** The archive's bytes are over. Errors: data-loss when that is in the middle of something. */
  finish(): void {
    if (this.#state === 'after-end') return;
    // The last entry's padding may be missing: its contents are whole.
    const whole = this.#state === 'header' || (this.#state === 'data' && this.#stored === 0);
    if (!whole || this.#partialLength > 0 || this.#pendingMeta) throw unexpectedEnd();
  }

  #takeBlock(block: Buffer, at: number): void {
    if (this.#state === 'sparse-extension') {
      if (!oldExtension(block, at, this.#extents)) this.#beginOldSparse();
      return;
    }
    if (this.#state === 'sparse-map') {
      this.#takeMapBlock(block, at);
      return;
    }
    if (block[at] === 0 && isZeroBlock(block, at)) {
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks === 2) {
        if (this.#pendingMeta) throw unexpectedEnd();
        this.#state = 'after-end';
      }
      return;
    }
    if (this.#zeroBlocks > 0) throw invalidHeader('data after a zero block');
    this.#takeHeader(block, at);
  }

  #takeHeader(block: Buffer, at: number): void {
    const header = parseHeader(block, at);
    const flag = String.fromCharCode(header.flag);
    if (header.size < 0) throw invalidHeader('size');
    if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') {
      if (header.size > META_BYTES_MAX) throw invalidHeader(`header of ${header.size} bytes`);
      this.#metaFlag = flag;
      this.#meta = Buffer.alloc(header.size);
      this.#metaLength = 0;
      this.#padding = pad(header.size);
      this.#pendingMeta = this.#pendingMeta || flag !== 'g';
      if (header.size === 0) this.#endMeta();
      else this.#state = 'meta';
      return;
    }
    this.#header = header;
    if (flag === 'S') {
      this.#extents = [];
      oldEntries(block, at + 386, 4, this.#extents);
      // The real size stands beside the map; `size` is that of the stored data.
      this.#stored = this.#paxSize(header.size);
      this.#header = { ...header, size: number(block, at + 483, 12, 'realsize') };
      if (block[at + 482] === 0) this.#beginOldSparse();
      else this.#state = 'sparse-extension';
      return;
    }
    this.#beginEntry(header);
  }

  #takeMeta(chunk: Buffer, at: number): number {
    const count = Math.min(this.#meta.length - this.#metaLength, chunk.length - at);
    this.#meta.set(chunk.subarray(at, at + count), this.#metaLength);
    this.#metaLength += count;
    let next = at + count;
    if (this.#metaLength < this.#meta.length) return next;
    const skipped = Math.min(this.#padding, chunk.length - next);
    this.#padding -= skipped;
    next += skipped;
    if (this.#padding === 0) this.#endMeta();
    return next;
  }

  #endMeta(): void {
    this.#state = 'header';
    const text = (): ByteString => {
      const end = this.#meta.indexOf(0);
      return this.#meta.toString('latin1', 0, end < 0 ? this.#meta.length : end);
    };
    if (this.#metaFlag === 'L') this.#longName = text();
    else if (this.#metaFlag === 'K') this.#longLink = text();
    else {
      const records = parsePax(this.#meta);
      if (this.#metaFlag === 'x') this.#pax = records;
    }
    this.#meta = Buffer.alloc(0);
  }

  #paxSize(size: number): number {
    const record = this.#pax.findLast((r) => r.key === 'size' && r.value.length > 0);
    const value = record === undefined ? size : paxInteger(record.value, 'size');
    if (value < 0) throw invalidHeader('size');
    return value;
  }

  #beginEntry(header: RawHeader): void {
    this.#stored = this.#paxSize(header.size);
    const pax = this.#pax;
    const value = (key: string): Buffer | undefined => pax.findLast((r) => r.key === key && r.value.length > 0)?.value;
    const real = value('GNU.sparse.realsize') ?? value('GNU.sparse.size');
    const size = real === undefined ? this.#stored : paxInteger(real, 'GNU.sparse.realsize');
    if (pax.length > 0 && value('GNU.sparse.major')?.toString('latin1') === '1') {
      if (value('GNU.sparse.minor')?.toString('latin1') !== '0') throw invalidHeader('sparse');
      this.#header = { ...header, size };
      this.#mapReader = new MapReader();
      // The map's blocks count as contents; the padding at the end is that of all of it.
      this.#padding = pad(this.#stored);
      this.#state = 'sparse-map';
      return;
    }
    const extents = pax.length > 0 ? paxMap(pax) : undefined;
    if (extents !== undefined) checkMap(extents, size, this.#stored);
    this.#begin({ ...header, size: extents === undefined ? this.#stored : size }, extents);
  }

  #beginOldSparse(): void {
    const header = this.#header;
    if (header === undefined) throw invalidHeader('sparse');
    checkMap(this.#extents, header.size, this.#stored);
    this.#begin(header, this.#extents);
  }

  #takeMapBlock(block: Buffer, at: number): void {
    this.#stored -= BLOCK;
    if (this.#stored < 0 || this.#header === undefined) throw invalidHeader('sparse');
    const extents = this.#mapReader?.take(block, at);
    if (extents === undefined) return;
    checkMap(extents, this.#header.size, this.#stored);
    const padding = this.#padding;
    this.#begin(this.#header, extents);
    if (this.#state === 'data') this.#padding = padding;
  }

  #begin(header: RawHeader, sparse: readonly Extent[] | undefined): void {
    const entry = this.#toEntry(header, sparse);
    this.#pax = [];
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#pendingMeta = false;
    this.#sparse = entry.sparse;
    this.#extent = 0;
    this.#position = entry.sparse?.[0]?.offset ?? 0;
    if (entry.type !== 'file') this.#stored = 0;
    this.#padding = pad(this.#stored);
    this.#state = 'data';
    this.#sink.entry(entry);
    if (this.#stored === 0) {
      this.#sink.end();
      if (this.#padding === 0) this.#state = 'header';
    }
  }

  #toEntry(header: RawHeader, sparse: readonly Extent[] | undefined): TarEntry {
    const flag = String.fromCharCode(header.flag);
    let path = this.#longName ?? header.name;
    let linkPath = this.#longLink ?? header.linkName;
    let { uid, gid } = header;
    let mtime = { seconds: header.mtime, nanoseconds: 0 };
    let xattrs: Map<ByteString, Uint8Array> | undefined;
    for (const { key, value } of this.#pax) {
      if (key.startsWith(XATTR_PREFIX)) {
        xattrs ??= new Map();
        xattrs.set(key.slice(XATTR_PREFIX.length), value);
      } else if (value.length === 0) continue;
      else if (key === 'path') path = paxName(value);
      else if (key === 'linkpath') linkPath = paxName(value);
      else if (key === 'uid') uid = paxInteger(value, key);
      else if (key === 'gid') gid = paxInteger(value, key);
      else if (key === 'mtime') mtime = paxTime(value, key);
    }
    if (sparse !== undefined) {
      const name = this.#pax.findLast((r) => r.key === 'GNU.sparse.name' && r.value.length > 0);
      if (name !== undefined) path = paxName(name.value);
    }
    let type = types[flag];
    if (type === undefined) throw dataLoss(`unhandled tar header type ${header.flag}`);
    // v7 has no directories: a name that ends in a slash is one.
    if (type === 'file' && path.endsWith('/')) type = 'directory';
    return {
      path,
      type,
      mode: header.mode & 0o7777,
      uid,
      gid,
      size: type === 'file' ? header.size : 0,
      mtimeSeconds: mtime.seconds,
      mtimeNanoseconds: mtime.nanoseconds,
      linkPath: type === 'symlink' || type === 'hardlink' ? linkPath : '',
      deviceMajor: header.deviceMajor,
      deviceMinor: header.deviceMinor,
      xattrs,
      sparse: type === 'file' ? sparse : undefined,
    };
  }

  #takeData(chunk: Buffer, from: number): number {
    let at = from;
    while (this.#stored > 0 && at < chunk.length) {
      const extent = this.#sparse?.[this.#extent];
      const room = extent === undefined ? this.#stored : extent.offset + extent.length - this.#position;
      if (room === 0) {
        this.#extent += 1;
        this.#position = this.#sparse?.[this.#extent]?.offset ?? 0;
        continue;
      }
      const count = Math.min(room, this.#stored, chunk.length - at);
      this.#sink.data(chunk, at, at + count, this.#position);
      this.#position += count;
      this.#stored -= count;
      at += count;
      if (this.#stored === 0) this.#sink.end();
    }
    if (this.#stored > 0) return at;
    const skipped = Math.min(this.#padding, chunk.length - at);
    this.#padding -= skipped;
    if (this.#padding === 0) this.#state = 'header';
    return at + skipped;
  }
}

const pad = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

function paxName(value: Buffer): ByteString {
  if (value.includes(0)) throw invalidHeader('PAX record');
  return value.toString('latin1');
}

const unexpectedEnd = (): BerthError => dataLoss('unexpected EOF');
