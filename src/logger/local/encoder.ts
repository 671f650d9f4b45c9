/**
 * Raw output to records of the compact format. It works in the memory of the json-file encoder (input at the same place),
 * so that one chunk is read once whatever its log is.
 */
import { ok } from 'node:assert/strict';
import { type EncodeRequest, type Encoded, INPUT, INPUT_BYTES_MAX, OUTPUT } from '../json-file/encoder.ts';
import { PIECE_BYTES_READY } from '../json-file/format.ts';
import { HEADER_BYTES, lineEndAfter, OVERHEAD_BYTES, putRecord } from './format.ts';

const NEWLINE = 10;
const SECOND = 1_000_000_000n;

export class CompactEncoder {
  /** The same memory twice: a Buffer has the faster search, its slices are no copies. */
  readonly #u8: Uint8Array;
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #nowNs: () => bigint;
  #lastNs = 0n;

  constructor(memory: Uint8Array<ArrayBuffer>, nowNs: () => bigint) {
    this.#u8 = memory;
    this.#bytes = Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength);
    this.#view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    this.#nowNs = nowNs;
  }

  /** One record of the lines that are ready, or nothing when none is. */
  encode(request: EncodeRequest): Encoded {
    const { start, end } = request;
    ok(start >= INPUT && end >= start && end <= INPUT + INPUT_BYTES_MAX);
    const ready = request.final ? end : this.#ready(start, end);
    const limit = start + Math.max(request.outputBytesMax - OVERHEAD_BYTES, 1);
    let at = start;
    let lines = 0;
    while (at < ready && at < limit) {
      at = lineEndAfter(this.#bytes, at, end);
      lines++;
    }
    if (lines === 0) return { consumed: start, output: this.#u8.subarray(OUTPUT, OUTPUT), lines };
    const payloadBytes = at - start;
    const ns = this.#time(lines);
    const stream = request.stream === 'stderr' ? 2 : 1;
    putRecord(this.#view, OUTPUT, { payloadBytes, ns, sequence: request.sequence, lines, stream });
    this.#bytes.copyWithin(OUTPUT + HEADER_BYTES, start, at);
    return { consumed: at, output: this.#u8.subarray(OUTPUT, OUTPUT + payloadBytes + OVERHEAD_BYTES), lines };
  }

  #ready(start: number, end: number): number {
    const newline = this.#bytes.subarray(start, end).lastIndexOf(NEWLINE);
    return Math.max(start + newline + 1, end - PIECE_BYTES_READY + 1, start);
  }

  /** Past every time that was given out; a record's times lie in one second. */
  #time(lines: number): bigint {
    let now = this.#nowNs();
    if (now <= this.#lastNs) now = this.#lastNs + 1n;
    if ((now % SECOND) + BigInt(lines) >= SECOND) now += SECOND - (now % SECOND);
    this.#lastNs = now + BigInt(lines);
    return now;
  }
}
