/** What a terminal is good for: whether it can be drawn on, whether in colours, how much room it has. */
import type { Io } from './io.ts';
import { terminalSize } from './resize.ts';

type Environment = Readonly<Record<string, string | undefined>>;
type Place = { readonly io: Pick<Io, 'stdoutIsTerminal'>; readonly environment: Environment };

const FALLBACK = { rows: 24, columns: 80 } as const;

/** Whether its cursor can be moved: not in a pipe, and not where TERM says that it is dumb. */
export function mayDraw({ io, environment }: Place): boolean {
  return environment['TERM'] !== 'dumb' && io.stdoutIsTerminal;
}

export function mayColour(place: Place): boolean {
  return (place.environment['NO_COLOR'] ?? '') === '' && mayDraw(place);
}

/** COLUMNS and LINES, where they are set, know better than the terminal. */
export function screenSize(environment: Environment): { readonly rows: number; readonly columns: number } {
  const [rows, columns] = terminalSize() ?? [FALLBACK.rows, FALLBACK.columns];
  return { rows: stated(environment['LINES']) ?? rows, columns: stated(environment['COLUMNS']) ?? columns };
}

function stated(text = ''): number | undefined {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return number > 0 ? number : undefined;
}

/**
 * One frame of a picture that is drawn again and again: from the upper left corner, what was there before wiped line by
 * line, so that nothing flickers; no more than there is room for, since what scrolls away could not be drawn over.
 */
export function frameOf(text: string, { rows, columns }: { readonly rows: number; readonly columns: number }): string {
  const lines = text.replace(/\n$/, '').split('\n');
  const hidden = lines.length - Math.max(1, rows - 1);
  const seen = hidden > 0 ? [...lines.slice(0, -hidden - 1), `… ${hidden + 1} more`] : lines;
  return `\x1b[H${seen.map((line) => `${Array.from(line).slice(0, columns).join('')}\x1b[K\n`).join('')}\x1b[J`;
}
