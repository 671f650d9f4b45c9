/**
 * The pages of our own program that stay mapped once they were used: start-up, the JIT's compilers and the collector touch
 * 30 MB of the runtime's text that an engine at rest never needs. They are clean pages of a file: dropped, what is needed
 * comes back by a minor fault, from the page cache.
 */
import { call } from './call.ts';
import { exists, readText, realPath } from './host-files.ts';
import { NR } from './numbers.ts';

const MADV_DONTNEED = 4;

export interface TextRange {
  readonly start: number;
  readonly length: number;
}

/**
 * Code, and the constants in front of it, of `program` in the text of /proc/self/maps. Nothing else: a read-only mapping
 * behind the code was written by the linker before, and would lose that.
 */
export function textRanges(maps: string, program: string): TextRange[] {
  const ranges: TextRange[] = [];
  for (const line of maps.split('\n')) {
    const [addresses = '', mode = '', offset = '', , , ...name] = line.split(/ +/);
    if (name.join(' ') !== program) continue;
    if (mode !== 'r-xp' && !(mode === 'r--p' && Number(`0x${offset}`) === 0)) continue;
    const [start = 0, end = 0] = addresses.split('-').map((text) => Number(`0x${text}`));
    ranges.push({ start, length: end - start });
  }
  return ranges;
}

let known: readonly TextRange[] | undefined;

/** About a millisecond, and some hundred faults afterwards. Fails silently: it only saves memory. */
export function dropText(): void {
  const self = '/proc/self/exe';
  known ??= exists(self) ? textRanges(readText('/proc/self/maps'), realPath(self)) : [];
  for (const { start, length } of known) call(NR.madvise, start, length, MADV_DONTNEED);
}
