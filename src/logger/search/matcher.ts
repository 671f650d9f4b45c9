/**
 * Finds a pattern in one block of a log. A pattern without any special character is looked for as bytes in the file's own
 * encoding, which is as fast as memory; any other is a regular expression over decoded text.
 */
import type { LogMatch } from '#api/types/logs.ts';
import { parseExpression } from '../option-values.ts';
import { formatTime } from '../json-file/format.ts';
import { LogDecoder, parseEntry } from '../json-file/decoder.ts';
import { HEADER_BYTES, headerAt, lineEndAfter, nextRecord, recordBytes } from '../local/format.ts';

export type Found = Pick<LogMatch, 'Stream' | 'Time' | 'Line'>;

export interface BlockResult {
  readonly consumed: number;
  readonly found: Found[];
}

const NEWLINE = 10;
const TIME_BYTES = 31;
const SPECIAL = /[\\^$.|?*+()[\]{}]/;

export class Matcher {
  readonly #expression: RegExp;
  readonly #literal: string | undefined;
  readonly #decoder = new LogDecoder();

  /** Errors: invalid-parameter. */
  constructor(pattern: string) {
    const expression = parseExpression('grep', pattern) ?? /(?:)/;
    this.#expression = new RegExp(expression.source, `${expression.flags.replace(/[gm]/g, '')}gm`);
    this.#literal = pattern !== '' && !SPECIAL.test(pattern) ? pattern : undefined;
  }

  /** Bytes that a call takes at most. */
  get blockBytes(): number {
    return this.#decoder.block.length;
  }

  // --- json-file

  json(block: Buffer): BlockResult {
    return this.#literal === undefined ? this.#jsonExpression(block) : this.#jsonLiteral(block, this.#literal);
  }

  #jsonLiteral(block: Buffer, literal: string): BlockResult {
    const consumed = block.lastIndexOf(NEWLINE) + 1;
    const needle = Buffer.from(asJson(literal));
    const found: Found[] = [];
    for (let at = block.indexOf(needle); at >= 0 && at < consumed; ) {
      const start = at === 0 ? 0 : block.lastIndexOf(NEWLINE, at - 1) + 1;
      const end = block.indexOf(NEWLINE, at);
      const entry = parseEntry(block.subarray(start, end));
      // It may stand in an attribute, or be part of the line's own words.
      if (entry?.log.includes(literal) === true) {
        found.push({ Stream: entry.stream, Time: entry.time, Line: entry.log.replace(/\n$/, '') });
      }
      at = block.indexOf(needle, end + 1);
    }
    return { consumed, found };
  }

  #jsonExpression(block: Buffer): BlockResult {
    const length = Math.min(block.length, this.blockBytes);
    const common = { timestamps: true, details: false, frames: 'none' } as const;
    const found: Found[] = [];
    let consumed = length;
    this.#decoder.block.set(block.subarray(0, length));
    // A stream at a time: the decoder does not say which one a line is of.
    for (const stream of ['stdout', 'stderr'] as const) {
      let at = 0;
      for (;;) {
        const how = { ...common, stdout: stream === 'stdout', stderr: stream === 'stderr' };
        const decoded = this.#decoder.decode(at, length, how);
        if (decoded.consumed === 0) break;
        this.#timedLines(decoded.output, stream, found);
        at += decoded.consumed;
      }
      consumed = Math.min(consumed, at);
    }
    found.sort((a, b) => (a.Time < b.Time ? -1 : 1));
    return { consumed, found };
  }

  #timedLines(bytes: Uint8Array, stream: Found['Stream'], found: Found[]): void {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
    const expression = this.#expression;
    expression.lastIndex = 0;
    for (let match = expression.exec(text); match !== null; match = expression.exec(text)) {
      const start = match.index === 0 ? 0 : text.lastIndexOf('\n', match.index - 1) + 1;
      const newline = text.indexOf('\n', match.index);
      const end = newline < 0 ? text.length : newline;
      const Line = text.slice(start + TIME_BYTES, end);
      // What was found may be the time, or an anchor before it.
      if (end > start && this.#matches(Line))
        found.push({ Stream: stream, Time: text.slice(start, start + TIME_BYTES - 1), Line });
      if (newline < 0) return;
      expression.lastIndex = newline + 1;
    }
    // An expression with ^ fits behind the time only.
    if (this.#expression.source.includes('^')) this.#anchored(text, stream, found);
  }

  #anchored(text: string, stream: Found['Stream'], found: Found[]): void {
    const known = new Set(found.map(({ Time }) => Time));
    for (const line of text.split('\n')) {
      const Time = line.slice(0, TIME_BYTES - 1);
      const Line = line.slice(TIME_BYTES);
      if (line !== '' && !known.has(Time) && this.#matches(Line)) found.push({ Stream: stream, Time, Line });
    }
  }

  #matches(line: string): boolean {
    this.#expression.lastIndex = 0;
    return this.#expression.test(line);
  }

  // --- the compact format

  compact(block: Buffer): BlockResult {
    const view = new DataView(block.buffer, block.byteOffset, block.length);
    const found: Found[] = [];
    let at = 0;
    while (at < block.length) {
      const bytes = recordBytes(view, at, block.length);
      if (bytes < 0) break;
      if (bytes === 0) at = nextRecord(block, at + 1, block.length);
      else {
        this.#record(block, view, at, found);
        at += bytes;
      }
    }
    return { consumed: at, found };
  }

  #record(block: Buffer, view: DataView, record: number, found: Found[]): void {
    const header = headerAt(view, record);
    const from = record + HEADER_BYTES;
    const end = from + header.payloadBytes;
    const Stream = header.stream === 2 ? 'stderr' : 'stdout';
    const literal = this.#literal;
    if (literal === undefined && !this.#matches(block.toString('utf8', from, end))) return;
    // Lines are walked over only to be numbered; what is looked into is the one that a literal was found in, or each.
    let match = literal === undefined ? from : block.indexOf(literal, from);
    for (let at = from, line = 0; at < end && match >= 0 && match < end; line++) {
      const next = lineEndAfter(block, at, end);
      if (match < next) {
        const Line = block.toString('utf8', at, next).replace(/\n$/, '');
        const fits = literal === undefined ? this.#matches(Line) : Line.includes(literal);
        if (fits) found.push({ Stream, Time: formatTime(header.ns + BigInt(line)), Line });
        match = literal === undefined ? next : block.indexOf(literal, next);
      }
      at = next;
    }
  }
}

/** As our encoder writes it inside a line. */
function asJson(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replaceAll(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
