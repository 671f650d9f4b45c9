/**
 * One layer on its way through a Worker: every piece that arrives is hashed, written to the blob's file, inflated and
 * unpacked before the next is asked for, so that nothing is read twice and nothing large is held. Synchronous per piece;
 * several streams take turns in one Worker.
 */
import { algorithmOf } from '#content/digest.ts';
import * as fs from 'node:fs';
import { dataLoss, kindOf, messageOf, systemError } from '#errdefs/errors.ts';
import {
  type Compression,
  createInflater,
  detectCompression,
  type Inflater,
  MAGIC_BYTES,
} from '#pkg/archive/compression.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import { TarParser } from '#pkg/archive/parser.ts';
import { TarRecorder } from '#pkg/archive/tar-record.ts';
import { Unpacker } from '#pkg/archive/unpack.ts';
import { close, open, statfs } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import type { TransferJob } from './transfer-messages.ts';

const PIECE_BYTES = 256 << 10;
const OUTPUT_BYTES = 1 << 20;
/** So often the disk is looked at: what inflates to more than it has must not fill it to the last byte. */
const LOOK_EVERY_BYTES = 64 << 20;
const RESERVE_BYTES_MAX = 512 << 20;
const RESERVE_SHARE = 0.02;

/** Used by all streams of this thread, each only during a call. */
const input = Buffer.allocUnsafeSlow(PIECE_BYTES);
const output = Buffer.allocUnsafeSlow(OUTPUT_BYTES);

export class LayerStream implements Disposable {
  readonly #job: TransferJob;
  readonly #fd: number;
  readonly #root: number;
  readonly #unpacker: Unpacker | undefined;
  readonly #parser: TarParser | undefined;
  readonly #recorder: TarRecorder | undefined;
  readonly #blobHash: Bun.CryptoHasher;
  readonly #diffHash = new Bun.CryptoHasher('sha256');
  #compression: Compression | undefined;
  #inflater: Inflater | undefined;
  /** The first bytes, until they tell how the stream is compressed. */
  #head = Buffer.alloc(0);
  #size = 0;
  #tarSize = 0;
  #lookAt = LOOK_EVERY_BYTES;
  /** What is wrong with the content. Told when the digest is right: that of another blob says nothing. */
  #wrong: Error | undefined;

