/**
 * How a line falls apart before anything is expanded: keyword, flags, arguments. Each instruction has one of a few
 * forms (words, name=value words, JSON array or the rest as it is); quotes stay for the expansion.
 */
import { Fault } from './source.ts';

export interface Token {
  readonly text: string;
  /** In the logical line. */
  readonly offset: number;
}

export interface SplitLine {
  readonly keyword: string;
  readonly flags: readonly Token[];
  /** The rest, without space around it. */
  readonly rest: Token;
}

const whitespace = /\s/;

/** Keyword, flags (`--name[=value]` words before anything else) and the rest. */
export function splitInstruction(line: string, offset = 0): SplitLine {
  const indent = line.length - line.trimStart().length;
  const keyword = /^\S+/.exec(line.slice(indent))?.[0] ?? '';
  let at = indent + keyword.length;
  const flags: Token[] = [];
  for (;;) {
    at += (/^\s*/.exec(line.slice(at))?.[0] ?? '').length;
    if (!line.startsWith('--', at)) break;
    const end = endOfFlag(line, at);
    // `--` alone ends the flags and is none.
    if (end === at + 2) {
      at = end;
      break;
    }
    flags.push({ text: unquoted(line.slice(at, end)), offset: offset + at });
    at = end;
  }
  const rest = line.slice(at);
  const leading = rest.length - rest.trimStart().length;
  return { keyword, flags, rest: { text: rest.trim(), offset: offset + at + leading } };
}

/** Quotes keep space in a flag; a backslash keeps what follows it. */
function endOfFlag(line: string, start: number): number {
  let quote = '';
  let at = start;
  for (; at < line.length; at++) {
    const character = line[at] ?? '';
    if (character === '\\') at++;
    else if (quote !== '') quote = character === quote ? '' : quote;
    else if (character === '"' || character === "'") quote = character;
    else if (whitespace.test(character)) break;
  }
  return Math.min(at, line.length);
}

/** A flag without its quotes, and without backslashes before what they keep. */
function unquoted(flag: string): string {
  let quote = '';
  let out = '';
  for (let at = 0; at < flag.length; at++) {
    const character = flag[at] ?? '';
    if (character === '\\' && at + 1 < flag.length) out += flag[++at];
    else if (quote !== '' && character === quote) quote = '';
    else if (quote === '' && (character === '"' || character === "'")) quote = character;
    else out += character;
  }
  return out;
}

/** Words between spaces, quotes and escapes kept: `ENV a="b c" d=e\ f`. */
export function quotedWords(rest: Token, escape: string): readonly Token[] {
  const words: Token[] = [];
  const text = rest.text;
  let word = '';
  let start = -1;
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? '';
    if (quote === '' && whitespace.test(character)) {
      if (start >= 0) words.push({ text: word, offset: rest.offset + start });
      word = '';
      start = -1;
      continue;
    }
    if (start < 0) start = at;
    if (character === escape && quote !== "'") {
      // An escape at the very end is dropped.
      if (at + 1 === text.length) break;
      word += character + text[++at];
      continue;
    }
    word += character;
    if (quote === '' && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = '';
  }
  if (start >= 0 && word !== '') words.push({ text: word, offset: rest.offset + start });
  return words;
}

/** Words between spaces; quotes mean nothing. */
export function plainWords(rest: Token): readonly Token[] {
  return [...rest.text.matchAll(/[^\t\v\f\r ]+/g)].map((match) => ({
    text: match[0],
    offset: rest.offset + match.index,
  }));
}

/**
 * The strings of a JSON array, or undefined when the rest is none. A value behind the array is ignored, as Go's decoder
 * does. Throws a Fault for an array of anything but strings.
 */
export function jsonWords(rest: Token): readonly Token[] | undefined {
  if (!rest.text.startsWith('[')) return undefined;
  const value = parseJson(rest.text) ?? parseJson(leadingArray(rest.text));
  if (!Array.isArray(value)) return undefined;
  return value.map((entry: unknown) => {
    if (typeof entry !== 'string') {
      throw new Fault('when using JSON array syntax, arrays must be comprised of strings only', {
        offset: rest.offset,
      });
    }
    return { text: entry, offset: rest.offset };
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Up to the bracket that closes the first one. */
function leadingArray(text: string): string {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted && character === '\\') at++;
    else if (character === '"') quoted = !quoted;
    else if (!quoted && character === '[') depth++;
    else if (!quoted && character === ']' && --depth === 0) return text.slice(0, at + 1);
  }
  return '';
}

export interface NameValue {
  readonly name: string;
  readonly value: string;
  readonly offset: number;
}

export interface NameValues {
  readonly pairs: readonly NameValue[];
  /** `KEY name value`: one pair, everything behind the name is the value. */
  readonly legacy: boolean;
}

/** ENV and LABEL: `name=value …`, or the old `name value`. */
export function nameValues(rest: Token, keyword: string, escape: string): NameValues {
  const words = quotedWords(rest, escape);
  const first = words[0];
  if (first === undefined) return { pairs: [], legacy: false };
  if (!first.text.includes('=')) {
    const match = /^([^\t\v\f\r ]*)[\t\v\f\r ]+([\s\S]*)$/.exec(rest.text);
    if (match === null) throw new Fault(`${keyword} must have two arguments`, { offset: rest.offset });
    return { pairs: [{ name: match[1] ?? '', value: match[2] ?? '', offset: rest.offset }], legacy: true };
  }
  const pairs = words.map(({ text, offset }) => {
    const equals = text.indexOf('=');
    if (equals < 0) {
      throw new Fault(`Syntax error - can't find = in ${JSON.stringify(text)}. Must be of the form: name=value`, {
        offset,
      });
    }
    if (equals === 0) throw new Fault(`${keyword} names can not be blank`, { offset });
    return { name: text.slice(0, equals), value: text.slice(equals + 1), offset };
  });
  return { pairs, legacy: false };
}
