/**
 * The compact format of the local driver, and of the cache of drivers that send output elsewhere: records of raw output as
 * it was read, each of whole lines of one stream.
 *
 *     0  "BLg1"            4  bytes of payload (u32)
 *     8  seconds (u32)    12  nanoseconds (u32) of the first line; each further line is one nanosecond later
 *    16  number of the first line since the log's beginning (f64)
 *    24  lines (u32)      28  stream (u8: 1 stdout, 2 stderr)   29  three zero bytes
 *    32  payload, then the bytes of the whole record (u32), by which a reader goes backwards
 *
 * Lines are cut as in json-file: at a newline, or after 16,384 bytes (a character is never cut). A line without its
 * newline is therefore a piece that the next record of the stream goes on with, or the unterminated end of the output.
 */
import { characterBytes, PIECE_BYTES } from '../json-file/format.ts';

export const HEADER_BYTES = 32;
export const TRAILER_BYTES = 4;
export const OVERHEAD_BYTES = HEADER_BYTES + TRAILER_BYTES;
/** The longest record that is ours: an unfinished line and one read. */
export const RECORD_BYTES_MAX = 256 * 1024 + 20 * 1024 + OVERHEAD_BYTES;

const MAGIC = 0x31674c42;
const NEWLINE = 10;
const SECOND = 1_000_000_000n;

export interface RecordHeader {
  readonly payloadBytes: number;
  /** Of the first line. */
  readonly ns: bigint;
  readonly sequence: number;
  readonly lines: number;
  readonly stream: 1 | 2;
}

export function putRecord(view: DataView, at: number, header: RecordHeader): void {
  view.setUint32(at, MAGIC, true);
  view.setUint32(at + 4, header.payloadBytes, true);
  view.setUint32(at + 8, Number(header.ns / SECOND), true);
  view.setUint32(at + 12, Number(header.ns % SECOND), true);
  view.setFloat64(at + 16, header.sequence, true);
  view.setUint32(at + 24, header.lines, true);
  view.setUint32(at + 28, header.stream, true);
  view.setUint32(at + HEADER_BYTES + header.payloadBytes, header.payloadBytes + OVERHEAD_BYTES, true);
}

/** Bytes of the record that begins at `at`; 0 when none does; -1 when the view ends before it does. */
export function recordBytes(view: DataView, at: number, end: number): number {
  if (at + 8 > end) return -1;
  if (view.getUint32(at, true) !== MAGIC) return 0;
  const bytes = view.getUint32(at + 4, true) + OVERHEAD_BYTES;
  if (bytes > RECORD_BYTES_MAX) return 0;
  if (at + bytes > end) return -1;
  return view.getUint32(at + bytes - TRAILER_BYTES, true) === bytes ? bytes : 0;
}

/** Preconditions: a record's header lies there whole. */
export function headerAt(view: DataView, at: number): RecordHeader {
  return {
    payloadBytes: view.getUint32(at + 4, true),
    ns: BigInt(view.getUint32(at + 8, true)) * SECOND + BigInt(view.getUint32(at + 12, true)),
    sequence: view.getFloat64(at + 16, true),
    lines: view.getUint32(at + 24, true),
    stream: view.getUint8(at + 28) === 2 ? 2 : 1,
  };
}

/** Where a record may begin after damage, or `end`. */
export function nextRecord(bytes: Buffer, from: number, end: number): number {
  const found = bytes.subarray(0, end).indexOf('BLg1', from, 'latin1');
  return found < 0 ? end : found;
}

/** The end of the line or piece that begins at `at`: after its newline, or where it is cut. */
export function lineEndAfter(bytes: Buffer, at: number, end: number): number {
  const newline = bytes.indexOf(NEWLINE, at);
  if (newline >= 0 && newline < end && newline - at < PIECE_BYTES) return newline + 1;
  if (end - at <= PIECE_BYTES) return end;
  const cut = at + PIECE_BYTES;
  for (let back = 1; back <= 3; back++) {
    const length = characterBytes(bytes, cut - back);
    if (length > back) return Math.min(cut - back + length, end);
  }
  return cut;
}
