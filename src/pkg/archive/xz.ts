/**
 * Inflates the .xz file format piece by piece: streams with their headers, blocks of LZMA2 (lzma.ts), checks, index and
 * footer, each compared with what came. The format tells every length before it is needed, so the reader below is a
 * generator that asks for so many bytes at a time. Filters but LZMA2 (delta, and those for machine code, which no
 * packer uses unasked) are refused by name.
 */
import zlib from 'node:zlib';
import { type BerthError, dataLoss, notImplemented } from '#errdefs/errors.ts';
import { ByteQueue } from './byte-queue.ts';
import { Crc64 } from './crc64.ts';
import { Lzma2Decoder } from './lzma.ts';

const MAGIC = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]);
const FOOTER_MAGIC = 0x59_5a;
const LZMA2 = 0x21;
/** `xz -9` has 64 MiB. A larger one is memory that whoever packed takes from whoever unpacks. */
const DICTIONARY_BYTES_MAX = 256 << 20;
const INTEGER_BYTES_MAX = 9;

const corrupt = (what: string): BerthError => dataLoss(`xz: ${what}`);

interface Check {
  update(bytes: Uint8Array): void;
  digest(): Buffer;
}

/** By the number in the stream's flags. */
function checkOf(kind: number): (() => Check) | undefined {
  if (kind === 0) return () => ({ update: () => undefined, digest: () => Buffer.alloc(0) });
  if (kind === 1) return crc32Check;
  if (kind === 4) return () => new Crc64();
  if (kind === 10) {
    return () => {
      const hash = new Bun.CryptoHasher('sha256');
      return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest() };
    };
  }
  return undefined;
}

function crc32Check(): Check {
  let value = 0;
  return {
    update: (bytes) => {
      value = zlib.crc32(bytes, value);
    },
    digest: () => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(value);
      return bytes;
    },
  };
}

/** What the index must say of the blocks that came: told by a digest, since there may be many. */
class BlockList {
  count = 0;
  readonly #hash = new Bun.CryptoHasher('sha256');

  add(unpadded: number, uncompressed: number): void {
    this.count += 1;
    this.#hash.update(`${unpadded},${uncompressed};`);
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

type Wants<T> = Generator<number, T, Buffer>;

export class XzInflater {
  readonly #queue = new ByteQueue();
  readonly #reader: Wants<void>;
  readonly #output: (piece: Uint8Array) => void;
  #wanted: number;
  /** Between streams nothing more need come. */
  #complete = false;
  #decoder: { readonly dictionaryBytes: number; readonly lzma: Lzma2Decoder } | undefined;

  constructor(output: (piece: Uint8Array) => void) {
    this.#output = output;
    this.#reader = this.#streams();
    this.#wanted = this.#reader.next().value ?? 0;
  }

  push(input: Uint8Array): void {
    this.#queue.push(input);
    while (this.#queue.length >= this.#wanted) {
      // What is taken lies in the queue's memory until the next push.
      this.#wanted = this.#reader.next(this.#queue.take(this.#wanted)).value ?? 0;
    }
  }

  finish(): void {
    if (!this.#complete || this.#queue.length > 0) throw corrupt('unexpected end of file');
  }

  /** Streams may follow each other, with zeros in between, four at a time. */
  *#streams(): Wants<void> {
    let start = Buffer.from(yield MAGIC.length);
    for (;;) {
      this.#complete = false;
      if (!start.equals(MAGIC)) throw corrupt('data after the end of the stream');
      yield* this.#stream();
      this.#complete = true;
      let next: Buffer;
      do next = yield 4;
      while (next.readUInt32LE() === 0);
      this.#complete = false;
      const first = Buffer.from(next);
      start = Buffer.concat([first, yield MAGIC.length - first.length]);
    }
  }

  *#stream(): Wants<void> {
    const flags = Buffer.from(yield 2);
    if ((yield 4).readUInt32LE() !== zlib.crc32(flags)) throw corrupt('the header is corrupt');
    const kind = flags[1] ?? 0;
    const check = checkOf(kind);
    if (flags[0] !== 0 || check === undefined) throw notImplemented(`xz archives with check ${kind} are not supported`);
    const blocks = new BlockList();
    for (;;) {
      const first = Buffer.from(yield 1);
      if (first[0] === 0) {
        yield* indexAndFooter(blocks, flags, first);
        return;
      }
      yield* this.#block(first, check(), blocks);
    }
  }

  *#block(first: Buffer, check: Check, blocks: BlockList): Wants<void> {
    const headerBytes = ((first[0] ?? 0) + 1) * 4;
    const header = Buffer.concat([first, yield headerBytes - 1]);
    const { dictionaryBytes, compressedBytes, uncompressedBytes } = blockHeader(header);
    if (this.#decoder?.dictionaryBytes !== dictionaryBytes) this.#decoder = undefined;
    this.#decoder = { dictionaryBytes, lzma: this.#decoder?.lzma ?? new Lzma2Decoder(dictionaryBytes) };
    this.#decoder.lzma.begin();
    const sizes = yield* this.#chunks(this.#decoder.lzma, check);
    if ((compressedBytes ?? sizes.compressed) !== sizes.compressed) throw corrupt('a block is corrupt');
    if ((uncompressedBytes ?? sizes.uncompressed) !== sizes.uncompressed) throw corrupt('a block is corrupt');
    const padding = -sizes.compressed & 3;
    if (padding > 0 && (yield padding).some((byte) => byte !== 0)) throw corrupt('a block is corrupt');
    const expected = check.digest();
    if (expected.length > 0 && !expected.equals(yield expected.length)) throw corrupt('incorrect data check');
    blocks.add(headerBytes + sizes.compressed + expected.length, sizes.uncompressed);
  }

  *#chunks(lzma: Lzma2Decoder, check: Check): Wants<{ compressed: number; uncompressed: number }> {
    let compressed = 0;
    let uncompressed = 0;
    for (;;) {
      const control = (yield 1)[0] ?? 0;
      compressed += 1;
      if (control === 0) return { compressed, uncompressed };
      let piece: Uint8Array;
      if (control < 0x80) {
        if (control > 2) throw corrupt('the compressed data is corrupt');
        const length = (yield 2).readUInt16BE() + 1;
        piece = lzma.stored(yield length, control === 1);
        compressed += 2 + length;
      } else {
        const reset = (control >> 5) & 3;
        const head = yield reset >= 2 ? 5 : 4;
        const length = ((control & 31) << 16) + head.readUInt16BE(0) + 1;
        const packed = head.readUInt16BE(2) + 1;
        const properties = reset >= 2 ? head[4] : undefined;
        compressed += head.length + packed;
        piece = lzma.compressed(yield packed, length, { dictionary: reset === 3, state: reset > 0, properties });
      }
      uncompressed += piece.length;
      check.update(piece);
      this.#output(piece);
    }
  }
}

