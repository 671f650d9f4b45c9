/**
 * Finds out how a stream is compressed and inflates it, synchronously and piece by piece, for use in a Worker.
 * xz and bzip2 are inflated by code of ours (xz.ts, bzip2.ts).
 *
 * For the others it drives the runtime's own zlib bindings below the stream layer (`_handle.writeSync`), which is 1.5 to 2 times as
 * fast as the documented ways because one output buffer is used over and over. That is not a documented interface: the
 * tests beside this file assert every property that is leaned on (several members in a row, truncation, damage).
 */
import zlib from 'node:zlib';
import { type BerthError, dataLoss } from '#errdefs/errors.ts';
import { Bzip2Inflater } from './bzip2.ts';
import { XzInflater } from './xz.ts';

export type Compression = 'plain' | 'gzip' | 'zstd' | 'xz' | 'bzip2';

/** So many bytes tell how a stream is compressed. */
export const MAGIC_BYTES = 6;

/** By the first bytes. */
export function detectCompression(start: Uint8Array): Compression {
  const is = (...magic: number[]): boolean => magic.every((byte, i) => start[i] === byte);
  if (is(0x1f, 0x8b, 0x08)) return 'gzip';
  if (is(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  // Skippable frames may come first: 0x184D2A50 … 5F.
  if (((start[0] ?? 0) & 0xf0) === 0x50 && start[1] === 0x2a && start[2] === 0x4d && start[3] === 0x18) return 'zstd';
  if (is(0x42, 0x5a, 0x68)) return 'bzip2';
  if (is(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz';
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
  if (kind === 'xz' || kind === 'bzip2') return ours(kind, output);
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

function ours(kind: 'xz' | 'bzip2', output: (piece: Buffer) => void): Inflater {
  const give = (piece: Uint8Array): void => output(Buffer.from(piece.buffer, piece.byteOffset, piece.length));
  const inflater = kind === 'xz' ? new XzInflater(give) : new Bzip2Inflater(give);
  return { push: (input) => inflater.push(input), finish: () => inflater.finish() };
}
