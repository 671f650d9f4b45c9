/** The option list of `--help`: columns and line breaks as pflag makes them, so that help reads as docker's does. */
import type { FlagSpec, FlagTable } from './flag-spec.ts';

/** Where there is no terminal. */
const COLUMNS = 80;
const SLOP = 5;

export function flagUsage(table: FlagTable, columns: number = COLUMNS): string {
  // One less than a terminal has, as docker does.
  const room = columns - 1;
  const rows: { readonly left: string; readonly right: string }[] = [];
  for (const [name, spec] of Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!spec.hidden) rows.push({ left: leftOf(name, spec), right: rightOf(spec) });
  }
  const width = Math.max(0, ...rows.map((row) => row.left.length + 1));
  return rows.map((row) => `${row.left.padEnd(width)}  ${wrap(width + 2, room, row.right)}\n`).join('');
}

function leftOf(name: string, spec: FlagSpec<unknown>): string {
  const short = spec.shorthand === '' ? '      ' : `  -${spec.shorthand}, `;
  return `${short}--${name}${spec.typeName === '' ? '' : ` ${spec.typeName}`}`;
}

function rightOf(spec: FlagSpec<unknown>): string {
  return spec.shownDefault === '' ? spec.help : `${spec.help} (default ${spec.shownDefault})`;
}

function splitAt(limit: number, text: string): readonly [string, string] {
  if (limit + SLOP > text.length) return [text, ''];
  const head = text.slice(0, limit);
  const space = Math.max(head.lastIndexOf(' '), head.lastIndexOf('\t'), head.lastIndexOf('\n'));
  if (space <= 0) return [text, ''];
  const newline = head.lastIndexOf('\n');
  const at = newline > 0 && newline < space ? newline : space;
  return [text.slice(0, at), text.slice(at + 1)];
}

function wrap(indent: number, columns: number, text: string): string {
  const break_ = `\n${' '.repeat(indent)}`;
  const room = columns - indent - SLOP;
  if (room < 24 - SLOP) return text.replaceAll('\n', break_);
  let [line, rest] = splitAt(room, text);
  let out = line.replaceAll('\n', break_);
  while (rest !== '') {
    [line, rest] = splitAt(room, rest);
    out += break_ + line.replaceAll('\n', break_);
  }
  return out;
}
