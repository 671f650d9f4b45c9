/**
 * From json-file lines back to output: the accelerator (decoder.wat) for lines in exactly our shape, JSON.parse for any
 * other (attrs, lines of another engine). One instance serves all readers of a thread: decoding is synchronous, and a
 * reader keeps nothing but an offset in the file between two blocks.
 *
 * Map of the memory: 0 result; 64 Ki input; 704 Ki output.
 */
import { ok } from 'node:assert/strict';
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, putFrameHeader } from '#pkg/stdcopy/stdcopy.ts';
import { type Decoded, renderAttrs, type Rendering } from '../rendering.ts';
import { decoderBytes } from './decoder-bytes.ts';
import { PIECE_BYTES_READY } from './format.ts';

const INPUT = 64 * 1024;
const OUTPUT = 704 * 1024;
const RESULT_CONSUMED = 0;
const RESULT_WHY = 4;
const RESULT_STREAM = 8;

const WHY_OTHER_STREAM = 1;
const WHY_ODD_LINE = 2;
const WHY_FULL = 3;

const FLAG_TIMES = 4;
const FLAG_FRAMES = 8;

/** A block of input; a line that is longer is not ours and is skipped. */
export const BLOCK_BYTES = 512 * 1024;
const TIME_BYTES = 31;
const OUTPUT_BYTES = FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX;

export interface LogEntry {
  readonly log: string;
  readonly stream: 'stdout' | 'stderr';
  readonly time: string;
  readonly attrs: Readonly<Record<string, string>>;
}

export class LogDecoder {
  /** Where a block is read to. */
  readonly block: Uint8Array<ArrayBuffer>;
  readonly #u8: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #decode: (...args: number[]) => number;

  constructor() {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(decoderBytes));
    const { memory, dec } = exports;
    ok(memory instanceof WebAssembly.Memory && typeof dec === 'function');
    // as: decoder.wat exports dec with six i32 parameters and an i32 result.
    this.#decode = dec as (...args: number[]) => number;
    this.#u8 = new Uint8Array(memory.buffer);
    this.#view = new DataView(this.#u8.buffer);
    this.block = this.#u8.subarray(INPUT, INPUT + BLOCK_BYTES);
  }

  /** The output of the lines between `start` and `stop` in the block, as much as fits into one write. */
  decode(start: number, stop: number, how: Rendering): Decoded {
    const wanted = (how.stdout ? 1 : 0) | (how.stderr ? 2 : 0);
    const merged = how.frames === 'merged';
    const flags = wanted | (how.timestamps ? FLAG_TIMES : 0) | (how.frames === 'line' ? FLAG_FRAMES : 0);
    const end = INPUT + stop;
    // A frame ends before its payload passes the limit; the last line of it may be a piece, with a time before it.
    const limit = OUTPUT + OUTPUT_BYTES - (PIECE_BYTES_READY + TIME_BYTES + FRAME_HEADER_BYTES);
    let at = INPUT + start;
    let out = OUTPUT;
    let damaged = 0;
    let frameAt = -1;
    let stream = 0;
    const endFrame = () => {
      if (frameAt >= 0 && out === frameAt + FRAME_HEADER_BYTES) out = frameAt;
      else if (frameAt >= 0)
        putFrameHeader(this.#u8, frameAt, stream === 2 ? 2 : 1, out - frameAt - FRAME_HEADER_BYTES);
      frameAt = -1;
    };
    const beginFrame = (next: number) => {
      if (!merged || (frameAt >= 0 && stream === next)) return;
      endFrame();
      frameAt = out;
      out += FRAME_HEADER_BYTES;
      stream = next;
    };
    if (merged) beginFrame(wanted === 2 ? 2 : 1);
    while (out < limit) {
      let why = WHY_ODD_LINE;
      if (!how.details) {
        out = this.#decode(at, end, out, limit, flags, merged ? stream : 0);
        at = this.#view.getUint32(RESULT_CONSUMED, true);
        why = this.#view.getUint32(RESULT_WHY, true);
      }
      if (why === WHY_OTHER_STREAM) {
        beginFrame(this.#view.getUint32(RESULT_STREAM, true));
        continue;
      }
      if (why === WHY_FULL) break;
      const length = Buffer.from(this.#u8.buffer, at, end - at).indexOf(10);
      if (length < 0) break;
      const newline = at + length;
      const line = this.#u8.subarray(at, newline);
      const entry = parseEntry(line);
      if (entry === undefined) damaged++;
      else if (entry.stream === 'stderr' ? how.stderr : how.stdout) {
        const number = entry.stream === 'stderr' ? 2 : 1;
        const bytes = renderEntry(entry, how);
        if (bytes.length + FRAME_HEADER_BYTES > OUTPUT + OUTPUT_BYTES - out && out > OUTPUT + FRAME_HEADER_BYTES) break;
        beginFrame(number);
        if (how.frames === 'line') {
          putFrameHeader(this.#u8, out, number, bytes.length);
          out += FRAME_HEADER_BYTES;
        }
        this.#u8.set(bytes, out);
        out += bytes.length;
      }
      at = newline + 1;
    }
    endFrame();
    return { consumed: at - INPUT - start, output: this.#u8.subarray(OUTPUT, out), damaged };
  }
}

/** One log line, of ours or of another engine; undefined when it is none. */
export function parseEntry(line: Uint8Array): LogEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.length).toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const {
    log = '',
    stream,
    time,
    attrs,
  } = value as { log?: unknown; stream?: unknown; time?: unknown; attrs?: unknown };
  if (typeof log !== 'string' || typeof time !== 'string' || (stream !== 'stdout' && stream !== 'stderr')) {
    return undefined;
  }
  const named = typeof attrs === 'object' && attrs !== null ? Object.entries(attrs) : [];
  return { log, stream, time, attrs: Object.fromEntries(named.map(([k, v]) => [k, String(v)])) };
}

/** Go prints trailing zeros of the nanoseconds, whatever the file has. */
function ninePlaces(time: string): string {
  const match = /^(.{19})(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(time);
  return match === null ? time : `${match[1]}.${(match[2] ?? '').padEnd(9, '0')}${match[3]}`;
}

function renderEntry(entry: LogEntry, how: Rendering): Uint8Array {
  const time = how.timestamps ? `${ninePlaces(entry.time)} ` : '';
  return Buffer.from(`${time}${how.details ? `${renderAttrs(entry.attrs)} ` : ''}${entry.log}`);
}
