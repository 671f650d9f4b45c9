/** Columns as Go's tabwriter makes them with docker's settings: the last column is not padded. */

const PADDING = 3;
const CONTROL = /\p{Cc}/gu;
/** Nearly every cell; the general way takes ten times as long in a cold process. */
const PLAIN = /^[ -~]*$/;

export function formatTable(texts: readonly (readonly string[])[], minWidth = 10): string {
  const rows = texts.map((row) => row.map(harmless));
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

/** Names and labels are others': what would steer the terminal is shown as what it is. */
function harmless(cell: string): string {
  if (PLAIN.test(cell)) return cell;
  return cell.replace(CONTROL, (c) => `\\x${(c.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`);
}

/** Code points, as the tabwriter counts. */
function displayWidth(text: string): number {
  return PLAIN.test(text) ? text.length : Array.from(text).length;
}
