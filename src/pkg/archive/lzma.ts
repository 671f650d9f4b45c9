/**
 * Inflates the chunks of LZMA2: the range coder and the dictionary of LZMA, as the .xz file format uses them. A chunk
 * says its lengths before it begins, so each is decoded whole, from memory into the dictionary, and what came out is a
 * part of that. In TypeScript, not by the host's `xz`: it works where there is none, and what a hostile archive can do
 * ends at the bounds of arrays.
 *
 * Invariant: before and after each chunk the dictionary holds the last `size` bytes of what was written since its reset,
 * and the index of its next byte is a multiple of 16 away from that reset, since contexts depend on the position.
 */
import { type BerthError, dataLoss } from '#errdefs/errors.ts';

/** Largest uncompressed chunk. */
const CHUNK_BYTES_MAX = 1 << 21;
const ALIGNMENT = 16;
const HALF = 1024;
const TOP = 1 << 24;
/** Where the contexts of each kind begin in the one table of them. */
const IS_MATCH = 0;
const IS_REP = IS_MATCH + 192;
const IS_REP_G0 = IS_REP + 12;
const IS_REP_G1 = IS_REP_G0 + 12;
const IS_REP_G2 = IS_REP_G1 + 12;
const IS_REP0_LONG = IS_REP_G2 + 12;
const SLOT = IS_REP0_LONG + 192;
const SPECIAL = SLOT + 4 * 64;
const ALIGN = SPECIAL + 128;
const LENGTH = ALIGN + 16;
const LENGTH_SIZE = 2 + 2 * 128 + 256;
const REP_LENGTH = LENGTH + LENGTH_SIZE;
const LITERAL = REP_LENGTH + LENGTH_SIZE;
const LITERAL_SIZE = 0x300;
/** lc + lp ≤ 4. */
const CONTEXTS = LITERAL + (LITERAL_SIZE << 4);

const corrupt = (): BerthError => dataLoss('xz: the compressed data is corrupt');

export interface Resets {
  readonly dictionary: boolean;
  readonly state: boolean;
  /** lc, lp and pb as one byte; undefined: as before. */
  readonly properties: number | undefined;
}

export class Lzma2Decoder {
  readonly #window: Uint8Array;
  readonly #size: number;
  #at = 0;
  readonly #contexts = new Uint16Array(CONTEXTS);
  #lc = 0;
  #literalMask = 0;
  #positionMask = 0;
  #state = 0;
  readonly #reps = new Uint32Array(4);
  /** What the stream still owes: its first chunk must reset the dictionary, its first compressed one everything. */
  #needsDictionary = true;
  #needsState = true;
  #needsProperties = true;
  // The range coder of the chunk at hand.
  #input: Uint8Array = new Uint8Array(0);
  #inputAt = 0;
  #range = 0;
  #code = 0;

  constructor(dictionaryBytes: number) {
    this.#size = dictionaryBytes;
    this.#window = new Uint8Array(dictionaryBytes + CHUNK_BYTES_MAX + Math.max(CHUNK_BYTES_MAX, dictionaryBytes >> 1));
  }

  /** Of a new block: it must reset everything before it uses it. */
  begin(): void {
    this.#needsDictionary = true;
    this.#needsState = true;
    this.#needsProperties = true;
  }

  /** A chunk that is stored as it is. What is returned is valid until the next call. */
  stored(bytes: Uint8Array, resetDictionary: boolean): Uint8Array {
    this.#makeRoom(resetDictionary);
    this.#window.set(bytes, this.#at);
    return this.#finish(bytes.length);
  }

