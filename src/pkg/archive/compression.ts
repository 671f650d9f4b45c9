/**
 * Finds out how a stream is compressed and inflates it, synchronously and piece by piece, for use in a Worker.
 *
 * It drives the runtime's own zlib bindings below the stream layer (`_handle.writeSync`), which is 1.5 to 2 times as
 * fast as the documented ways because one output buffer is used over and over. That is not a documented interface: the
 * tests beside this file assert every property that is leaned on (several members in a row, truncation, damage).
 */
import zlib from 'node:zlib';
import { type BerthError, dataLoss, notImplemented } from '#errdefs/errors.ts';

export type Compression = 'plain' | 'gzip' | 'zstd';

/** So many bytes tell how a stream is compressed. */
export const MAGIC_BYTES = 6;

/** By the first bytes. Errors: not-implemented for formats that Docker reads and we do not. */
export function detectCompression(start: Uint8Array): Compression {
  const is = (...magic: number[]): boolean => magic.every((byte, i) => start[i] === byte);
  if (is(0x1f, 0x8b, 0x08)) return 'gzip';
  if (is(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  // Skippable frames may come first: 0x184D2A50 … 5F.
  if (((start[0] ?? 0) & 0xf0) === 0x50 && start[1] === 0x2a && start[2] === 0x4d && start[3] === 0x18) return 'zstd';
  if (is(0x42, 0x5a, 0x68)) throw notImplemented('bzip2 archives are not supported: use gzip, zstd or none');
  if (is(0xfd, 0x37, 0x7a, 0x58, 0x5a)) throw notImplemented('xz archives are not supported: use gzip, zstd or none');
  return 'plain';
}

export interface Inflater {
  /** Hands the inflated bytes to `output`, whose piece is only valid during the call. */
  push(input: Buffer): void;
  /** Errors: data-loss when the stream is not over. */
  finish(): void;
}

interface Handle {
  writeSync(
    flush: number,
    input: Buffer,
    inputAt: number,
    inputLength: number,
    output: Buffer,
    outputAt: number,
    outputLength: number,
  ): void;
  close(): void;
  onerror: (message: string, errno: number, code: string) => void;
}

interface Internals {
  readonly _handle: Handle;
  /** [room left in the output, bytes left in the input] after each write. */
  readonly _writeState: Uint32Array;
}

/** `buffer`: where inflated bytes are put; larger is faster up to some 1 MB. */
export function createInflater(kind: Compression, buffer: Buffer, output: (piece: Buffer) => void): Inflater {
  if (kind === 'plain') return { push: output, finish: () => undefined };
  const stream = kind === 'gzip' ? zlib.createGunzip() : zlib.createZstdDecompress();
  // as: see the head of this file; the test beside it fails when a new runtime has it no more.
  const { _handle: handle, _writeState: state } = stream as unknown as Internals;
  const [none, finish] = kind === 'gzip' ? [zlib.constants.Z_NO_FLUSH, zlib.constants.Z_FINISH] : [0, 2];
  let failure: BerthError | undefined;
  handle.onerror = (message) => {
    failure = dataLoss(`${kind}: ${message}`);
  };
  const step = (flush: number, input: Buffer, at: number, left: number): number => {
    handle.writeSync(flush, input, at, left, buffer, 0, buffer.length);
    if (failure !== undefined) throw failure;
    const produced = buffer.length - (state[0] ?? 0);
    if (produced > 0) output(buffer.subarray(0, produced));
    return state[1] ?? 0;
  };
  const empty = Buffer.alloc(0);
  let ended = false;
  return {
    push: (input) => {
      let left = input.length;
      while (!ended) {
        const before = left;
        left = step(none, input, input.length - left, left);
        // A full output buffer: there may be more without more input.
        if (left === 0 && state[0] !== 0) return;
        // Input is left over although there was room: the stream has ended. Zeros may follow (tape padding).
        ended = left > 0 && left === before && state[0] === buffer.length;
      }
      for (let i = input.length - left; i < input.length; i++) {
        if (input[i] !== 0) throw dataLoss(`${kind}: data after the end of the stream`);
      }
    },
    finish: () => {
      if (!ended) {
        do step(finish, empty, 0, 0);
        while (state[0] === 0);
      }
      handle.close();
    },
  };
}
