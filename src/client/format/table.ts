/**
 * Columns as Go's tabwriter makes them with docker's settings: the last column is not padded. What is drawn again and
 * again on a screen (`stats`, `ps --watch`) is fitted into its width instead, the widest columns being cut first.
 */

const PADDING = 3;
/** When there is too little room: less space between columns, and none cut to less than this, nor below the first (that of an id) at first. */
const CLOSE = 2;
const LEAST = [12, 6];
const CONTROL = /\p{Cc}/gu;
/** Nearly every cell; the general way takes ten times as long in a cold process. */
const PLAIN = /^[ -~]*$/;

/** `room`: of the screen; without it lines are as long as they are. */
export function formatTable(
  texts: readonly (readonly string[])[],
  o: { readonly minWidth?: number; readonly room?: number | undefined } = {},
): string {
  const { minWidth = 10, room } = o;
  const rows = texts.map((row) => row.map(harmless));
  const whole = columnsOf(rows, minWidth);
  return room === undefined || Math.max(0, ...whole.split('\n').map(displayWidth)) <= room ? whole : fitted(rows, room);
}

function columnsOf(rows: readonly (readonly string[])[], minWidth: number): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.slice(0, -1).entries()) {
      widths[column] = Math.max(widths[column] ?? minWidth, displayWidth(cell) + PADDING);
    }
  }
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - displayWidth(cell))))
      .join('');
  return rows.map((row) => `${line(row)}\n`).join('');
}

function fitted(rows: readonly (readonly string[])[], room: number): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => displayWidth(row[i] ?? ''))));
  const total = () => widths.reduce((sum, width) => sum + width + CLOSE, -CLOSE);
  for (const least of LEAST) {
    for (let widest = Math.max(...widths); total() > room && widest > least; widest = Math.max(...widths)) {
      widths[widths.indexOf(widest)] = widest - 1;
    }
  }
  const cell = (text: string, i: number) => {
    const width = widths[i] ?? 0;
    const cut =
      displayWidth(text) <= width
        ? text
        : `${Array.from(text)
            .slice(0, width - 1)
            .join('')}…`;
    return cut + ' '.repeat(width - displayWidth(cut));
  };
  return rows.map((row) => `${row.map(cell).join(' '.repeat(CLOSE)).trimEnd()}\n`).join('');
}

/** Names and labels are others': what would steer the terminal is shown as what it is. */
function harmless(cell: string): string {
  if (PLAIN.test(cell)) return cell;
  return cell.replace(CONTROL, (c) => `\\x${(c.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`);
}

/** Code points, as the tabwriter counts. */
function displayWidth(text: string): number {
  return PLAIN.test(text) ? text.length : Array.from(text).length;
}
