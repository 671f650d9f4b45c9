/** Columns as Go's tabwriter makes them with docker's settings: the last column is not padded. */

const PADDING = 3;

export function formatTable(rows: readonly (readonly string[])[], minWidth = 10): string {
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

/** Code points, as the tabwriter counts. */
function displayWidth(text: string): number {
  return Array.from(text).length;
}
