/**
 * A log's files as the queue to its remote: lines in order from a place on, which is known by the number of the line that
 * is next. Files that rotation has deleted meanwhile are read to their end through their descriptor; what was deleted
 * before it was opened is lost, and counted by the gap in the numbers.
 */
import { randomBytes } from 'node:crypto';
import { pread } from '#sys/files.ts';
import { type OpenFile, openFiles } from '../files.ts';
import type { LogLine, Piece } from '../line.ts';
import { HEADER_BYTES, headerAt, lineEndAfter, nextRecord, type RecordHeader, recordBytes } from '../local/format.ts';
import { recordBefore, records } from '../local/search.ts';
import type { LogFileTarget } from '../log-file.ts';

const BLOCK_BYTES = 512 * 1024;
const NEWLINE = 10;

/** One record that is being taken apart: `at` is the next line in the block. */
interface Current {
  readonly header: RecordHeader;
  readonly end: number;
  at: number;
  line: number;
}

export class Spool implements Disposable {
  readonly #log: LogFileTarget;
  #files: OpenFile[] = [];
  /** In the first of the files: after the record that is current. */
  #offset = 0;
  readonly #block = Buffer.allocUnsafe(BLOCK_BYTES);
  readonly #view = new DataView(this.#block.buffer, this.#block.byteOffset, BLOCK_BYTES);
  #blockAt = 0;
  #blockLength = 0;
  #current: Current | undefined;
  readonly #pieces = new Map<1 | 2, { readonly id: string; ordinal: number }>();
  /** No more files come. */
  #frozen = false;
  /** Number of the line that is next. */
  sequence: number;
  /** Lines that were gone before they could be read, since it was last asked. */
  #lost = 0;

  private constructor(log: LogFileTarget, sequence: number) {
    this.#log = log;
    this.sequence = sequence;
  }

  /** From the line with that number on. */
  static async open(log: LogFileTarget, sequence: number): Promise<Spool> {
    const spool = new Spool(log, sequence);
    spool.#files = openFiles(log);
    // Whole files that were sent need not be looked into: the last whose first line is not newer has it.
    for (let i = spool.#files.length - 1; i > 0; i--) {
      const file = await spool.#files[i]?.prepare();
      if (file === undefined) continue;
      const [first] = records(file.fd, Math.min(file.size(), BLOCK_BYTES));
      if (first !== undefined && first.header.sequence <= sequence) {
        for (const older of spool.#files.splice(0, i)) older[Symbol.dispose]();
        break;
      }
    }
    const end = await spool.#endSequence();
    // The log was emptied by somebody, and counts anew.
    if (sequence > end) spool.sequence = 0;
    return spool;
  }

  async #endSequence(): Promise<number> {
    for (let i = this.#files.length - 1; i >= 0; i--) {
      const file = await this.#files[i]?.prepare();
      if (file === undefined) continue;
      let end = -1;
      for (const { header } of records(file.fd, file.size())) end = header.sequence + header.lines;
      if (end >= 0) return end;
    }
    return 0;
  }

