/**
 * Maps of sparse files: GNU's old format (in the header and extension blocks) and GNU's PAX formats 0.0, 0.1 and 1.0.
 * Every map is checked before use: pieces in order, without overlap, inside the file, and as long as the stored data.
 */
import type { Extent } from './entry.ts';
import { BLOCK, invalidHeader, number } from './header.ts';
import type { PaxRecord } from './pax.ts';
import { paxInteger } from './pax.ts';

/** A map of more pieces is refused: 24 bytes an entry in the old format make it 2.4 MB of headers. */
const EXTENTS_MAX = 100_000;

/** Entries of an old-format table of `count` pairs at `at`; a zero entry ends it. */
export function oldEntries(block: Buffer, at: number, count: number, into: Extent[]): void {
  for (let i = 0; i < count; i++) {
    const start = at + 24 * i;
    if (block[start] === 0) return;
    add(into, number(block, start, 12, 'sparse'), number(block, start + 12, 12, 'sparse'));
  }
}

/** Entries of an extension block; true: another one follows. */
export function oldExtension(block: Buffer, at: number, into: Extent[]): boolean {
  oldEntries(block, at, 21, into);
  return block[at + 504] !== 0;
}

/** The map of formats 0.0 (pairs of records) and 0.1 (one record); undefined when there is none. */
export function paxMap(records: readonly PaxRecord[]): Extent[] | undefined {
  const numbers: number[] = [];
  let found = false;
  for (const { key, value } of records) {
    if (key === 'GNU.sparse.map') {
      found = true;
      numbers.length = 0;
      const text = value.toString('latin1');
      if (text !== '') for (const part of text.split(',')) numbers.push(paxInteger(Buffer.from(part, 'latin1'), key));
    } else if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      found = true;
      if ((numbers.length % 2 === 0) !== (key === 'GNU.sparse.offset')) throw invalidHeader('sparse');
      numbers.push(paxInteger(value, key));
    }
  }
  return found ? pairs(numbers) : undefined;
}

/** Reads format 1.0's map, which stands before the data in decimal lines, padded to a block. */
export class MapReader {
  readonly #numbers: number[] = [];
  #rest = '';

  /** Takes one block; the map when it is complete. */
  take(block: Buffer, at: number): Extent[] | undefined {
    const lines = (this.#rest + block.toString('latin1', at, at + BLOCK)).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      this.#numbers.push(paxInteger(Buffer.from(line, 'latin1'), 'sparse'));
      const count = this.#numbers[0] ?? 0;
      if (count < 0 || count > EXTENTS_MAX) throw invalidHeader('sparse');
      if (this.#numbers.length === 1 + 2 * count) return pairs(this.#numbers.slice(1));
    }
    if (this.#rest.length > 20) throw invalidHeader('sparse');
    return undefined;
  }
}

function pairs(numbers: readonly number[]): Extent[] {
  if (numbers.length % 2 !== 0) throw invalidHeader('sparse');
  const extents: Extent[] = [];
  for (let i = 0; i < numbers.length; i += 2) add(extents, numbers[i] ?? 0, numbers[i + 1] ?? 0);
  return extents;
}

function add(into: Extent[], offset: number, length: number): void {
  if (into.length >= EXTENTS_MAX) throw invalidHeader('sparse');
  into.push({ offset, length });
}

/** Checks a map against the file's logical size and the number of stored bytes. */
export function checkMap(extents: readonly Extent[], size: number, stored: number): void {
  let end = 0;
  let total = 0;
  for (const { offset, length } of extents) {
    if (offset < end || length < 0 || offset + length > size || !Number.isSafeInteger(offset + length)) {
      throw invalidHeader('sparse');
    }
    end = offset + length;
    total += length;
  }
  if (size < 0 || total !== stored) throw invalidHeader('sparse');
}
