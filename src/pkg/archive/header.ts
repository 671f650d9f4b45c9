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
  block.write(fields.name, 0, 100, 'latin1');
  octal(block, 100, 8, fields.mode);
  octal(block, 108, 8, fields.uid);
  octal(block, 116, 8, fields.gid);
  octal(block, 124, 12, fields.size);
  octal(block, 136, 12, fields.mtime);
  block.write(fields.flag, 156, 1, 'latin1');
  block.write(fields.linkName, 157, 100, 'latin1');
  block.write('ustar\u000000', 257, 8, 'latin1');
  octal(block, 329, 8, fields.deviceMajor);
  octal(block, 337, 8, fields.deviceMinor);
  block.write(fields.prefix, 345, 155, 'latin1');
  block.fill(0x20, CHECKSUM_AT, CHECKSUM_AT + 8);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_AT, 8, 'latin1');
  return block;
}

function octal(block: Buffer, at: number, width: number, value: number): void {
  block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, width, 'latin1');
}