  takeLost(): number {
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  /** Bytes that wait, about: a compressed file counts as a whole one. */
  lagBytes(): number {
    let bytes = -this.#offset;
    for (const file of this.#files) bytes += file.plain ? file.size() : this.#log.maxSizeBytes;
    if (this.#frozen) return bytes;
    for (const file of this.#newer()) {
      bytes += file.plain ? file.size() : this.#log.maxSizeBytes;
      file[Symbol.dispose]();
    }
    return bytes;
  }

  #newer(): OpenFile[] {
    return openFiles(this.#log, this.#files.at(-1));
  }

  /** Opens all that there is, since the files are about to be deleted. */
  freeze(): void {
    this.#files.push(...this.#newer());
    this.#frozen = true;
  }

  /** The next line, or undefined when there is none now. Its text is valid until the next call. */
  async next(): Promise<LogLine | undefined> {
    for (;;) {
      const current = this.#current;
      if (current !== undefined && current.at < current.end) return this.#line(current);
      this.#current = undefined;
      const found = await this.#nextRecord();
      if (!found) return undefined;
    }
  }

  #line(current: Current): LogLine {
    const { header } = current;
    const end = lineEndAfter(this.#block, current.at, current.end);
    const whole = this.#block[end - 1] === NEWLINE;
    const text = this.#block.subarray(current.at, whole ? end - 1 : end);
    const ns = header.ns + BigInt(current.line);
    current.at = end;
    current.line++;
    this.sequence = header.sequence + current.line;
    return { stream: header.stream, ns, text, piece: this.#pieceOf(header.stream, whole) };
  }

  #pieceOf(stream: 1 | 2, whole: boolean): Piece | undefined {
    const begun = this.#pieces.get(stream);
    if (whole && begun === undefined) return undefined;
    const state = begun ?? { id: randomBytes(32).toString('hex'), ordinal: 0 };
    state.ordinal++;
    if (whole) this.#pieces.delete(stream);
    else this.#pieces.set(stream, state);
    return { id: state.id, ordinal: state.ordinal, last: whole };
  }

  /** Makes the next record that is not sent yet the current one. */
  async #nextRecord(): Promise<boolean> {
    for (;;) {
      const file = this.#files[0];
      if (file === undefined) {
        if (this.#frozen) return false;
        this.#files.push(...this.#newer());
        if (this.#files.length === 0) return false;
        continue;
      }
      await file.prepare();
      const bytes = this.#recordAtOffset(file);
      if (bytes > 0) {
        const at = this.#offset - this.#blockAt;
        const header = headerAt(this.#view, at);
        this.#offset += bytes;
        if (this.#enter(header, at + HEADER_BYTES)) return true;
        continue;
      }
      if (this.#files.length === 1 && !this.#frozen) this.#files.push(...this.#newer());
      if (this.#files.length === 1) return false;
      // What was added between our look and the rotation.
      if (this.#recordAtOffset(file) > 0) continue;
      this.#files.shift()?.[Symbol.dispose]();
      this.#offset = 0;
      this.#blockLength = 0;
    }
  }

  /** Its length; 0 at the end. Damage is passed over. */
  #recordAtOffset(file: OpenFile): number {
    for (;;) {
      const from = this.#offset - this.#blockAt;
      const cached = from >= 0 && from < this.#blockLength;
      const bytes = cached ? recordBytes(this.#view, from, this.#blockLength) : -1;
      if (bytes > 0) return bytes;
      if (bytes === 0) {
        this.#offset = this.#blockAt + nextRecord(this.#block, from + 1, this.#blockLength);
        continue;
      }
      const length = pread(file.fd, this.#block, this.#offset, BLOCK_BYTES);
      const same = this.#blockAt === this.#offset && length === this.#blockLength;
      this.#blockAt = this.#offset;
      this.#blockLength = length;
      if (length === 0 || same) return 0;
      if (recordBytes(this.#view, 0, length) < 0) return 0;
    }
  }

  /** False when all of it was sent. */
  #enter(header: RecordHeader, at: number): boolean {
    const last = header.sequence + header.lines;
    if (last <= this.sequence) return false;
    if (header.sequence > this.sequence) this.#lost += header.sequence - this.sequence;
    const current: Current = { header, at, end: at + header.payloadBytes, line: 0 };
    const sent = Math.max(0, this.sequence - header.sequence);
    for (; current.line < sent; current.line++) current.at = lineEndAfter(this.#block, current.at, current.end);
    this.sequence = header.sequence + current.line;
    this.#current = current;
    return true;
  }

  /** Of a frozen spool: what is still in its files, as far as the plain ones tell. */
  remainingLines(): number {
    let end = this.sequence;
    for (const file of this.#files) {
      if (!file.plain) continue;
      const last = recordBefore(file.fd, file.size());
      if (last !== undefined) end = Math.max(end, last.header.sequence + last.header.lines);
    }
    return end - this.sequence;
  }

  /** Leaves out the oldest lines until no more than so many bytes wait. */
  async skipTo(bytesMax: number): Promise<void> {
    this.#current = undefined;
    if (!this.#frozen) this.#files.push(...this.#newer());
    const sizes = this.#files.map((file) => (file.plain ? file.size() : this.#log.maxSizeBytes));
    let waiting = sizes.reduce((sum, size) => sum + size, 0) - this.#offset;
    for (
      let size = sizes.shift();
      size !== undefined && waiting > bytesMax && this.#files.length > 1;
      size = sizes.shift()
    ) {
      const left = size - this.#offset;
      if (waiting - left < bytesMax) break;
      waiting -= left;
      this.#files.shift()?.[Symbol.dispose]();
      this.#offset = 0;
      this.#blockLength = 0;
    }
    const file = await this.#files[0]?.prepare();
    while (file !== undefined && waiting > bytesMax) {
      const bytes = this.#recordAtOffset(file);
      if (bytes <= 0) break;
      const header = headerAt(this.#view, this.#offset - this.#blockAt);
      const first = Math.max(this.sequence, header.sequence);
      this.#lost += Math.max(0, header.sequence + header.lines - first) + Math.max(0, header.sequence - this.sequence);
      this.sequence = header.sequence + header.lines;
      this.#offset += bytes;
      waiting -= bytes;
    }
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.splice(0)) file[Symbol.dispose]();
  }
}
