/**
 * What of a layer's tar its unpacked files do not say: headers, padding, the order. With it the tar is made again of the
 * files, byte for byte, so that its archive need not be kept.
 *
 * A record is blocks of compressed bytes, each behind its length, that make one stream of: length of what is written as
 * it stands, those bytes, length of a path (or `LAST`), the path, offset and length of what comes from that file.
 */
import * as fs from 'node:fs';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { dataLoss } from '#errdefs/errors.ts';
import { close, open, openat2, ownedFd } from '#sys/files.ts';
import { O, RESOLVE } from '#sys/numbers.ts';
import { kernelName } from './directories.ts';
import { bytesOf, type ByteString, type TarEntry, textOf } from './entry.ts';
import type { ArchiveResult, AssembleJob } from './jobs.ts';
import { cleanPath } from './names.ts';
import type { TarSink } from './parser.ts';

const BLOCK_BYTES = 1 << 20;
/** Of what the file says: a record is ours, but a disk may be damaged. */
const BLOCK_BYTES_MAX = 16 << 20;
const LAST = 0xffffffff;
const LENGTH_BYTES = 4;
const PIECE_BYTES = 1 << 20;

interface Content {
  readonly path: ByteString;
  readonly offset: number;
  length: number;
}

/** Stands between a parser and its sink. After each piece that the parser has taken, `pushed` is given the same piece. */
export class TarRecorder implements TarSink, Disposable {
  readonly #sink: TarSink;
  readonly #fd: number;
  #path: ByteString = '';
  /** Contents in the piece at hand: where they begin and end in it. */
  #ranges: { readonly start: number; readonly end: number; readonly offset: number; readonly path: ByteString }[] = [];
  /** What is to be written as it stands, before `#content`. */
  #literal: Buffer[] = [];
  #content: Content | undefined;
  #block: Buffer[] = [];
  #blockLength = 0;

  /** `file` does not exist yet. */
  constructor(sink: TarSink, file: string) {
    this.#sink = sink;
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
    this.#fd = fs.openSync(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  }

  entry(entry: TarEntry): void {
    this.#path = cleanPath(entry.path) ?? '';
    this.#sink.entry(entry);
  }

  data(chunk: Buffer, start: number, end: number, position: number): void {
    this.#ranges.push({ start, end, offset: position, path: this.#path });
    this.#sink.data(chunk, start, end, position);
  }

  end(): void {
    this.#sink.end();
  }

  pushed(piece: Buffer): void {
    let at = 0;
    for (const { start, end, offset, path } of this.#ranges) {
      this.#stands(piece.subarray(at, start));
      this.#from(path, offset, end - start);
      at = end;
    }
    this.#ranges = [];
    this.#stands(piece.subarray(at));
  }

  /** The tar is over. */
  finish(): void {
    this.#put();
    const last = Buffer.alloc(2 * LENGTH_BYTES);
    last.writeUInt32LE(LAST, LENGTH_BYTES);
    this.#add(last);
    this.#flush();
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.#fd);
  }

  #stands(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (this.#content !== undefined) this.#put();
    // A copy: the piece is its reader's again afterwards.
    this.#literal.push(Buffer.from(bytes));
  }

  #from(path: ByteString, offset: number, length: number): void {
    const before = this.#content;
    if (before !== undefined && before.path === path && before.offset + before.length === offset) {
      before.length += length;
      return;
    }
    if (before !== undefined) this.#put();
    this.#content = { path, offset, length };
  }

  #put(): void {
    const literal = Buffer.concat(this.#literal);
    const { path, offset, length } = this.#content ?? { path: '', offset: 0, length: 0 };
    this.#literal = [];
    this.#content = undefined;
    const name = bytesOf(path);
    const numbers = Buffer.alloc(16);
    numbers.writeBigUInt64LE(BigInt(offset), 0);
    numbers.writeBigUInt64LE(BigInt(length), 8);
    this.#add(lengthOf(literal), literal, lengthOf(name), name, numbers);
  }

  #add(...parts: readonly Buffer[]): void {
    for (const part of parts) {
      this.#block.push(part);
      this.#blockLength += part.length;
    }
    if (this.#blockLength >= BLOCK_BYTES) this.#flush();
  }

  #flush(): void {
    const packed = zstdCompressSync(Buffer.concat(this.#block));
    this.#block = [];
    this.#blockLength = 0;
    for (const bytes of [lengthOf(packed), packed]) {
      for (let at = 0; at < bytes.length; ) at += fs.writeSync(this.#fd, bytes, at);
    }
  }
}

function lengthOf(bytes: Buffer): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(bytes.length);
  return length;
}

/** Writes the tar that a record is of. `step` is called for every piece; it may throw to stop. The file is the caller's. */
export function assembleTar(job: AssembleJob, step: () => void): ArchiveResult {
  using opened = new DisposableStack();
  const root = opened.adopt(open(job.from, O.PATH | O.DIRECTORY | O.NOFOLLOW), close);
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
  const file = opened.adopt(fs.openSync(job.file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600), (fd) =>
    fs.closeSync(fd),
  );
  const hash = new Bun.CryptoHasher('sha256');
  const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  const counts = { entries: 0, bytes: 0 };
  let size = 0;
  const write = (bytes: Buffer): void => {
    step();
    hash.update(bytes);
    size += bytes.length;
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(file, bytes, at);
  };
  using record = new RecordReader(job.record);
  for (;;) {
    const literal = record.take(record.number());
    if (literal.length > 0) write(literal);
    const nameLength = record.number();
    if (nameLength === LAST) break;
    const path = record.take(nameLength).toString('latin1');
    const numbers = record.take(16);
    const [offset, length] = [Number(numbers.readBigUInt64LE(0)), Number(numbers.readBigUInt64LE(8))];
    if (length === 0) continue;
    counts.entries += 1;
    counts.bytes += length;
    // Links of the layer lead nowhere here: only what was unpacked at this very path counts.
    const resolve = RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS;
    using source = ownedFd(openat2(root, kernelName(path), { flags: O.RDONLY | O.NOFOLLOW | O.NONBLOCK, resolve }));
    for (let done = 0; done < length; ) {
      const count = fs.readSync(source.fd, buffer, 0, Math.min(PIECE_BYTES, length - done), offset + done);
      if (count === 0) throw dataLoss(`"${textOf(path)}" of a layer is shorter than it was`);
      write(buffer.subarray(0, count));
      done += count;
    }
  }
  const digest = `sha256:${hash.digest('hex')}`;
  return { compression: 'plain', blobDigest: digest, blobSize: size, diffId: digest, tarSize: size, counts };
}

class RecordReader implements Disposable {
  readonly #fd: number;
  #bytes = Buffer.alloc(0);

  constructor(file: string) {
    this.#fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  }

  number(): number {
    return this.take(LENGTH_BYTES).readUInt32LE();
  }

  take(length: number): Buffer {
    while (this.#bytes.length < length) this.#bytes = Buffer.concat([this.#bytes, this.#next()]);
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.#fd);
  }

  #next(): Buffer {
    const length = this.#read(LENGTH_BYTES).readUInt32LE();
    if (length > BLOCK_BYTES_MAX) throw damaged();
    try {
      return zstdDecompressSync(this.#read(length));
    } catch (cause) {
      throw damaged(cause);
    }
  }

  #read(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; ) {
      const count = fs.readSync(this.#fd, bytes, at, length - at, null);
      if (count === 0) throw damaged();
      at += count;
    }
    return bytes;
  }
}

const damaged = (cause?: unknown): Error => dataLoss('the record of a tar is damaged', { cause });
