/**
 * Inflates bzip2, block by block. How long a block is packed is only known when it has been read, so bytes are kept until
 * there are as many as the longest can have, and the last ones wait for the end. Ours, as lzma.ts is, and for the same
 * reasons: no program of anybody is run for an archive.
 */
import { type BerthError, dataLoss } from '#errdefs/errors.ts';
import { ByteQueue } from './byte-queue.ts';

const BLOCK_UNIT = 100_000;
const GROUP_SYMBOLS = 50;
const CODE_BITS_MAX = 20;
const SYMBOLS_MAX = 258;
const SELECTORS_MAX = 18_002;
/** 900,000 symbols of the longest code, their tables and selectors. */
const PACKED_BYTES_MAX = (9 * BLOCK_UNIT * CODE_BITS_MAX) / 8 + 40_000;
const BLOCK = 0x314159;
const BLOCK_REST = 0x265359;
const END = 0x177245;
const END_REST = 0x385090;

const corrupt = (): BerthError => dataLoss('bzip2: the compressed data is corrupt');
const ended = (): BerthError => dataLoss('bzip2: unexpected end of file');

const crcTable = new Int32Array(256).map((_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit++) value = value < 0 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value;
});

/** Of bytes whose highest bit is first. */
class Bits {
  readonly #bytes: Uint8Array;
  #at = 0;
  #held = 0;
  #count = 0;

  constructor(bytes: Uint8Array, skip: number) {
    this.#bytes = bytes;
    if (skip > 0) this.take(skip);
  }

