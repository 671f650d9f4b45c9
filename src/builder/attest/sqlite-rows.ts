/**
 * Rows of a table in a SQLite file of a stranger. Our own reader: the file is an image's, so it is not given to a library
 * in this process, and of its format little is needed (sqlite.org/fileformat2.html): pages of one table's tree, records,
 * what does not fit into a page. Pure; whatever the bytes are, it ends.
 */
import { dataLoss } from '#errdefs/errors.ts';

export type SqliteValue = number | string | Buffer | undefined;

const MAGIC = Buffer.from('SQLite format 3\0', 'latin1');
const HEADER_BYTES = 100;
const LEAF = 13;
const INTERIOR = 5;
const DEPTH_MAX = 20;

/** Errors: data-loss for what is no such file, or has no such table. */
export function sqliteRows(file: Buffer, table: string): SqliteValue[][] {
  if (file.length < HEADER_BYTES || !file.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged('it is no database');
  const found = new Tree(file).rows(1).find(([type, name]) => type === 'table' && name === table);
  const root = found?.[3];
  if (typeof root !== 'number') throw damaged(`it has no table ${table}`);
  return new Tree(file).rows(root);
}

const damaged = (why: string) => dataLoss(`the database is damaged: ${why}`);

class Tree {
  readonly #file: Buffer;
  readonly #pageBytes: number;
  /** Of a page, without what extensions have at its end. */
  readonly #usable: number;
  readonly #seen = new Set<number>();

  constructor(file: Buffer) {
    const size = file.readUInt16BE(16);
    this.#file = file;
    this.#pageBytes = size === 1 ? 65_536 : size;
    this.#usable = this.#pageBytes - (file[20] ?? 0);
    if (this.#usable < 480) throw damaged('its pages are too small');
  }

  rows(root: number): SqliteValue[][] {
    const rows: SqliteValue[][] = [];
    this.#walk(root, 0, rows);
    return rows;
  }

  /** Each page is part of one tree, at one place. */
  #page(number: number): Buffer {
    const page = this.#file.subarray((number - 1) * this.#pageBytes, number * this.#pageBytes);
    if (number < 1 || page.length < this.#pageBytes || this.#seen.has(number)) throw damaged(`page ${number}`);
    this.#seen.add(number);
    return page;
  }

  #walk(number: number, depth: number, rows: SqliteValue[][]): void {
    if (depth > DEPTH_MAX) throw damaged('its tree is too deep');
    const page = this.#page(number);
    const at = number === 1 ? HEADER_BYTES : 0;
    const type = page[at];
    if (type !== LEAF && type !== INTERIOR) throw damaged(`page ${number} is of no table`);
    const cells = at + (type === LEAF ? 8 : 12);
    const count = page.readUInt16BE(at + 3);
    if (cells + 2 * count > page.length) throw damaged(`page ${number} has too many cells`);
    for (let i = 0; i < count; i++) {
      const cell = page.readUInt16BE(cells + 2 * i);
      if (cell + 4 > page.length) throw damaged(`page ${number} has a cell outside`);
      if (type === INTERIOR) this.#walk(page.readUInt32BE(cell), depth + 1, rows);
      else rows.push(recordOf(this.#payload(page, cell)));
    }
    if (type === INTERIOR) this.#walk(page.readUInt32BE(at + 8), depth + 1, rows);
  }

  #payload(page: Buffer, cell: number): Buffer {
    const [length, afterLength] = varint(page, cell);
    const [, start] = varint(page, afterLength);
    if (length > this.#file.length) throw damaged('a record is longer than the file');
    const largest = this.#usable - 35;
    if (length <= largest) return whole(page.subarray(start, start + length), length);
    const least = Math.floor(((this.#usable - 12) * 32) / 255) - 23;
    const wanted = least + ((length - least) % (this.#usable - 4));
    const local = wanted <= largest ? wanted : least;
    const pieces = [whole(page.subarray(start, start + local), local)];
    if (start + local + 4 > page.length) throw damaged('a record has no rest');
    let next = page.readUInt32BE(start + local);
    for (let left = length - local; left > 0; ) {
      const overflow = this.#page(next);
      const count = Math.min(left, this.#usable - 4);
      pieces.push(overflow.subarray(4, 4 + count));
      left -= count;
      next = overflow.readUInt32BE(0);
    }
    return Buffer.concat(pieces);
  }
}

function whole(bytes: Buffer, length: number): Buffer {
  if (bytes.length !== length) throw damaged('a record is cut off');
  return bytes;
}

/** Seven bits a byte, the ninth has eight. Larger than any length here: read as such, and refused by its reader. */
function varint(bytes: Buffer, from: number): [value: number, next: number] {
  let value = 0;
  for (let i = 0; i < 9; i++) {
    const byte = bytes[from + i];
    if (byte === undefined) throw damaged('a number is cut off');
    if (i === 8) return [value * 256 + byte, from + 9];
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return [value, from + i + 1];
  }
  throw damaged('a number is too long');
}

const INTEGER_BYTES: readonly number[] = [0, 1, 2, 3, 4, 6, 8];

function recordOf(record: Buffer): SqliteValue[] {
  const values: SqliteValue[] = [];
  const [headerBytes, first] = varint(record, 0);
  let body = headerBytes;
  for (let at = first; at < headerBytes; ) {
    const [type, next] = varint(record, at);
    at = next;
    const length = type >= 12 ? Math.floor((type - 12) / 2) : type === 7 ? 8 : (INTEGER_BYTES[type] ?? 0);
    const bytes = whole(record.subarray(body, body + length), length);
    body += length;
    if (type >= 12) values.push(type % 2 === 0 ? bytes : bytes.toString());
    else if (type === 8 || type === 9) values.push(type - 8);
    else if (type === 7) values.push(bytes.readDoubleBE());
    else
      values.push(
        length === 0 ? undefined : length === 8 ? Number(bytes.readBigInt64BE()) : bytes.readIntBE(0, length),
      );
  }
  return values;
}
