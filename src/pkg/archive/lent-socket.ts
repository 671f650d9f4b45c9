/**
 * A Worker's side of a socket that was lent to it: blocks until the peer reads or writes, or until somebody else on the
 * same process says, by an eventfd, that it shall stop.
 */
import { cancelled, invalidParameter } from '#errdefs/errors.ts';
import { waitFor } from '#sys/epoll.ts';
import { close, tryRead, tryWrite } from '#sys/files.ts';
import { EPOLL } from '#sys/numbers.ts';
import { BodyDecoder, BodyError, type BodyPosition } from '#pkg/http-body/body-decoder.ts';
import type { BodyRest } from '#pkg/http-body/lent.ts';

/** Owns both descriptors. */
export class LentSocket implements Disposable {
  readonly #fd: number;
  readonly #stop: number;

  constructor(fd: number, stop: number) {
    this.#fd = fd;
    this.#stop = stop;
  }

  #wait(events: number): void {
    if (!waitFor(this.#fd, events, this.#stop)) throw cancelled('copying was cancelled');
  }

  /** Waits for some bytes, and takes all that there are then; 0 at the end. */
  #read(buffer: Buffer): number {
    let length = 0;
    for (;;) {
      const more = tryRead(this.#fd, length === 0 ? buffer : buffer.subarray(length));
      if (more === undefined && length === 0) this.#wait(EPOLL.IN);
      else if (more === undefined || more === 0) return length;
      else {
        length += more;
        if (length > buffer.length / 2) return length;
      }
    }
  }

  /** Errors: SysError EPIPE when the peer has gone; cancelled. */
  writeAll(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const taken = tryWrite(this.#fd, at === 0 ? bytes : bytes.subarray(at));
      if (taken === undefined) this.#wait(EPOLL.OUT);
      else at += taken;
    }
  }

  /**
   * Reads to the body's end. `rest` is told, also after a failure, where that was. Clients send chunks of some kilobytes:
   * what is between their heads is moved together, so that few large pieces are taken.
   * Errors: invalid-parameter; those of `take`.
   */
  readBody(
    position: BodyPosition,
    buffer: Buffer,
    take: (bytes: Buffer) => void,
    rest: (rest: BodyRest) => void,
  ): void {
    let gathered = 0;
    let used = 0;
    let length = 0;
    const decoder = BodyDecoder.from(position, (bytes) => {
      const from = bytes.byteOffset - buffer.byteOffset;
      if (from !== gathered) buffer.copyWithin(gathered, from, from + bytes.length);
      gathered += bytes.length;
    });
    try {
      while (!decoder.done) {
        [gathered, used] = [0, 0];
        length = this.#read(buffer);
        if (length === 0) throw invalidParameter('unexpected EOF');
        used = decoder.feed(buffer.subarray(0, length));
        if (gathered > 0) take(buffer.subarray(0, gathered));
      }
    } catch (error) {
      throw error instanceof BodyError ? invalidParameter(error.message) : error;
    } finally {
      rest({ position: decoder.position, bytes: buffer.slice(used, length) });
    }
  }

  [Symbol.dispose](): void {
    close(this.#fd);
    close(this.#stop);
  }
}
