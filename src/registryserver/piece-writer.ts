/**
 * Writes a body to a file and hashes it on the way. Small chunks are gathered into large pieces; while the runtime's
 * threads write one piece, the next is received and hashed, so that a slow disk holds back its own client only.
 */
import type * as fs from 'node:fs';

const PIECE_BYTES = 1 << 20;

export interface Hasher {
  update(bytes: Uint8Array): unknown;
}

export class PieceWriter {
  readonly #handle: fs.promises.FileHandle;
  readonly #hasher: Hasher | undefined;
  readonly #written: (end: number) => void;
  #free: Buffer[] = [];
  #piece: Buffer | undefined;
  #length = 0;
  #position: number;
  #pending: Promise<void> = Promise.resolve();

  /** `position`: where the file ends now. Without a hasher nothing is hashed. `written` hears where the file ends. */
  constructor(
    handle: fs.promises.FileHandle,
    position: number,
    hasher: Hasher | undefined,
    written: (end: number) => void = () => undefined,
  ) {
    this.#handle = handle;
    this.#position = position;
    this.#hasher = hasher;
    this.#written = written;
  }

  /** Bytes that are in the file for certain once `flush` has returned. */
  get end(): number {
    return this.#position + this.#length;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hasher?.update(bytes);
    for (let at = 0; at < bytes.length; ) {
      this.#piece ??= this.#free.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
      const count = Math.min(PIECE_BYTES - this.#length, bytes.length - at);
      this.#piece.set(bytes.subarray(at, at + count), this.#length);
      this.#length += count;
      at += count;
      if (this.#length === PIECE_BYTES) await this.#send();
    }
  }

  /** Errors: those of the file system. */
  async flush(): Promise<void> {
    await this.#send();
    await this.#pending;
  }

  /** At most one piece is on its way while the next one is filled. */
  async #send(): Promise<void> {
    await this.#pending;
    const piece = this.#piece;
    const length = this.#length;
    if (piece === undefined || length === 0) return;
    const position = this.#position;
    this.#piece = undefined;
    this.#length = 0;
    this.#position += length;
    this.#pending = this.#writeAll(piece, length, position);
    // Whoever waits next sees the failure; until then it is not unhandled.
    this.#pending.catch(() => undefined);
  }

  async #writeAll(piece: Buffer, length: number, position: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const { bytesWritten } = await this.#handle.write(piece, done, length - done, position + done);
      done += bytesWritten;
    }
    this.#free.push(piece);
    this.#written(position + length);
  }
}
