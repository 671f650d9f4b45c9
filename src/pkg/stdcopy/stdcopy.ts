/**
 * Docker's multiplexed stream: each frame is a stream number, three zero bytes, a big-endian length and the payload.
 * Used by attach, exec and logs of containers without a tty. A frame of 32,760 or 262,144 bytes is fast for the stock
 * CLI, 64 KiB and 16 KiB are not (its copy buffer is 32 KiB + 8).
 */
import { ok } from '#errdefs/assert.ts';
import { invalidParameter } from '#errdefs/errors.ts';

export const FRAME_HEADER_BYTES = 8;
/** Largest payload that we put in one frame. */
export const FRAME_PAYLOAD_BYTES_MAX = 262_144;

export const streamNumbers = { stdin: 0, stdout: 1, stderr: 2, systemError: 3 } as const;
export type StreamNumber = (typeof streamNumbers)[keyof typeof streamNumbers];

/** Writes the eight bytes of a frame's header at `offset`. */
export function putFrameHeader(target: Uint8Array, offset: number, stream: StreamNumber, payloadBytes: number): void {
  ok(offset + FRAME_HEADER_BYTES <= target.length);
  target[offset] = stream;
  target[offset + 1] = 0;
  target[offset + 2] = 0;
  target[offset + 3] = 0;
  target[offset + 4] = payloadBytes >>> 24;
  target[offset + 5] = payloadBytes >>> 16;
  target[offset + 6] = payloadBytes >>> 8;
  target[offset + 7] = payloadBytes;
}

/** A payload with its header in front, in one array. */
export function frame(stream: StreamNumber, payload: Uint8Array): Uint8Array {
  const framed = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  putFrameHeader(framed, 0, stream, payload.length);
  framed.set(payload, FRAME_HEADER_BYTES);
  return framed;
}

/**
 * Takes a multiplexed stream apart, whatever pieces it comes in. Payloads are handed on as they arrive, never collected,
 * so memory does not depend on the frame size; the bytes given to `sink` are valid during the call only.
 */
export class Demultiplexer {
  readonly #sink: (stream: StreamNumber, bytes: Uint8Array) => void;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #stream: StreamNumber = streamNumbers.stdout;
  #left = 0;

  constructor(sink: (stream: StreamNumber, bytes: Uint8Array) => void) {
    this.#sink = sink;
  }

  /** Errors: invalid-parameter for a stream number that Docker does not have. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left === 0) {
        const taken = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, chunk.length - at);
        this.#header.set(chunk.subarray(at, at + taken), this.#headerBytes);
        this.#headerBytes += taken;
        at += taken;
        if (this.#headerBytes < FRAME_HEADER_BYTES) return;
        this.#headerBytes = 0;
        this.#stream = streamOf(this.#header[0] ?? 0);
        this.#left = new DataView(this.#header.buffer).getUint32(4);
        continue;
      }
      const end = Math.min(at + this.#left, chunk.length);
      this.#sink(this.#stream, chunk.subarray(at, end));
      this.#left -= end - at;
      at = end;
    }
  }

  /** True when the stream may end here: neither a header nor a payload is half there. */
  get complete(): boolean {
    return this.#left === 0 && this.#headerBytes === 0;
  }
}

function streamOf(number: number): StreamNumber {
  if (number === 0 || number === 1 || number === 2 || number === 3) return number;
  throw invalidParameter(`Unrecognized input header: ${number}`);
}
