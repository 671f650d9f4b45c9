/**
 * The 512-byte header block of tar: numbers, names, checksum, and the dialects v7, ustar, GNU and STAR. Only the block;
 * what several blocks mean together (PAX, long names, sparse maps) is the parser's and the writer's.
 */
import { type BerthError, dataLoss } from '#errdefs/errors.ts';
import type { ByteString } from './entry.ts';

export const BLOCK = 512;
const CHECKSUM_AT = 148;

export interface RawHeader {
  readonly name: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  /** The type flag's character code. */
  readonly flag: number;
  readonly linkName: ByteString;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly gnu: boolean;
}

export const invalidHeader = (why: string): BerthError => dataLoss(`archive/tar: invalid tar header (${why})`);

/** Whether the block is all zeros, which is how an archive ends. */
export function isZeroBlock(block: Buffer, at: number): boolean {
  for (let i = at; i < at + BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

/** Reads the block at `at`. Errors: data-loss when the checksum or a number is wrong. */
export function parseHeader(block: Buffer, at: number): RawHeader {
  checkSum(block, at);
  const magic = block.toString('latin1', at + 257, at + 265);
  const posix = magic.startsWith('ustar\0');
  const gnu = magic === 'ustar  \0';
  const star = posix && block.toString('latin1', at + 508, at + 512) === 'tar\0';
  let name = text(block, at, 100);
  if (posix) {
    const prefix = text(block, at + 345, star ? 131 : 155);
    if (prefix !== '') name = `${prefix}/${name}`;
  }
  const devices = posix || gnu;
  const flag = block[at + 156] ?? 0;
  return {
    name,
    mode: number(block, at + 100, 8, 'mode'),
    uid: number(block, at + 108, 8, 'uid'),
    gid: number(block, at + 116, 8, 'gid'),
    size: number(block, at + 124, 12, 'size'),
    mtime: number(block, at + 136, 12, 'mtime'),
    flag,
    linkName: text(block, at + 157, 100),
    // Only devices have them; some writers leave junk there for the rest.
    deviceMajor: devices && (flag === 0x33 || flag === 0x34) ? number(block, at + 329, 8, 'devmajor') : 0,
    deviceMinor: devices && (flag === 0x33 || flag === 0x34) ? number(block, at + 337, 8, 'devminor') : 0,
    gnu,
  };
}

/** A NUL-terminated or full-width field. */
function text(block: Buffer, at: number, width: number): ByteString {
  if (block[at] === 0) return '';
  const end = block.indexOf(0, at);
  return block.toString('latin1', at, end < 0 || end > at + width ? at + width : end);
}

/** Octal with blanks around it, or base 256 when the first byte's high bit is set. */
export function number(block: Buffer, at: number, width: number, field: string): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) return base256(block, at, width, field);
  let i = at;
  const end = at + width;
  while (i < end && block[i] === 0x20) i += 1;
  let value = 0;
  for (; i < end; i++) {
    const digit = (block[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  for (; i < end; i++) {
    const byte = block[i];
    if (byte === 0) break;
    if (byte !== 0x20) throw invalidHeader(field);
  }
  return value;
}

function base256(block: Buffer, at: number, width: number, field: string): number {
  const negative = ((block[at] ?? 0) & 0x40) !== 0;
  let value = BigInt((block[at] ?? 0) & 0x7f);
  if (negative) value -= 0x80n;
  for (let i = 1; i < width; i++) value = value * 256n + BigInt(block[at + i] ?? 0);
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < -BigInt(Number.MAX_SAFE_INTEGER)) throw invalidHeader(field);
  return Number(value);
}

function checkSum(block: Buffer, at: number): void {
  const stored = number(block, at + CHECKSUM_AT, 8, 'checksum');
  if (unsignedSum(block, at) === stored) return;
  // Historic writers added signed bytes.
  let signed = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) {
    if (i < CHECKSUM_AT || i >= CHECKSUM_AT + 8) signed += ((block[at + i] ?? 0) << 24) >> 24;
  }
  if (signed !== stored) throw invalidHeader('checksum');
}

/** Sum of all bytes with the checksum field read as blanks: by words where the memory is aligned, four times faster. */
function unsignedSum(block: Buffer, at: number): number {
  const start = block.byteOffset + at;
  let sum = 8 * 0x20;
  if (start % 4 === 0) {
    const words = new Uint32Array(block.buffer, start, BLOCK / 4);
    let lanes = 0;
    for (let i = 0; i < BLOCK / 4; i++) {
      const word = words[i] ?? 0;
      lanes += (word & 0xff00ff) + ((word >>> 8) & 0xff00ff);
    }
    // Two lanes of 16 bits: 128 words add at most 128 · 2 · 255 = 65280 to each, so neither overflows.
    sum += (lanes & 0xffff) + (lanes >>> 16);
    for (let i = CHECKSUM_AT; i < CHECKSUM_AT + 8; i++) sum -= block[at + i] ?? 0;
    return sum;
  }
  for (let i = 0; i < BLOCK; i++) if (i < CHECKSUM_AT || i >= CHECKSUM_AT + 8) sum += block[at + i] ?? 0;
  return sum;
}

/** What a header block is written from; everything must fit (the writer sees to it by PAX records). */
export interface HeaderFields {
  readonly name: ByteString;
  readonly prefix: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly flag: string;
  readonly linkName: ByteString;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** Largest number of an octal field of `width` bytes with its terminator. */
export const octalMax = (width: number): number => 8 ** (width - 1) - 1;

/** A POSIX ustar block. */
export function formatHeader(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK);
  let sum = SUM_OF_THE_SAME;
  sum += latin1(block, 0, 100, fields.name);
  sum += octal(block, 100, 7, fields.mode);
  sum += octal(block, 108, 7, fields.uid);
  sum += octal(block, 116, 7, fields.gid);
  sum += octal(block, 124, 11, fields.size);
  sum += octal(block, 136, 11, fields.mtime);
  sum += latin1(block, 156, 1, fields.flag);
  sum += latin1(block, 157, 100, fields.linkName);
  block.set(MAGIC, 257);
  sum += octal(block, 329, 7, fields.deviceMajor);
  sum += octal(block, 337, 7, fields.deviceMinor);
  sum += latin1(block, 345, 155, fields.prefix);
  octal(block, CHECKSUM_AT, 6, sum);
  block[CHECKSUM_AT + 7] = 0x20;
  return block;
}

const MAGIC = Buffer.from('ustar\u000000', 'latin1');
/** The magic, and the checksum's own field as blanks. */
const SUM_OF_THE_SAME = MAGIC.reduce((sum, byte) => sum + byte, 8 * 0x20);

/** Digits and a NUL, which is there. Answers the sum of the bytes. */
function octal(block: Buffer, at: number, digits: number, value: number): number {
  let rest = value;
  let sum = 0;
  for (let i = at + digits - 1; i >= at; i--) {
    // Sizes have more than 32 bits: no shifts.
    const digit = 0x30 + (rest % 8);
    block[i] = digit;
    sum += digit;
    rest = Math.floor(rest / 8);
  }
  return sum;
}

function latin1(block: Buffer, at: number, width: number, value: ByteString): number {
  const length = Math.min(width, value.length);
  let sum = 0;
  for (let i = 0; i < length; i++) {
    const byte = value.charCodeAt(i) & 0xff;
    block[at + i] = byte;
    sum += byte;
  }
  return sum;
}