  constructor(job: TransferJob) {
    this.#job = job;
    const { target, blob } = job;
    this.#blobHash = new Bun.CryptoHasher(algorithmOf(blob.digest));
    this.#fd = fs.openSync(job.file, fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW, 0o600);
    try {
      // What lies behind the part that counts was never asked for.
      fs.ftruncateSync(this.#fd, job.have);
      this.#root = target === undefined ? -1 : open(target.path, O.PATH | O.DIRECTORY | O.NOFOLLOW);
    } catch (error) {
      fs.closeSync(this.#fd);
      throw error;
    }
    if (target !== undefined) {
      this.#unpacker = new Unpacker({ root: this.#root, whiteouts: target.whiteouts });
      this.#recorder = target.record === undefined ? undefined : new TarRecorder(this.#unpacker, target.record);
      this.#parser = new TarParser(this.#recorder ?? this.#unpacker);
    }
  }

  /** Bytes that have been taken. */
  get size(): number {
    return this.#size;
  }

  /** Takes what the file has already; `step` between the pieces. */
  async replay(step: () => Promise<void>): Promise<void> {
    while (this.#size < this.#job.have) {
      const length = fs.readSync(this.#fd, input, 0, Math.min(PIECE_BYTES, this.#job.have - this.#size), this.#size);
      if (length === 0)
        throw dataLoss(`the part of blob ${this.#job.blob.digest} that was here is shorter than it was`);
      this.#take(input.subarray(0, length));
      await step();
    }
  }

  /** Errors: data-loss (longer than its descriptor says, not compressed well, no tar), system (disk full). */
  push(piece: Uint8Array): void {
    const { blob } = this.#job;
    if (this.#size + piece.length > blob.size) {
      throw dataLoss(`blob ${blob.digest} is longer than the ${blob.size} bytes that its descriptor says`);
    }
    for (let at = 0; at < piece.length; at += PIECE_BYTES) {
      // A copy: the file calls want memory that does not move.
      const part = input.subarray(0, Math.min(PIECE_BYTES, piece.length - at));
      part.set(piece.subarray(at, at + part.length));
      writeWhole(this.#fd, part, this.#size);
      this.#take(part);
    }
  }

  /** Everything has come. Errors: data-loss when it is not what its digest says. */
  finish(): ArchiveResult {
    const { blob } = this.#job;
    const blobDigest = `${algorithmOf(blob.digest)}:${this.#blobHash.digest('hex')}`;
    if (this.#size !== blob.size || blobDigest !== blob.digest) {
      throw dataLoss(`filesystem layer verification failed for digest ${blob.digest}: what came is ${blobDigest}`);
    }
    if (this.#wrong !== undefined) throw this.#wrong;
    if (this.#inflater === undefined) this.#begin();
    this.#inflater?.finish();
    this.#parser?.finish();
    this.#unpacker?.finish();
    this.#recorder?.finish();
    return {
      compression: this.#compression ?? 'plain',
      blobDigest,
      blobSize: this.#size,
      diffId: `sha256:${this.#diffHash.digest('hex')}`,
      tarSize: this.#tarSize,
      counts: this.#unpacker?.counts ?? { entries: 0, bytes: 0 },
    };
  }

  [Symbol.dispose](): void {
    this.#recorder?.[Symbol.dispose]();
    this.#unpacker?.[Symbol.dispose]();
    if (this.#root >= 0) close(this.#root);
    fs.closeSync(this.#fd);
  }

  #take(part: Buffer): void {
    this.#size += part.length;
    this.#blobHash.update(part);
    if (this.#wrong !== undefined) return;
    try {
      this.#unpack(part);
    } catch (error) {
      // A full disk is no matter of the content.
      if (kindOf(error) === 'system') throw error;
      this.#wrong = error instanceof Error ? error : dataLoss(messageOf(error));
    }
  }

  #unpack(part: Buffer): void {
    if (this.#inflater !== undefined) {
      this.#inflater.push(part);
      return;
    }
    this.#head = Buffer.concat([this.#head, part]);
    if (this.#head.length >= MAGIC_BYTES) this.#begin();
  }

  #begin(): void {
    const head = this.#head;
    this.#head = Buffer.alloc(0);
    this.#compression = detectCompression(head);
    this.#inflater = createInflater(this.#compression, output, (piece) => this.#inflated(piece));
    // In memory of its own that does not move, whatever its length.
    for (let at = 0; at < head.length; at += PIECE_BYTES) {
      const part = Buffer.allocUnsafeSlow(Math.max(4096, Math.min(PIECE_BYTES, head.length - at)));
      const length = head.copy(part, 0, at, Math.min(head.length, at + PIECE_BYTES));
      this.#inflater.push(part.subarray(0, length));
    }
  }

  #inflated(piece: Buffer): void {
    this.#diffHash.update(piece);
    this.#tarSize += piece.length;
    if (this.#tarSize >= this.#lookAt) {
      this.#lookAt += LOOK_EVERY_BYTES;
      this.#lookAtDisk();
    }
    this.#parser?.push(piece);
    this.#recorder?.pushed(piece);
  }

  #lookAtDisk(): void {
    const { target, blob } = this.#job;
    if (target === undefined) return;
    const { blockBytes, blocks, blocksAvailable } = statfs(target.path);
    const reserve = Math.min(RESERVE_BYTES_MAX, Number(blocks) * blockBytes * RESERVE_SHARE);
    if (Number(blocksAvailable) * blockBytes > reserve + LOOK_EVERY_BYTES) return;
    throw systemError(
      `no space left on device: layer ${blob.digest} has unpacked ${this.#tarSize} bytes of ${this.#size} and goes on`,
    );
  }
}

function writeWhole(fd: number, bytes: Buffer, position: number): void {
  try {
    for (let done = 0; done < bytes.length; ) {
      done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    throw systemError(`Cannot write to the content store: ${code === 'ENOSPC' ? 'no space left on device' : code}`, {
      cause: error,
    });
  }
}