function blockHeader(header: Buffer): {
  dictionaryBytes: number;
  compressedBytes: number | undefined;
  uncompressedBytes: number | undefined;
} {
  const end = header.length - 4;
  if (header.readUInt32LE(end) !== zlib.crc32(header.subarray(0, end))) throw corrupt('a block’s header is corrupt');
  const flags = header[1] ?? 0;
  if ((flags & 0x3c) !== 0) throw notImplemented('xz archives with these block flags are not supported');
  let at = 2;
  const integer = (): number => {
    let value = 0;
    for (let i = 0; i < INTEGER_BYTES_MAX; i++) {
      const byte = at < end ? header[at++] : undefined;
      if (byte === undefined) throw corrupt('a block’s header is corrupt');
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw corrupt('a block’s header is corrupt');
  };
  const compressedBytes = (flags & 0x40) === 0 ? undefined : integer();
  const uncompressedBytes = (flags & 0x80) === 0 ? undefined : integer();
  const filters = (flags & 3) + 1;
  const filter = integer();
  if (filters !== 1 || filter !== LZMA2)
    throw notImplemented('xz archives with filters other than LZMA2 are not supported');
  if (integer() !== 1) throw corrupt('a block’s header is corrupt');
  const bits = header[at++] ?? 0;
  if (bits > 40 || header.subarray(at, end).some((byte) => byte !== 0)) throw corrupt('a block’s header is corrupt');
  const dictionaryBytes = (2 | (bits & 1)) * 2 ** ((bits >> 1) + 11);
  if (dictionaryBytes > DICTIONARY_BYTES_MAX) {
    throw notImplemented(
      `xz archives with a dictionary of more than ${DICTIONARY_BYTES_MAX >> 20} MiB are not supported`,
    );
  }
  return { dictionaryBytes, compressedBytes, uncompressedBytes };
}

function* indexAndFooter(blocks: BlockList, flags: Buffer, first: Buffer): Wants<void> {
  let crc = zlib.crc32(first);
  let bytes = 1;
  const take = function* (count: number): Wants<Buffer> {
    const taken = yield count;
    crc = zlib.crc32(taken, crc);
    bytes += count;
    return taken;
  };
  const integer = function* (): Wants<number> {
    let value = 0;
    for (let i = 0; i < INTEGER_BYTES_MAX; i++) {
      const [byte = 0] = yield* take(1);
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw corrupt('the index is corrupt');
  };
  const told = new BlockList();
  const count = yield* integer();
  if (count !== blocks.count) throw corrupt('the index is corrupt');
  for (let i = 0; i < count; i++) told.add(yield* integer(), yield* integer());
  const padding = -bytes & 3;
  if (padding > 0 && (yield* take(padding)).some((byte) => byte !== 0)) throw corrupt('the index is corrupt');
  const sum = crc;
  if ((yield 4).readUInt32LE() !== sum || told.digest() !== blocks.digest()) throw corrupt('the index is corrupt');
  const footer = yield 12;
  const sound =
    footer.readUInt32LE() === zlib.crc32(footer.subarray(4, 10)) &&
    (footer.readUInt32LE(4) + 1) * 4 === bytes + 4 &&
    footer.readUInt16BE(8) === flags.readUInt16BE() &&
    footer.readUInt16BE(10) === FOOTER_MAGIC;
  if (!sound) throw corrupt('the footer is corrupt');
}
