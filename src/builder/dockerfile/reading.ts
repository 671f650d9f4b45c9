/** What the readers of single instructions share: the line they get, and the counts of its arguments. */
import type { LogicalLine } from './lines.ts';
import { Fault } from './source.ts';
import type { SplitLine, Token } from './words.ts';

/** What every instruction's reader gets. */
export interface Reading {
  readonly line: LogicalLine;
  readonly split: SplitLine;
  readonly escape: '\\' | '`';
  /** The fields that every node has. */
  readonly node: { written: string; range: LogicalLine['range']; text: string; comments: readonly string[] };
}

export const texts = (tokens: readonly Token[]): readonly string[] => tokens.map(({ text }) => text);

export const requiresOne = (keyword: string) => new Fault(`${keyword} requires at least one argument`);

export function atLeastOne<T>(keyword: string, list: readonly T[]): readonly T[] {
  if (list.length === 0) throw requiresOne(keyword);
  return list;
}
