/**
 * A file that is being written into the content store. Writing never blocks the caller's thread: a busy disk holds a
 * write back for hundreds of milliseconds, and the main thread has other requests to serve. Bytes are gathered into
 * large pieces, which the runtime's threads write one after the other.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { type BerthError, systemError } from '#errdefs/errors.ts';

const PIECE_BYTES = 1 << 20;
/** Of one file, not yet on its way to the disk; a reader that is faster waits. */
const QUEUED_BYTES_MAX = 8 << 20;
/** Free pieces that are kept. */
const FREE_MAX = 8;

const writeAt = promisify(fs.write) as (
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesWritten: number }>;

/** Pieces that are written are used again: fresh memory costs a page fault for every 4 kB. */
export class PieceBuffers {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
  }

  give(piece: Buffer): void {
    if (this.#free.length < FREE_MAX) this.#free.push(piece);
  }
}

export class Ingest implements AsyncDisposable {
  readonly path: string;
  readonly #buffers: PieceBuffers;
  #size = 0;
  #piece: Buffer | undefined;
  #pieceLength = 0;
  #sent = 0;
  #queued = 0;
  #fd = -1;
  /** Open, writes and close, each after the one before. */
  #last: Promise<void>;
  #failure: BerthError | undefined;
  #sealed = false;

  /** `continues`: bytes that the file, which is there, has already. */
  constructor(path: string, buffers: PieceBuffers, continues?: number) {
    this.path = path;
    this.#buffers = buffers;
    this.#size = continues ?? 0;
    this.#sent = this.#size;
    this.#last = this.#guard(async () => {
      const made = continues === undefined ? fs.constants.O_CREAT | fs.constants.O_EXCL : 0;
      const flags = made | fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW;
      const handle = await promisify(fs.open)(path, flags, 0o600);
      this.#fd = handle;
    });
  }

  get size(): number {
    return this.#size;
  }

  /** Takes a copy of the bytes. Call `room` before many more. Errors: system, also of earlier writes. */
  write(bytes: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#size += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      this.#piece ??= this.#buffers.take();
      const count = Math.min(PIECE_BYTES - this.#pieceLength, bytes.length - at);
      this.#piece.set(bytes.subarray(at, at + count), this.#pieceLength);
      this.#pieceLength += count;
      at += count;
      if (this.#pieceLength === PIECE_BYTES) this.#send();
    }
  }

  /** Resolves when there is room for more. Errors: system. */
  async room(): Promise<void> {
    if (this.#queued >= QUEUED_BYTES_MAX) await this.#last;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Everything is in the file and the descriptor is closed; no more writes. Errors: system. */
  async seal(): Promise<void> {
    if (!this.#sealed) {
      this.#sealed = true;
      this.#send();
      this.#enqueue(() => this.#close());
    }
    await this.#last;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Removes the file unless it was kept (renamed away) meanwhile. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#sealed = true;
    await this.#last;
    await this.#close();
    await fs.promises.rm(this.path, { force: true });
  }

  #send(): void {
    const piece = this.#piece;
    const length = this.#pieceLength;
    if (piece === undefined || length === 0) return;
    this.#piece = undefined;
    this.#pieceLength = 0;
    this.#queued += length;
    const position = this.#sent;
    this.#sent += length;
    this.#enqueue(async () => {
      for (let done = 0; done < length; ) {
        const { bytesWritten } = await writeAt(this.#fd, piece, done, length - done, position + done);
        done += bytesWritten;
      }
      this.#queued -= length;
      this.#buffers.give(piece);
    });
  }

  #enqueue(work: () => Promise<void>): void {
    const before = this.#last;
    this.#last = this.#guard(async () => {
      await before;
      if (this.#failure === undefined) await work();
    });
  }

  /** A failure is kept for whoever asks next; the chain itself never rejects. */
  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failure ??= explain(error);
    }
  }

  async #close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) await promisify(fs.close)(fd);
  }
}

function explain(error: unknown): BerthError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const why = code === 'ENOSPC' ? 'no space left on device' : code;
  return systemError(`Cannot write to the content store: ${why}`, { cause: error });
}
