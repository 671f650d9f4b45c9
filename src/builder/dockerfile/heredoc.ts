/**
 * Heredocs: `<<NAME`, `<<-NAME` (leading tabs go), `3<<NAME` (a descriptor), quoted names (nothing in it is expanded).
 * A line may have several; their contents follow in order.
 */
import { Lexer } from './lexer.ts';

export interface HeredocMark {
  readonly name: string;
  readonly fileDescriptor: number;
  /** False when the name is quoted. */
  readonly expand: boolean;
  /** `<<-`: leading tabs are taken off every line. */
  readonly chomp: boolean;
}

export interface Heredoc extends HeredocMark {
  /** As it stands in the file, tabs included. */
  readonly content: string;
  readonly startLine: number;
}

const mark = /^(\d*)<<(-?)([^<]*)$/;

/** The heredoc that a word announces, if it does. */
export function heredocMark(word: string): HeredocMark | undefined {
  const match = mark.exec(word);
  const rest = match?.[3] ?? '';
  if (match === null || rest === '') return undefined;
  let plain: readonly string[];
  let raw: readonly string[];
  try {
    plain = new Lexer({ keepUnset: true }).words(rest, new Map());
    raw = new Lexer({ keepUnset: true, rawQuotes: true }).words(rest, new Map());
  } catch {
    // A quote without its end is a word of the shell's, not a heredoc.
    return undefined;
  }
  const name = plain[0];
  if (name === undefined || plain.length !== 1 || raw.length !== 1) return undefined;
  const quotes = (text: string) => text.replace(/[^'"]/g, '').length;
  return {
    name,
    fileDescriptor: Number(match[1]),
    expand: quotes(name) === quotes(raw[0] ?? ''),
    chomp: match[2] === '-',
  };
}

/** The heredocs that a line announces, in order. */
export function heredocsOf(line: string): readonly HeredocMark[] {
  let words: readonly string[];
  try {
    words = new Lexer({ keepUnset: true, rawQuotes: true, rawEscapes: true }).words(line, new Map());
  } catch {
    return [];
  }
  return words.map(heredocMark).filter((found) => found !== undefined);
}

/** The content as a program sees it: `<<-` takes the leading tabs. */
export function heredocText(heredoc: Heredoc): string {
  return heredoc.chomp ? heredoc.content.replace(/^\t+/gm, '') : heredoc.content;
}
