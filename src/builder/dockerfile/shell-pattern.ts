/**
 * A shell's patterns (`*`, `?`, `\x`) for `${v#p}`, `${v%p}` and `${v/p/r}`. Matching goes segment by segment between
 * the stars and never backtracks over more than one of them, so a hostile pattern costs its length times the text's.
 */
import { Fault } from './source.ts';

/** One character; `undefined` is any. */
type Segment = readonly (string | undefined)[];

/** What stands between the stars; one segment when there is no star. */
function segmentsOf(pattern: string): readonly Segment[] {
  const segments: (string | undefined)[][] = [[]];
  const characters = Array.from(pattern);
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at];
    const last = segments.at(-1);
    if (character === '*') segments.push([]);
    else if (character === '?') last?.push(undefined);
    else if (character !== '\\') last?.push(character);
    else if (++at < characters.length) last?.push(characters[at]);
    else throw new Fault("invalid escape '\\' at the end of a pattern");
  }
  return segments;
}

function matchesAt(text: readonly string[], segment: Segment, at: number): boolean {
  if (at + segment.length > text.length) return false;
  return segment.every((character, index) => character === undefined || character === text[at + index]);
}

/** The first place from `from` on at which the segment matches, or -1. */
function find(text: readonly string[], segment: Segment, from: number): number {
  for (let at = from; at + segment.length <= text.length; at++) if (matchesAt(text, segment, at)) return at;
  return -1;
}

/** The last place not before `from`, or -1. */
function findLast(text: readonly string[], segment: Segment, from: number): number {
  for (let at = text.length - segment.length; at >= from; at--) if (matchesAt(text, segment, at)) return at;
  return -1;
}

/** Where a match that starts at `start` ends; 'never' when no later start can match either, -1 when this one cannot. */
function endOf(
  text: readonly string[],
  segments: readonly Segment[],
  start: number,
  greedy: boolean,
): number | 'never' {
  const [first = [], ...rest] = segments;
  if (!matchesAt(text, first, start)) return -1;
  let end = start + first.length;
  for (const [index, segment] of rest.entries()) {
    const at = (greedy && index === rest.length - 1 ? findLast : find)(text, segment, end);
    if (at < 0) return 'never';
    end = at + segment.length;
  }
  return end;
}

export function trimPrefix(value: string, pattern: string, greedy: boolean): string {
  const text = Array.from(value);
  const end = endOf(text, segmentsOf(pattern), 0, greedy);
  return typeof end === 'number' && end > 0 ? text.slice(end).join('') : value;
}

export function trimSuffix(value: string, pattern: string, greedy: boolean): string {
  const text = Array.from(value).reverse();
  const segments = segmentsOf(pattern)
    .map((segment) => [...segment].reverse())
    .reverse();
  const end = endOf(text, segments, 0, greedy);
  return typeof end === 'number' && end > 0 ? text.slice(end).reverse().join('') : value;
}

/** Replaces the first match, or all of them; the longest from each place. An empty pattern matches nothing. */
export function replacePattern(value: string, pattern: string, replacement: string, all: boolean): string {
  if (pattern === '') return value;
  const text = Array.from(value);
  const segments = segmentsOf(pattern);
  let out = '';
  let at = 0;
  while (at < text.length) {
    const end = endOf(text, segments, at, true);
    if (end === 'never') break;
    if (end > at) {
      out += replacement;
      at = end;
      if (!all) break;
    } else {
      out += text[at++];
    }
  }
  return out + text.slice(at).join('');
}
