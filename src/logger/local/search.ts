/** Places in one file of the compact format: where its last lines begin, where a time begins, what was numbered last. */
import { pread } from '#sys/files.ts';
import type { TailPlace } from '../rendering.ts';
import { HEADER_BYTES, headerAt, nextRecord, OVERHEAD_BYTES, type RecordHeader, recordBytes } from './format.ts';
import { RECORD_BYTES_MAX, TRAILER_BYTES } from './format.ts';

const BLOCK = 512 * 1024;

export interface FoundRecord {
  readonly offset: number;
  readonly bytes: number;
  readonly header: RecordHeader;
}

/** The record that ends at `end`; undefined when none does (damage, or the beginning). */
export function recordBefore(fd: number, end: number): FoundRecord | undefined {
  if (end < OVERHEAD_BYTES) return undefined;
  const trailer = Buffer.alloc(TRAILER_BYTES);
  pread(fd, trailer, end - TRAILER_BYTES);
  const bytes = trailer.readUInt32LE(0);
  if (bytes < OVERHEAD_BYTES || bytes > Math.min(RECORD_BYTES_MAX, end)) return undefined;
  const head = Buffer.alloc(HEADER_BYTES);
  pread(fd, head, end - bytes);
  const view = new DataView(head.buffer, head.byteOffset, HEADER_BYTES);
  const header = headerAt(view, 0);
  // A view of the header only: "not whole" says that the magic and the length are right.
  if (recordBytes(view, 0, HEADER_BYTES) !== -1 || header.payloadBytes + OVERHEAD_BYTES !== bytes) return undefined;
  return { offset: end - bytes, bytes, header };
}

/** All whole records from the beginning, in blocks. */
export function* records(fd: number, size: number): Generator<FoundRecord> {
  const block = Buffer.allocUnsafe(BLOCK);
  const view = new DataView(block.buffer, block.byteOffset, BLOCK);
  for (let offset = 0; offset < size; ) {
    const length = pread(fd, block, offset, Math.min(BLOCK, size - offset));
    let at = 0;
    while (at < length) {
      const bytes = recordBytes(view, at, length);
      if (bytes < 0) break;
      if (bytes === 0) at = nextRecord(block, at + 1, length);
      else {
        yield { offset: offset + at, bytes, header: headerAt(view, at) };
        at += bytes;
      }
    }
    if (at === 0) return;
    offset += at;
  }
}

/** Where the last `lines` lines begin, and how many there are. */
export function tailOffset(fd: number, size: number, lines: number): TailPlace {
  if (lines === 0) return { offset: size, lines: 0, skip: 0 };
  let found = 0;
  let end = size;
  while (end > 0) {
    const record = recordBefore(fd, end);
    if (record === undefined) return tailOfDamaged(fd, size, lines);
    found += record.header.lines;
    if (found >= lines) return { offset: record.offset, lines, skip: found - lines };
    end = record.offset;
  }
  return { offset: 0, lines: found, skip: 0 };
}

function tailOfDamaged(fd: number, size: number, lines: number): TailPlace {
  const last: FoundRecord[] = [];
  let held = 0;
  for (const record of records(fd, size)) {
    last.push(record);
    held += record.header.lines;
    while (last[0] !== undefined && held - last[0].header.lines >= lines) held -= last.shift()?.header.lines ?? 0;
  }
  return { offset: last[0]?.offset ?? size, lines: Math.min(held, lines), skip: Math.max(0, held - lines) };
}

/** Offset of the first record with a line that is not older than `ns` (or newer than it, with `after`), or `size`. */
export function timeOffset(fd: number, size: number, ns: bigint, after = false): number {
  for (const { offset, header } of records(fd, size)) {
    const last = header.ns + BigInt(header.lines - 1);
    // A record that holds lines of both sides is read; the decoder leaves those out that are not wanted.
    if (after ? header.ns > ns : last >= ns) return offset;
  }
  return size;
}

/** The number that the next line will have. */
export function nextSequence(fd: number, size: number): number {
  const last = recordBefore(fd, size);
  return last === undefined ? 0 : last.header.sequence + last.header.lines;
}
