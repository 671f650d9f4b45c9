/**
 * Places in one log file: where its last lines begin, and where the lines of a time begin. Both read a few blocks of a
 * file of any size. Times in a log only grow; after somebody has set the clock back the search by time may begin late.
 */
import { pread } from '#sys/files.ts';
import type { TailPlace } from '../rendering.ts';
import { parseEntry } from './decoder.ts';

const BLOCK = 64 * 1024;
/** A longer line is not ours. */
export const LINE_BYTES_MAX = 512 * 1024;
const NEWLINE = 10;

/** Where the last `lines` whole lines before `size` begin, and how many there are. */
export function tailOffset(fd: number, size: number, lines: number): TailPlace {
  if (lines === 0) return { offset: size, lines: 0, skip: 0 };
  const block = Buffer.allocUnsafe(BLOCK);
  let found = 0;
  // The newline that ends the last line does not begin one.
  let end = lastNewline(fd, size, block);
  if (end < 0) return { offset: 0, lines: 0, skip: 0 };
  while (end > 0) {
    const start = Math.max(0, end - BLOCK);
    const length = pread(fd, block, start, end - start);
    for (let at = block.lastIndexOf(NEWLINE, length - 1); at >= 0 && length > 0; ) {
      found++;
      if (found === lines) return { offset: start + at + 1, lines, skip: 0 };
      if (at === 0) break;
      at = block.lastIndexOf(NEWLINE, at - 1);
    }
    end = start;
  }
  return { offset: 0, lines: found + 1, skip: 0 };
}

/** Offset of the last newline before `size`, or -1. */
function lastNewline(fd: number, size: number, block: Buffer): number {
  for (let end = size; end > 0; end = Math.max(0, end - BLOCK)) {
    const start = Math.max(0, end - BLOCK);
    const length = pread(fd, block, start, end - start);
    const at = length === 0 ? -1 : block.lastIndexOf(NEWLINE, length - 1);
    if (at >= 0) return start + at;
  }
  return -1;
}

/** Offset of the first line that is not older than `ns` (or newer than it, with `after`), or `size`. */
export function timeOffset(fd: number, size: number, ns: bigint, after = false): number {
  let low = 0;
  let high = size;
  // Lines that begin before `low` are too old; at `high` a line begins that is not, or the file ends.
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    const line = lineFrom(fd, size, middle, low);
    if (line === undefined || line.start >= high) {
      // No line begins in the upper half: what is left is one line or damage, to be decided from its beginning.
      const first = lineFrom(fd, size, low, low);
      if (first === undefined || first.start >= high) return high;
      if (first.ns === undefined || before(first.ns, ns, after)) low = first.end;
      else return first.start;
      continue;
    }
    if (line.ns === undefined || before(line.ns, ns, after)) low = line.end;
    else high = line.start;
  }
  return high;
}

const before = (time: bigint, bound: bigint, after: boolean) => (after ? time <= bound : time < bound);

interface FoundLine {
  readonly start: number;
  readonly end: number;
  readonly ns: bigint | undefined;
}

/** The first whole line that begins at or after `from`; `lineStart` is an offset where one is known to begin. */
function lineFrom(fd: number, size: number, from: number, lineStart: number): FoundLine | undefined {
  let start = from;
  if (from !== lineStart) {
    // A line begins at `from` when the byte before it is a newline.
    const newline = nextNewline(fd, size, from - 1);
    if (newline < 0) return undefined;
    start = newline + 1;
  }
  const end = nextNewline(fd, size, start);
  if (end < 0) return undefined;
  const line = Buffer.allocUnsafe(Math.min(end - start, LINE_BYTES_MAX));
  pread(fd, line, start);
  return { start, end: end + 1, ns: timeOf(line) };
}

function nextNewline(fd: number, size: number, from: number): number {
  const block = Buffer.allocUnsafe(4096);
  for (let at = from; at < size; at += block.length) {
    const length = pread(fd, block, at);
    const found = block.subarray(0, length).indexOf(NEWLINE);
    if (found >= 0) return at + found;
    if (length < block.length) return -1;
  }
  return -1;
}

const ourEnd = /"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z"\}$/;

function timeOf(line: Buffer): bigint | undefined {
  const ours = ourEnd.exec(line.subarray(-64).toString('latin1'));
  if (ours !== null) return BigInt(Date.parse(`${ours[1]}Z`)) * 1_000_000n + BigInt(ours[2] ?? 0);
  const entry = parseEntry(line);
  return entry === undefined ? undefined : parseTime(entry.time);
}

/** Nanoseconds of an RFC 3339 time. */
export function parseTime(text: string): bigint | undefined {
  const match = /^(.{19})(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  const ms = match === null ? Number.NaN : Date.parse(`${match[1]}${match[3]}`);
  if (match === null || Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'));
}
