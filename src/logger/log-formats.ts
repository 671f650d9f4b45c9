/** What reading a log needs of its format, json-file's or the compact one; decoders are made when first used. */
import { LogDecoder } from './json-file/decoder.ts';
import * as jsonSearch from './json-file/search.ts';
import { CompactDecoder, type CompactRendering } from './local/decoder.ts';
import * as compactSearch from './local/search.ts';
import type { LogFileTarget } from './log-file.ts';
import { type Decoded, renderAttrs, type Rendering, type TailPlace } from './rendering.ts';

/** One reading. The block and the output are shared by all readings of the thread: nothing is awaited in between. */
export interface LogFormat {
  readonly block: Uint8Array;
  /** The output of the first `length` bytes of the block. */
  decode(length: number): Decoded;
  /** Leaves out so many lines at the beginning. */
  skip(lines: number): void;
  tailOffset(fd: number, size: number, lines: number): TailPlace;
  timeOffset(fd: number, size: number, ns: bigint, after?: boolean): number;
}

interface Wanted extends Rendering {
  readonly log: Pick<LogFileTarget, 'driver' | 'attrs'>;
  readonly sinceNs: bigint;
  readonly untilNs: bigint;
}

export class LogFormats {
  #json: LogDecoder | undefined;
  #compact: CompactDecoder | undefined;

  of(wanted: Wanted): LogFormat {
    return wanted.log.driver === 'local' ? this.#compactFormat(wanted) : this.#jsonFormat(wanted);
  }

  #jsonFormat(how: Rendering): LogFormat {
    this.#json ??= new LogDecoder();
    const decoder = this.#json;
    return {
      block: decoder.block,
      decode: (length) => decoder.decode(0, length, how),
      skip: () => {},
      tailOffset: jsonSearch.tailOffset,
      timeOffset: jsonSearch.timeOffset,
    };
  }

  #compactFormat(wanted: Wanted): LogFormat {
    this.#compact ??= new CompactDecoder();
    const decoder = this.#compact;
    const how: CompactRendering = { ...wanted, prefix: prefixOf(wanted), skip: { lines: 0 } };
    return {
      block: decoder.block,
      decode: (length) => decoder.decode(0, length, how),
      skip: (lines) => {
        how.skip.lines = lines;
      },
      tailOffset: compactSearch.tailOffset,
      timeOffset: compactSearch.timeOffset,
    };
  }
}

/** The attributes are the same for every line, and not in the file. */
function prefixOf({ details, log }: Wanted): Uint8Array {
  if (!details) return new Uint8Array(0);
  // as: written by the options of the driver.
  const attrs = log.attrs === '' ? {} : (JSON.parse(log.attrs) as Record<string, string>);
  return Buffer.from(`${renderAttrs(attrs)} `);
}