  /** What is returned is valid until the next call. Errors: data-loss. */
  compressed(bytes: Uint8Array, length: number, resets: Resets): Uint8Array {
    this.#makeRoom(resets.dictionary);
    if (resets.properties !== undefined) this.#setProperties(resets.properties);
    if (this.#needsProperties || (this.#needsState && !resets.state)) throw corrupt();
    if (resets.state) this.#resetState();
    this.#input = bytes;
    if (bytes.length < 5 || bytes[0] !== 0) throw corrupt();
    this.#range = -1;
    this.#code = new DataView(bytes.buffer, bytes.byteOffset).getInt32(1);
    this.#inputAt = 5;
    this.#decode(length);
    if (this.#inputAt !== bytes.length || this.#code !== 0) throw corrupt();
    return this.#finish(length);
  }

  #makeRoom(resetDictionary: boolean): void {
    if (resetDictionary) {
      this.#at = 0;
      this.#needsDictionary = false;
    } else if (this.#needsDictionary) throw corrupt();
    if (this.#at + CHUNK_BYTES_MAX <= this.#window.length) return;
    const from = (this.#at - this.#size) & ~(ALIGNMENT - 1);
    this.#window.copyWithin(0, from, this.#at);
    this.#at -= from;
  }

  #finish(length: number): Uint8Array {
    const from = this.#at;
    this.#at += length;
    return this.#window.subarray(from, this.#at);
  }

  #setProperties(byte: number): void {
    if (byte > (4 * 5 + 4) * 9 + 8) throw corrupt();
    const lc = byte % 9;
    const rest = (byte - lc) / 9;
    const lp = rest % 5;
    if (lc + lp > 4) throw corrupt();
    this.#lc = lc;
    this.#literalMask = (1 << lp) - 1;
    this.#positionMask = (1 << ((rest - lp) / 5)) - 1;
    this.#needsProperties = false;
  }

  #resetState(): void {
    this.#contexts.fill(HALF);
    this.#reps.fill(0);
    this.#state = 0;
    this.#needsState = false;
  }

  #decode(length: number): void {
    const window = this.#window;
    const reps = this.#reps;
    let at = this.#at;
    const end = at + length;
    let state = this.#state;
    let rep0 = reps[0] ?? 0;
    while (at < end) {
      const position = at & this.#positionMask;
      if (this.#bit(IS_MATCH + (state << 4) + position) === 0) {
        const before = at === 0 ? 0 : (window[at - 1] ?? 0);
        const base = LITERAL + LITERAL_SIZE * (((at & this.#literalMask) << this.#lc) + (before >> (8 - this.#lc)));
        window[at] = state < 7 ? this.#literal(base) : this.#matchedLiteral(base, window[at - rep0 - 1] ?? 0);
        at += 1;
        state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
        continue;
      }
      let count: number;
      if (this.#bit(IS_REP + state) === 0) {
        reps.copyWithin(1, 0, 3);
        count = this.#length(LENGTH, position);
        rep0 = this.#distance(count);
        state = state < 7 ? 7 : 10;
      } else if (this.#bit(IS_REP_G0 + state) !== 0) {
        rep0 = this.#older(state);
        count = this.#length(REP_LENGTH, position);
        state = state < 7 ? 8 : 11;
      } else if (this.#bit(IS_REP0_LONG + (state << 4) + position) !== 0) {
        count = this.#length(REP_LENGTH, position);
        state = state < 7 ? 8 : 11;
      } else {
        count = 1;
        state = state < 7 ? 9 : 11;
      }
      reps[0] = rep0;
      if (rep0 >= at || at + count > end) throw corrupt();
      copy(window, at, rep0 + 1, count);
      at += count;
    }
    this.#normalize();
    this.#state = state;
  }

  /** One of the three distances before the last, which becomes the last. */
  #older(state: number): number {
    const reps = this.#reps;
    const which = this.#bit(IS_REP_G1 + state) === 0 ? 1 : 2 + this.#bit(IS_REP_G2 + state);
    const distance = reps[which] ?? 0;
    reps.copyWithin(1, 0, which);
    return distance;
  }

  #literal(base: number): number {
    let symbol = 1;
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(base + symbol);
    return symbol;
  }

  /** After a match the byte that the match would have gone on with says which contexts are asked. */
  #matchedLiteral(base: number, expected: number): number {
    let symbol = 1;
    let offset = 0x100;
    let match = expected;
    do {
      match <<= 1;
      const wanted = match & offset;
      const bit = this.#bit(base + offset + wanted + symbol);
      symbol = (symbol << 1) | bit;
      offset &= bit === 0 ? ~wanted : wanted;
    } while (symbol < 0x100);
    return symbol;
  }

  #length(base: number, position: number): number {
    if (this.#bit(base) === 0) return 2 + this.#tree(base + 2 + (position << 3), 3);
    if (this.#bit(base + 1) === 0) return 10 + this.#tree(base + 130 + (position << 3), 3);
    return 18 + this.#tree(base + 258, 8);
  }

  #distance(length: number): number {
    const slot = this.#tree(SLOT + (Math.min(length - 2, 3) << 6), 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const high = ((2 | (slot & 1)) << bits) >>> 0;
    if (slot < 14) return high + this.#reverseTree(SPECIAL + high - slot, bits);
    return high + this.#direct(bits - 4) * 16 + this.#reverseTree(ALIGN, 4);
  }

  #tree(base: number, bits: number): number {
    let symbol = 1;
    for (let i = 0; i < bits; i++) symbol = (symbol << 1) | this.#bit(base + symbol);
    return symbol - (1 << bits);
  }

  #reverseTree(base: number, bits: number): number {
    let symbol = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.#bit(base + symbol);
      symbol = (symbol << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  #normalize(): void {
    if (this.#range >>> 0 >= TOP) return;
    // Bytes that are not there read as zeros; that too many were asked for is seen at the end of the chunk.
    this.#range <<= 8;
    this.#code = (this.#code << 8) | (this.#input[this.#inputAt++] ?? 0);
  }

  #bit(context: number): 0 | 1 {
    this.#normalize();
    const probability = this.#contexts[context] ?? HALF;
    const bound = Math.imul(this.#range >>> 11, probability);
    if (this.#code >>> 0 < bound >>> 0) {
      this.#range = bound;
      this.#contexts[context] = probability + ((2048 - probability) >> 5);
      return 0;
    }
    this.#range = (this.#range - bound) | 0;
    this.#code = (this.#code - bound) | 0;
    this.#contexts[context] = probability - (probability >> 5);
    return 1;
  }

  /** Bits that are as likely as not. */
  #direct(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) {
      this.#normalize();
      this.#range >>>= 1;
      const bit = this.#code >>> 0 >= this.#range >>> 0 ? 1 : 0;
      if (bit === 1) this.#code = (this.#code - this.#range) | 0;
      value = value * 2 + bit;
    }
    return value;
  }
}

function copy(window: Uint8Array, at: number, distance: number, count: number): void {
  const from = at - distance;
  // An overlapping copy repeats what it has just written.
  for (let i = 0; i < count; i++) window[at + i] = window[from + i] ?? 0;
}
