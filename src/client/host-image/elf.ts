/**
 * What the loader needs to know of an ELF file: its machine, interpreter and libraries. Read by hand, because running
 * `ldd` would run the program's loader. Little-endian only, as all machines we run on are.
 */
import { dataLoss } from '#errdefs/errors.ts';

export interface ElfFile {
  readonly bits: 32 | 64;
  readonly machine: number;
  /** Empty: static. */
  readonly interpreter: string;
  readonly needed: readonly string[];
  /** Search paths in the file, unexpanded; `runPath` makes the loader ignore `rPath`. */
  readonly rPath: readonly string[];
  readonly runPath: readonly string[];
}

const MAGIC = 0x464c457f;
const SEGMENT_LOAD = 1;
const SEGMENT_DYNAMIC = 2;
const SEGMENT_INTERPRETER = 3;
const TAG = { end: 0, needed: 1, strings: 5, rPath: 15, runPath: 29 } as const;
const SEGMENTS_MAX = 1024;
const TAGS_MAX = 4096;

export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === MAGIC;
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/** Errors: data-loss when the file is no ELF file or ends too early. `path` is for the message. */
export function parseElf(bytes: Uint8Array, path: string): ElfFile {
  try {
    return new Reader(bytes).read();
  } catch (error) {
    const why = error instanceof RangeError ? 'it ends too early' : error instanceof Error ? error.message : '';
    throw dataLoss(`Cannot read "${path}" as a program: ${why}`, { cause: error });
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #wide: boolean;

  constructor(bytes: Uint8Array) {
    if (!isElf(bytes)) throw new Error('it is no ELF file');
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#wide = this.#view.getUint8(4) === 2;
    if (this.#view.getUint8(5) !== 1) throw new Error('it is big-endian');
  }

  read(): ElfFile {
    const segments = this.#segments();
    const interpreter = segments.find((s) => s.type === SEGMENT_INTERPRETER);
    const dynamic = segments.find((s) => s.type === SEGMENT_DYNAMIC);
    const tags = dynamic === undefined ? [] : this.#tags(dynamic);
    const stringsAt = tags.find(([tag]) => tag === TAG.strings)?.[1];
    const strings = stringsAt === undefined ? 0 : fileOffset(segments, stringsAt);
    const texts = (wanted: number) =>
      tags.filter(([tag]) => tag === wanted).map(([, offset]) => this.#text(strings + offset));
    return {
      bits: this.#wide ? 64 : 32,
      machine: this.#view.getUint16(18, true),
      interpreter: interpreter === undefined ? '' : this.#text(interpreter.offset),
      needed: texts(TAG.needed),
      rPath: texts(TAG.rPath).flatMap((path) => path.split(':')),
      runPath: texts(TAG.runPath).flatMap((path) => path.split(':')),
    };
  }

  #segments(): Segment[] {
    const wide = this.#wide;
    const start = this.#word(wide ? 32 : 28);
    const size = this.#view.getUint16(wide ? 54 : 42, true);
    const count = this.#view.getUint16(wide ? 56 : 44, true);
    if (count > SEGMENTS_MAX) throw new Error(`it has ${count} segments`);
    return Array.from({ length: count }, (_, i) => {
      const at = start + i * size;
      return {
        type: this.#view.getUint32(at, true),
        offset: this.#word(at + (wide ? 8 : 4)),
        address: this.#word(at + (wide ? 16 : 8)),
        size: this.#word(at + (wide ? 32 : 16)),
      };
    });
  }

  #tags({ offset, size }: Segment): (readonly [number, number])[] {
    const step = this.#wide ? 8 : 4;
    const tags: (readonly [number, number])[] = [];
    for (let at = offset; at < offset + size && tags.length < TAGS_MAX; at += 2 * step) {
      const tag = this.#word(at);
      if (tag === TAG.end) break;
      tags.push([tag, this.#word(at + step)]);
    }
    return tags;
  }

  #word(at: number): number {
    return this.#wide ? Number(this.#view.getBigUint64(at, true)) : this.#view.getUint32(at, true);
  }

  #text(at: number): string {
    const end = this.#bytes.indexOf(0, at);
    if (at >= this.#bytes.length || end < 0) throw new RangeError('text without an end');
    return new TextDecoder().decode(this.#bytes.subarray(at, end));
  }
}

/** The dynamic section holds addresses; the file is mapped segment by segment. */
function fileOffset(segments: readonly Segment[], address: number): number {
  const segment = segments.find((s) => s.type === SEGMENT_LOAD && address >= s.address && address < s.address + s.size);
  if (segment === undefined) throw new Error('its string table is in no segment');
  return address - segment.address + segment.offset;
}