  /** At most 24. */
  take(count: number): number {
    this.#fill(count);
    this.#count -= count;
    return (this.#held >>> this.#count) & ((1 << count) - 1);
  }

  /** Zeros stand for what comes after the end. */
  peek(count: number): number {
    while (this.#count < count) {
      this.#held = (this.#held << 8) | (this.#bytes[this.#at] ?? 0);
      this.#at += 1;
      this.#count += 8;
    }
    return (this.#held >>> (this.#count - count)) & ((1 << count) - 1);
  }

  skip(count: number): void {
    this.#count -= count;
    if (this.#at - (this.#count >> 3) > this.#bytes.length) throw ended();
  }

  /** Bits that are used up. */
  get position(): number {
    return this.#at * 8 - this.#count;
  }

  #fill(count: number): void {
    while (this.#count < count) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw ended();
      this.#at += 1;
      this.#held = (this.#held << 8) | byte;
      this.#count += 8;
    }
  }
}

/** A prefix code: for each length the highest code (filled up with ones), and where its symbols begin. */
interface Code {
  readonly limits: Int32Array;
  readonly offsets: Int32Array;
  readonly symbols: Uint16Array;
  readonly shortest: number;
}

export class Bzip2Inflater {
  readonly #queue = new ByteQueue();
  readonly #output: (piece: Uint8Array) => void;
  readonly #out = new Uint8Array(1 << 16);
  #outLength = 0;
  /** Bits of the queue's first byte that are used up. */
  #usedBits = 0;
  /** Symbols that a block of this stream may have; 0: between streams. */
  #blockMax = 0;
  #anyStream = false;
  #links = new Uint32Array(0);
  #sum = 0;

  constructor(output: (piece: Uint8Array) => void) {
    this.#output = output;
  }

  push(input: Uint8Array): void {
    this.#queue.push(input);
    while (this.#queue.length >= PACKED_BYTES_MAX) this.#step();
  }

  finish(): void {
    while (this.#queue.length > 0) this.#step();
    if (this.#blockMax > 0 || !this.#anyStream) throw ended();
  }

  /** A stream's header, one block, or a stream's end. */
  #step(): void {
    const bytes = this.#queue.peek();
    if (this.#blockMax === 0) {
      this.#header(bytes);
      return;
    }
    const bits = new Bits(bytes, this.#usedBits);
    const magic = bits.take(24);
    const rest = bits.take(24);
    if (magic === BLOCK && rest === BLOCK_REST) this.#block(bits);
    else if (magic === END && rest === END_REST) {
      const sum = (bits.take(16) << 16) | bits.take(16);
      if (sum !== this.#sum) throw dataLoss('bzip2: incorrect data check');
      this.#blockMax = 0;
    } else throw corrupt();
    // A stream ends at a byte's end.
    const used = this.#blockMax === 0 ? (bits.position + 7) & ~7 : bits.position;
    this.#queue.drop(used >> 3);
    this.#usedBits = used & 7;
  }

  #header(bytes: Uint8Array): void {
    if (this.#anyStream && bytes[0] === 0) {
      // Zeros may follow (tape padding).
      if (bytes.some((byte) => byte !== 0)) throw dataLoss('bzip2: data after the end of the stream');
      this.#queue.drop(bytes.length);
      return;
    }
    if (bytes.length < 4) throw ended();
    const level = (bytes[3] ?? 0) - 0x30;
    const magic = bytes[0] === 0x42 && bytes[1] === 0x5a && bytes[2] === 0x68;
    if (!magic || level < 1 || level > 9) throw dataLoss('bzip2: data after the end of the stream');
    this.#blockMax = level * BLOCK_UNIT;
    if (this.#links.length < this.#blockMax) this.#links = new Uint32Array(this.#blockMax);
    this.#anyStream = true;
    this.#sum = 0;
    this.#queue.drop(4);
  }

  #block(bits: Bits): void {
    const expected = (bits.take(16) << 16) | bits.take(16);
    // Randomised blocks were last made in 1997.
    if (bits.take(1) !== 0) throw corrupt();
    const origin = bits.take(24);
    const counts = new Uint32Array(256);
    const length = this.#symbols(bits, counts);
    if (origin >= length) throw corrupt();
    this.#link(length, counts);
    const sum = this.#write(length, origin);
    if (sum !== expected) throw dataLoss('bzip2: incorrect data check');
    this.#sum = ((this.#sum << 1) | (this.#sum >>> 31)) ^ sum;
  }

  /** The block's bytes, into the low byte of each link; how often each comes, into `counts`. */
  #symbols(bits: Bits, counts: Uint32Array): number {
    const order = usedBytes(bits);
    const groups = bits.take(3);
    if (groups < 2 || groups > 6) throw corrupt();
    const selectors = readSelectors(bits, groups);
    const alphabet = order.length + 2;
    const codes = Array.from({ length: groups }, () => readCode(bits, alphabet));
    const links = this.#links;
    const max = this.#blockMax;
    let length = 0;
    let run = 0;
    let runUnit = 1;
    for (let group = 0; ; group++) {
      const code = codes[selectors[group] ?? groups];
      if (code === undefined) throw corrupt();
      for (let i = 0; i < GROUP_SYMBOLS; i++) {
        const symbol = readSymbol(bits, code);
        if (symbol <= 1) {
          // Lengths of runs are numbers of the digits 1 and 2.
          run += runUnit << symbol;
          runUnit <<= 1;
          if (run > max) throw corrupt();
          continue;
        }
        if (run > 0) {
          const byte = order[0] ?? 0;
          if (length + run > max) throw corrupt();
          links.fill(byte, length, length + run);
          counts[byte] = (counts[byte] ?? 0) + run;
          length += run;
          run = 0;
          runUnit = 1;
        }
        if (symbol === alphabet - 1) return length;
        const byte = order[symbol - 1] ?? 0;
        order.copyWithin(1, 0, symbol - 1);
        order[0] = byte;
        if (length === max) throw corrupt();
        links[length++] = byte;
        counts[byte] = (counts[byte] ?? 0) + 1;
      }
    }
  }

  /** The inverse of the sorting: each link's upper bits name the one that comes after it. */
  #link(length: number, counts: Uint32Array): void {
    const links = this.#links;
    const next = new Uint32Array(256);
    for (let byte = 1; byte < 256; byte++) next[byte] = (next[byte - 1] ?? 0) + (counts[byte - 1] ?? 0);
    for (let i = 0; i < length; i++) {
      const byte = (links[i] ?? 0) & 255;
      const to = next[byte] ?? 0;
      next[byte] = to + 1;
      links[to] = (links[to] ?? 0) | (i << 8);
    }
  }

  /** Follows the links, takes the first run lengths back (four equal bytes and a count), and sums what comes out. */
  #write(length: number, origin: number): number {
    const links = this.#links;
    const out = this.#out;
    let outLength = this.#outLength;
    let sum = -1;
    let at = (links[origin] ?? 0) >>> 8;
    let same = 0;
    let last = -1;
    for (let i = 0; i < length; i++) {
      const link = links[at] ?? 0;
      at = link >>> 8;
      let byte = link & 255;
      let times = 1;
      if (same === 4) {
        times = byte;
        byte = last;
        same = 0;
      } else {
        same = byte === last ? same + 1 : 1;
        last = byte;
      }
      for (; times > 0; times--) {
        if (outLength === out.length) {
          this.#output(out);
          outLength = 0;
        }
        out[outLength++] = byte;
        sum = (sum << 8) ^ (crcTable[(sum >>> 24) ^ byte] ?? 0);
      }
      // After a count what follows is compared with nothing.
      if (same === 0) last = -1;
    }
    // Nothing stays behind: who pushes wants to see what there is.
    if (outLength > 0) this.#output(out.subarray(0, outLength));
    this.#outLength = 0;
    return ~sum;
  }
}

/** The bytes that occur, in order: two levels of sixteen bits. */
function usedBytes(bits: Bits): Uint8Array {
  const ranges = bits.take(16);
  const used: number[] = [];
  for (let range = 0; range < 16; range++) {
    if ((ranges & (0x8000 >> range)) === 0) continue;
    const those = bits.take(16);
    for (let i = 0; i < 16; i++) if ((those & (0x8000 >> i)) !== 0) used.push(range * 16 + i);
  }
  if (used.length === 0) throw corrupt();
  return Uint8Array.from(used);
}

function readSelectors(bits: Bits, groups: number): Uint8Array {
  const count = bits.take(15);
  if (count === 0) throw corrupt();
  const order = Uint8Array.from({ length: groups }, (_, i) => i);
  // Some packers write more than a block can use.
  const selectors = new Uint8Array(Math.min(count, SELECTORS_MAX));
  for (let i = 0; i < count; i++) {
    let place = 0;
    while (bits.take(1) === 1) {
      place += 1;
      if (place >= groups) throw corrupt();
    }
    const selector = order[place] ?? 0;
    order.copyWithin(1, 0, place);
    order[0] = selector;
    if (i < selectors.length) selectors[i] = selector;
  }
  return selectors;
}

function readCode(bits: Bits, alphabet: number): Code {
  const lengths = new Uint8Array(SYMBOLS_MAX);
  let length = bits.take(5);
  for (let symbol = 0; symbol < alphabet; symbol++) {
    for (;;) {
      if (length < 1 || length > CODE_BITS_MAX) throw corrupt();
      if (bits.take(1) === 0) break;
      length += bits.take(1) === 0 ? 1 : -1;
    }
    lengths[symbol] = length;
  }
  return codeOf(lengths.subarray(0, alphabet));
}

function codeOf(lengths: Uint8Array): Code {
  const limits = new Int32Array(CODE_BITS_MAX + 1).fill(-1);
  const offsets = new Int32Array(CODE_BITS_MAX + 1);
  const symbols = new Uint16Array(lengths.length);
  let code = 0;
  let placed = 0;
  let shortest = CODE_BITS_MAX;
  for (let bits = 1; bits <= CODE_BITS_MAX; bits++) {
    offsets[bits] = placed - code;
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] !== bits) continue;
      shortest = Math.min(shortest, bits);
      symbols[placed++] = symbol;
      code += 1;
    }
    // Compared with as many bits as the longest code has.
    limits[bits] = code * 2 ** (CODE_BITS_MAX - bits) - 1;
    code *= 2;
  }
  return { limits, offsets, symbols, shortest };
}

function readSymbol(bits: Bits, { limits, offsets, symbols, shortest }: Code): number {
  const ahead = bits.peek(CODE_BITS_MAX);
  let length = shortest;
  while (ahead > (limits[length] ?? 0)) {
    length += 1;
    if (length > CODE_BITS_MAX) throw corrupt();
  }
  bits.skip(length);
  const symbol = symbols[(ahead >>> (CODE_BITS_MAX - length)) + (offsets[length] ?? 0)];
  if (symbol === undefined) throw corrupt();
  return symbol;
}
