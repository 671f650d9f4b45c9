/**
 * From records of the compact format back to output. Where neither times nor frames a line are asked for, payloads are
 * copied as they are.
 */
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, putFrameHeader } from '#pkg/stdcopy/stdcopy.ts';
import { formatTime } from '../json-file/format.ts';
import type { Decoded, Rendering } from '../rendering.ts';
import { headerAt, HEADER_BYTES, lineEndAfter, nextRecord, type RecordHeader, recordBytes } from './format.ts';

export const BLOCK_BYTES = 512 * 1024;
const OUTPUT_BYTES = 1 << 20;
const TIME_BYTES = 31;

/** A record may hold lines on both sides of a bound. */
export interface CompactRendering extends Rendering {
  /** Inclusive; 0n: no bound. */
  readonly sinceNs: bigint;
  readonly untilNs: bigint;
  /** Before each line, after its time. */
  readonly prefix: Uint8Array;
  /** Lines that are left out at the beginning; counted down. */
  readonly skip: { lines: number };
}

export class CompactDecoder {
  readonly block = Buffer.alloc(BLOCK_BYTES);
  readonly #view = new DataView(this.block.buffer, this.block.byteOffset, BLOCK_BYTES);
  readonly #usual = Buffer.alloc(OUTPUT_BYTES);
  #out = this.#usual;
  #at = 0;
  #frameAt = -1;
  #frameStream: 1 | 2 = 1;

  /** The output of the records between `start` and `stop` in the block, as much as fits into one write. */
  decode(start: number, stop: number, how: CompactRendering): Decoded {
    this.#at = 0;
    this.#frameAt = -1;
    this.#out = this.#usual;
    let at = start;
    let damaged = 0;
    while (at < stop) {
      const bytes = recordBytes(this.#view, at, stop);
      if (bytes < 0) break;
      if (bytes === 0) {
        damaged++;
        at = nextRecord(this.block, at + 1, stop);
        continue;
      }
      const header = headerAt(this.#view, at);
      const wanted = header.stream === 2 ? how.stderr : how.stdout;
      if (wanted) {
        const room = this.#roomFor(header, how);
        if (this.#at > 0 && this.#at + room > OUTPUT_BYTES) break;
        // Very many very short lines, each with a time and a frame.
        if (room > this.#out.length) this.#out = Buffer.allocUnsafe(room);
        const from = at + HEADER_BYTES;
        if (this.#whole(header, how)) this.#put(header.stream, from, from + header.payloadBytes, how);
        else this.#lines(header, from, how);
      }
      how.skip.lines = Math.max(0, how.skip.lines - header.lines);
      at += bytes;
    }
    this.#endFrame();
    return { consumed: at - start, output: new Uint8Array(this.#out.buffer, this.#out.byteOffset, this.#at), damaged };
  }

  /** Upper bound of what a record becomes. */
  #roomFor(header: RecordHeader, how: CompactRendering): number {
    const prefix = FRAME_HEADER_BYTES + (how.timestamps ? TIME_BYTES : 0) + how.prefix.length;
    return header.payloadBytes + (this.#whole(header, how) ? 2 * FRAME_HEADER_BYTES : header.lines * prefix);
  }

  #whole(header: RecordHeader, how: CompactRendering): boolean {
    if (how.timestamps || how.prefix.length > 0 || how.frames === 'line' || how.skip.lines > 0) return false;
    return header.ns >= how.sinceNs && (how.untilNs === 0n || header.ns + BigInt(header.lines) <= how.untilNs);
  }

  #lines(header: RecordHeader, from: number, how: CompactRendering): void {
    const end = from + header.payloadBytes;
    let at = from;
    for (let line = 0; at < end; line++) {
      const next = lineEndAfter(this.block, at, end);
      const ns = header.ns + BigInt(line);
      const skipped = line < how.skip.lines || ns < how.sinceNs || (how.untilNs > 0n && ns > how.untilNs);
      if (!skipped) this.#line(header.stream, ns, at, next, how);
      at = next;
    }
  }

  #line(stream: 1 | 2, ns: bigint, from: number, to: number, how: CompactRendering): void {
    const time = how.timestamps ? `${formatTime(ns)} ` : '';
    const prefixBytes = time.length + how.prefix.length;
    if (how.frames === 'line') {
      putFrameHeader(this.#out, this.#at, stream, to - from + prefixBytes);
      this.#at += FRAME_HEADER_BYTES;
    } else if (how.frames === 'merged') this.#beginFrame(stream, to - from + prefixBytes);
    this.#at += this.#out.write(time, this.#at, 'latin1');
    this.#out.set(how.prefix, this.#at);
    this.#at += how.prefix.length;
    this.#at += this.block.copy(this.#out, this.#at, from, to);
  }

  #put(stream: 1 | 2, from: number, to: number, how: CompactRendering): void {
    let at = from;
    while (at < to) {
      const length = Math.min(to - at, FRAME_PAYLOAD_BYTES_MAX);
      if (how.frames === 'merged') this.#beginFrame(stream, length);
      this.#at += this.block.copy(this.#out, this.#at, at, at + length);
      at += length;
    }
  }

  #beginFrame(stream: 1 | 2, bytes: number): void {
    const full = this.#frameAt >= 0 && this.#at - this.#frameAt - FRAME_HEADER_BYTES + bytes > FRAME_PAYLOAD_BYTES_MAX;
    if (this.#frameAt >= 0 && this.#frameStream === stream && !full) return;
    this.#endFrame();
    this.#frameAt = this.#at;
    this.#frameStream = stream;
    this.#at += FRAME_HEADER_BYTES;
  }

  #endFrame(): void {
    if (this.#frameAt < 0) return;
    putFrameHeader(this.#out, this.#frameAt, this.#frameStream, this.#at - this.#frameAt - FRAME_HEADER_BYTES);
    this.#frameAt = -1;
  }
}
