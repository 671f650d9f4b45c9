/**
 * The accelerator that turns raw output into json-file lines: 1.1 kB of WebAssembly with SIMD (encoder.wat), some
 * GB/s where a loop in JavaScript does 0.1–0.8. Input and output lie in its memory, so that read(2) and write(2) go
 * straight there. One instance serves all logs of a thread, one call at a time.
 *
 * Map of the memory: 0 result; 1 Ki and 32 Ki the two templates; 64 Ki input; 384 Ki output.
 */
import { ok } from 'node:assert/strict';
import { encoderBytes } from './encoder-bytes.ts';
import { formatTime, type LogStream, lineEnd, PIECE_BYTES, PIECE_BYTES_READY } from './format.ts';

const RESULT = 0;
const LINE_END = 1024;
const PIECE_END = 32 * 1024;
const TEMPLATE_BYTES_MAX = 31 * 1024;
export const OUTPUT = 384 * 1024;
/** A line begun below this mark is finished above it; the memory has room for the longest. */
const OUTPUT_BYTES = 512 * 1024;

export const INPUT = 64 * 1024;
/** Room for an unfinished line, what one read brings, and a newline. */
export const INPUT_BYTES_MAX = 256 * 1024 + 20 * 1024;

/** Bytes of `attrs` (JSON) that a log may have. */
export const ATTRS_BYTES_MAX = 24 * 1024;

const SECOND = 1_000_000_000n;

/** `final` ends the stream: the input is taken to its end, and an unfinished line is written without \n. */
export interface EncodeRequest {
  readonly stream: LogStream;
  readonly attrs: string;
  /** Address of the first and after the last byte of input. */
  readonly start: number;
  readonly end: number;
  /** No line is begun after so many bytes of output; at least one is written. */
  readonly outputBytesMax: number;
  readonly final: boolean;
  /** Of the first line, since the log's beginning; for formats that number lines. */
  readonly sequence: number;
}

export interface Encoded {
  /** Address after the input that was taken. */
  readonly consumed: number;
  /** A view of the output; valid until the next call. */
  readonly output: Uint8Array;
  /** undefined: as many as the output has. */
  readonly lines?: number;
}

export class LogEncoder {
  /** The whole memory; addresses in requests are indices into it. */
  readonly u8: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #encode: (...args: number[]) => number;
  readonly #utf8 = new TextEncoder();
  readonly #nowNs: () => bigint;
  #template = '';
  #lineEndBytes = 0;
  #pieceEndBytes = 0;
  #secondNs = 0n;
  #lastNs = 0n;

  constructor(nowNs: () => bigint) {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(encoderBytes));
    const { memory, enc } = exports;
    ok(memory instanceof WebAssembly.Memory && typeof enc === 'function');
    // as: encoder.wat exports enc with eight i32 parameters and an i32 result.
    this.#encode = enc as (...args: number[]) => number;
    this.u8 = new Uint8Array(memory.buffer);
    this.#view = new DataView(this.u8.buffer);
    this.#nowNs = nowNs;
  }

  /** Address after the lines and pieces of start…end that can be written although more may follow. */
  ready(start: number, end: number): number {
    const newline = Buffer.from(this.u8.buffer, start, end - start).lastIndexOf(10);
    return Math.max(start + newline + 1, end - PIECE_BYTES_READY + 1, start);
  }

  encode(request: EncodeRequest): Encoded {
    const { start, end } = request;
    ok(start >= INPUT && end >= start && end <= INPUT + INPUT_BYTES_MAX);
    this.#prepare(request);
    const olim = OUTPUT + Math.max(Math.min(request.outputBytesMax, OUTPUT_BYTES), 1);
    const ready = this.ready(start, end);
    let at = start;
    let out = OUTPUT;
    if (ready > start) {
      out = this.#call(start, ready, olim, LINE_END, this.#lineEndBytes);
      at = this.#view.getUint32(RESULT, true);
    }
    if (request.final && at >= ready) {
      // What is left is shorter than a piece with its overhang; stale bytes behind it must not look like a character's.
      this.u8.fill(0, end, end + 4);
      if (end - at >= PIECE_BYTES && out < olim) {
        out = this.#call(at, at + 1, olim, LINE_END, this.#lineEndBytes, out);
        at = this.#view.getUint32(RESULT, true);
      }
      if (at < end && out < olim) {
        out = this.#final(at, end, out, olim);
        at = end;
      }
    }
    this.#lastNs = this.#secondNs + this.#clock();
    return { consumed: at, output: this.u8.subarray(OUTPUT, out) };
  }

  #call(from: number, to: number, olim: number, template: number, templateBytes: number, out = OUTPUT): number {
    return this.#encode(from, to, out, olim, template, templateBytes, PIECE_END, this.#pieceEndBytes);
  }

  /** One unfinished line: the template of pieces in the place of the one of lines, ended by a newline of ours. */
  #final(from: number, to: number, out: number, olim: number): number {
    this.u8[to] = 10;
    // The clock goes on where the lines left it.
    const clock = LINE_END + this.#lineEndBytes;
    this.u8.copyWithin(PIECE_END + this.#pieceEndBytes - 13, clock - 13, clock - 4);
    const end = this.#call(from, to + 1, olim, PIECE_END, this.#pieceEndBytes, out);
    this.u8.copyWithin(clock - 13, PIECE_END + this.#pieceEndBytes - 13, PIECE_END + this.#pieceEndBytes - 4);
    return end;
  }

  /** Puts the templates of the stream in place and sets their clock past every time that was given out. */
  #prepare(request: EncodeRequest): void {
    // Each byte is a line at most; a whole second is skipped rather than carried over in the middle of the digits.
    const linesMax = BigInt(request.end - request.start + 2);
    let now = this.#nowNs();
    if (now <= this.#lastNs) now = this.#lastNs + 1n;
    if ((now % SECOND) + linesMax >= SECOND) now += SECOND - (now % SECOND);
    this.#secondNs = now - (now % SECOND);
    const time = formatTime(now);
    const key = `${request.stream} ${request.attrs}`;
    if (key !== this.#template) {
      const end = lineEnd(request.stream, request.attrs, time);
      this.#lineEndBytes = this.#put(LINE_END, `\\n${end}`);
      this.#pieceEndBytes = this.#put(PIECE_END, end);
      this.#template = key;
      return;
    }
    this.#utf8.encodeInto(time, this.u8.subarray(LINE_END + this.#lineEndBytes - time.length - 3));
    this.#utf8.encodeInto(time, this.u8.subarray(PIECE_END + this.#pieceEndBytes - time.length - 3));
  }

  /** The nine digits that the next line would take. */
  #clock(): bigint {
    const end = LINE_END + this.#lineEndBytes - 4;
    let digits = 0;
    for (let i = end - 9; i < end; i++) digits = digits * 10 + ((this.u8[i] ?? 48) - 48);
    return BigInt(digits);
  }

  #put(at: number, text: string): number {
    const { read, written } = this.#utf8.encodeInto(text, this.u8.subarray(at, at + TEMPLATE_BYTES_MAX));
    ok(read === text.length, 'attrs fit into the template');
    return written;
  }
}

/** Longest unfinished line that stays behind after `encode`. */
export const REST_BYTES_MAX = PIECE_BYTES_READY - 1;
