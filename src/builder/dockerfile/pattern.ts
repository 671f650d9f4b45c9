/**
 * One pattern of a .dockerignore or of `--exclude`, as moby/patternmatcher reads it: `*` and `?` stay within a name,
 * `**` crosses them, `[a-z]` is a class, `\x` is x. Patterns come with the context and are hostile: one with many stars
 * is run as a set of states, whose cost is its length times the path's, never as a backtracking expression.
 */
import { invalidParameter } from '#errdefs/errors.ts';

type Part =
  | { readonly kind: 'char'; readonly char: string }
  /** `?` */
  | { readonly kind: 'one' }
  /** `[…]` */
  | { readonly kind: 'class'; readonly source: string; readonly test: RegExp }
  /** `*` */
  | { readonly kind: 'star' }
  /** `**` before more: skipped, or the next part, which takes anything up to and with a slash. */
  | { readonly kind: 'fork' }
  | { readonly kind: 'directories' }
  /** `**` at the end. */
  | { readonly kind: 'rest' };

/** So many stars a backtracking expression may have: its cost is at most the square of a path's length. */
const STARS_IN_EXPRESSION_MAX = 2;

export class Pattern {
  /** Clean, without `!` and without a slash in front. */
  readonly text: string;
  readonly #parts: readonly Part[];
  readonly #literal: string | undefined;
  readonly #suffix: string | undefined;
  readonly #expression: RegExp | undefined;

  /** Throws invalid-parameter `syntax error in pattern`. */
  constructor(text: string) {
    this.text = text;
    this.#parts = partsOf(text);
    this.#literal = literalOf(this.#parts);
    // `**x` is everything that ends with x, `**/x` everything that ends with /x, and x itself.
    const rest = this.#parts[0]?.kind === 'fork' ? literalOf(this.#parts.slice(2)) : undefined;
    if (rest !== undefined) this.#suffix = text.startsWith('**/') ? `/${rest}` : rest;
    const stars = this.#parts.filter(({ kind }) => kind === 'star' || kind === 'fork' || kind === 'rest').length;
    if (stars <= STARS_IN_EXPRESSION_MAX) this.#expression = expressionOf(this.#parts);
  }

  /** `path` is relative, with slashes between names and none at either end. */
  matches(path: string): boolean {
    if (this.#literal !== undefined) return this.#literal === path;
    if (this.#suffix !== undefined) return path.endsWith(this.#suffix) || `/${path}` === this.#suffix;
    if (this.#expression !== undefined) return this.#expression.test(path);
    return this.#run(path).has(this.#parts.length);
  }

  /** Whether something strictly below a directory can match. */
  canMatchBelow(directory: string): boolean {
    if (directory === '') return true;
    if (this.#literal !== undefined) return this.#literal.startsWith(`${directory}/`);
    if (this.#suffix !== undefined) return true;
    const states = this.#run(`${directory}/`);
    // In the accepting state there is nothing left that a name below could match.
    states.delete(this.#parts.length);
    return states.size > 0;
  }

  /** The states (indexes of parts; their count accepts) in which a text leaves the pattern. */
  #run(text: string): Set<number> {
    let states = this.#closed(new Set([0]));
    for (const character of text) {
      const next = new Set<number>();
      for (const state of states) this.#step(state, character, next);
      states = this.#closed(next);
      if (states.size === 0) break;
    }
    return states;
  }

  #step(state: number, character: string, next: Set<number>): void {
    const part = this.#parts[state];
    switch (part?.kind) {
      case 'char':
        if (part.char === character) next.add(state + 1);
        break;
      case 'one':
        if (character !== '/') next.add(state + 1);
        break;
      case 'class':
        if (part.test.test(character)) next.add(state + 1);
        break;
      case 'star':
        if (character !== '/') next.add(state);
        break;
      case 'directories':
        next.add(state);
        if (character === '/') next.add(state + 1);
        break;
      case 'rest':
        next.add(state);
        break;
      case 'fork':
      case undefined:
        break;
    }
  }

  /** With the states that are reached without a character. A set takes what is added while it is walked. */
  #closed(states: Set<number>): Set<number> {
    for (const state of states) {
      const kind = this.#parts[state]?.kind;
      if (kind === 'star' || kind === 'rest') states.add(state + 1);
      if (kind === 'fork') states.add(state + 1).add(state + 2);
    }
    return states;
  }
}

function literalOf(parts: readonly Part[]): string | undefined {
  let text = '';
  for (const part of parts) {
    if (part.kind !== 'char') return undefined;
    text += part.char;
  }
  return text;
}

function expressionOf(parts: readonly Part[]): RegExp {
  const sources = parts.map((part) => {
    switch (part.kind) {
      case 'char':
        return quoted(part.char);
      case 'one':
        return '[^/]';
      case 'class':
        return part.source;
      case 'star':
        return '[^/]*';
      case 'fork':
        return '(?:';
      case 'directories':
        return '.*/)?';
      case 'rest':
        return '.*';
      default:
        return part satisfies never;
    }
  });
  return new RegExp(`^${sources.join('')}$`, 'su');
}

function partsOf(text: string): readonly Part[] {
  const parts: Part[] = [];
  const characters = Array.from(text);
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] ?? '';
    if (character === '*' && characters[at + 1] === '*') {
      at++;
      // `**/` is `**`.
      if (characters[at + 1] === '/') at++;
      if (at + 1 === characters.length) parts.push({ kind: 'rest' });
      else parts.push({ kind: 'fork' }, { kind: 'directories' });
    } else if (character === '*') {
      parts.push({ kind: 'star' });
    } else if (character === '?') {
      parts.push({ kind: 'one' });
    } else if (character === '[') {
      const end = endOfClass(characters, at);
      parts.push(classOf(characters.slice(at + 1, end)));
      at = end;
    } else if (character === '\\') {
      const escaped = characters[++at];
      if (escaped === undefined) throw badPattern();
      parts.push({ kind: 'char', char: escaped });
    } else {
      parts.push({ kind: 'char', char: character });
    }
  }
  return parts;
}

const badPattern = () => invalidParameter('syntax error in pattern');

function endOfClass(characters: readonly string[], start: number): number {
  let at = start + 1;
  if (characters[at] === '^') at++;
  // A bracket that comes first is one of the class.
  if (characters[at] === ']') at++;
  for (; at < characters.length; at++) {
    if (characters[at] === '\\') at++;
    else if (characters[at] === ']') return at;
  }
  throw badPattern();
}

/** The inside of a class: `^` in front negates it, `a-z` is a range, `\x` is x. */
function classOf(inside: readonly string[]): Part {
  const negated = inside[0] === '^';
  let source = '';
  let previous: string | undefined;
  for (let at = negated ? 1 : 0; at < inside.length; at++) {
    let character = inside[at] ?? '';
    if (character === '-' && previous !== undefined && at + 1 < inside.length) {
      let last = inside[++at] ?? '';
      if (last === '\\') last = inside[++at] ?? '';
      if (last < previous) throw badPattern();
      source += `-${quoted(last)}`;
      previous = undefined;
      continue;
    }
    if (character === '\\') character = inside[++at] ?? '';
    source += quoted(character);
    previous = character;
  }
  if (source === '') throw badPattern();
  const whole = `[${negated ? '^' : ''}${source}]`;
  return { kind: 'class', source: whole, test: new RegExp(`^${whole}$`, 'su') };
}

const quoted = (character: string) =>
  /[\p{L}\p{N}]/u.test(character) ? character : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
