/**
 * HPACK, the header compression of HTTP/2. The decoder knows all of it, since peers use all of it; the encoder writes
 * literals that change no table, which every peer must take. What a peer may make us keep is bounded.
 */
import { codeLengths, staticFields } from './hpack-tables.ts';

export type HeaderField = readonly [name: string, value: string];

/** A header block or table that cannot be; the connection cannot go on, as its tables would differ. */
export class HpackError extends Error {}

/** What SETTINGS_HEADER_TABLE_SIZE is without being set. */
const TABLE_BYTES_MAX = 4096;
/** RFC 7541, 4.1: what an entry costs besides its letters. */
const ENTRY_OVERHEAD = 32;

export class HpackDecoder {
  readonly #listBytesMax: number;
  #table: HeaderField[] = [];
  #tableBytes = 0;
  #tableBytesMax = TABLE_BYTES_MAX;

  constructor(listBytesMax: number) {
    this.#listBytesMax = listBytesMax;
  }

  decode(block: Uint8Array): readonly HeaderField[] {
    const input = new Input(block);
    const fields: HeaderField[] = [];
    let size = 0;
    while (!input.done) {
      const first = input.peek;
      if ((first & 0xe0) === 0x20) {
        if (fields.length > 0) throw new HpackError('a table size behind a field');
        this.#resize(input.integer(5));
        continue;
      }
      const field = this.#field(input, first);
      size += field[0].length + field[1].length + ENTRY_OVERHEAD;
      if (size > this.#listBytesMax) throw new HpackError(`headers of more than ${this.#listBytesMax} bytes`);
      fields.push(field);
    }
    return fields;
  }

  #field(input: Input, first: number): HeaderField {
    if ((first & 0x80) !== 0) return this.#entry(input.integer(7));
    const keep = (first & 0x40) !== 0;
    const index = input.integer(keep ? 6 : 4);
    const name = index === 0 ? input.text() : this.#entry(index)[0];
    const field: HeaderField = [name, input.text()];
    if (keep) this.#add(field);
    return field;
  }

  #entry(index: number): HeaderField {
    const dynamic = index - staticFields.length - 1;
    const field = dynamic < 0 ? staticFields[index - 1] : this.#table[dynamic];
    if (field === undefined) throw new HpackError(`no field of number ${index}`);
    return field;
  }

  #add(field: HeaderField): void {
    this.#table.unshift(field);
    this.#tableBytes += sizeOf(field);
    this.#evict();
  }

  #resize(bytes: number): void {
    if (bytes > TABLE_BYTES_MAX) throw new HpackError(`a table of ${bytes} bytes`);
    this.#tableBytesMax = bytes;
    this.#evict();
  }

  #evict(): void {
    while (this.#tableBytes > this.#tableBytesMax) {
      const gone = this.#table.pop();
      if (gone === undefined) break;
      this.#tableBytes -= sizeOf(gone);
    }
  }
}

const sizeOf = ([name, value]: HeaderField) => name.length + value.length + ENTRY_OVERHEAD;

class Input {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  get peek(): number {
    return this.#bytes[this.#at] ?? 0;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new HpackError('a header block that ends too early');
    return byte;
  }

  integer(prefix: number): number {
    const mask = (1 << prefix) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; ; shift += 7) {
      if (shift > 21) throw new HpackError('a number that is too large');
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
  }

  /** One character per byte. */
  text(): string {
    const huffman = (this.peek & 0x80) !== 0;
    const length = this.integer(7);
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    if (bytes.length < length) throw new HpackError('a header block that ends too early');
    this.#at += length;
    return Buffer.from(huffman ? decodeHuffman(bytes) : bytes).toString('latin1');
  }
}

/** Codes of one length follow each other in the order of their symbols. */
interface CodesOfLength {
  readonly length: number;
  readonly first: number;
  readonly symbols: readonly number[];
}

const END = 256;
const BITS_MAX = 30;

function canonicalCodes(): readonly (CodesOfLength | undefined)[] {
  const out: (CodesOfLength | undefined)[] = [];
  let code = 0;
  for (let length = 1; length <= BITS_MAX; length++) {
    code *= 2;
    const symbols = codeLengths.flatMap((bits, symbol) => (bits === length ? [symbol] : []));
    out[length] = symbols.length === 0 ? undefined : { length, first: code, symbols };
    code += symbols.length;
  }
  return out;
}

const codes = canonicalCodes();

function decodeHuffman(bytes: Uint8Array): Uint8Array {
  const out: number[] = [];
  let code = 0;
  let length = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1);
      length++;
      const group = codes[length];
      const symbol = group?.symbols[code - group.first];
      if (symbol === END || length > BITS_MAX) throw new HpackError('a Huffman code that cannot be');
      if (symbol === undefined) continue;
      out.push(symbol);
      code = 0;
      length = 0;
    }
  }
  // What is left over is padding: at most seven ones.
  if (length > 7 || code !== 2 ** length - 1) throw new HpackError('padding that cannot be');
  return Uint8Array.from(out);
}

/** Literals without indexing; names as they are, lower case. */
export function encodeHeaders(fields: readonly HeaderField[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, value] of fields) {
    const known = staticFields.findIndex(([staticName, staticValue]) => staticName === name && staticValue === value);
    if (known >= 0 && value !== '') {
      parts.push(encodeInteger(known + 1, 7, 0x80));
      continue;
    }
    parts.push(Uint8Array.of(0), encodeText(name), encodeText(value));
  }
  return Buffer.concat(parts);
}

function encodeText(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([encodeInteger(bytes.length, 7, 0), bytes]);
}

function encodeInteger(value: number, prefix: number, mark: number): Uint8Array {
  const mask = (1 << prefix) - 1;
  if (value < mask) return Uint8Array.of(mark | value);
  const out = [mark | mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) out.push((rest & 0x7f) | 0x80);
  out.push(rest);
  return Uint8Array.from(out);
}
