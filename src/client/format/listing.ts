/**
 * How every list command prints: a table, ids only, JSON, or a template; one rule for all of them. A row is a record
 * of the fields that docker's templates know, computed only when read.
 */
import { goJson } from './human.ts';
import { formatTable } from './table.ts';
import { parseTemplate, render, renderHeading } from './template.ts';

export type Row = Readonly<Record<string, unknown>>;

export interface Listing {
  readonly rows: readonly Row[];
  /** Of the default table, in order. */
  readonly columns: readonly string[];
  /** Field → heading. */
  readonly headings: Readonly<Record<string, string>>;
  /** Printed alone with `--quiet`. */
  readonly quietField: string;
}

export function printListing(listing: Listing, o: { readonly format: string; readonly quiet: boolean }): string {
  const { rows, columns, headings, quietField } = listing;
  const cell = (row: Row, name: string) => render({ parts: [{ kind: 'field', path: [name] }] }, row);
  if (o.quiet && (o.format === '' || o.format === 'table')) {
    return rows.map((row) => `${cell(row, quietField)}\n`).join('');
  }
  if (o.format === 'json') return rows.map((row) => `${goJson(sorted(row))}\n`).join('');
  if (o.format === '' || o.format === 'table') {
    return formatTable([
      columns.map((name) => headings[name] ?? name),
      ...rows.map((row) => columns.map((c) => cell(row, c))),
    ]);
  }
  if (/^table\s/.test(o.format)) {
    const template = parseTemplate(o.format.slice('table'.length).trimStart());
    const lines = [renderHeading(template, headings), ...rows.map((row) => render(template, sorted(row)))];
    return formatTable(lines.map((line) => line.split('\t')));
  }
  const template = parseTemplate(o.format);
  return rows.map((row) => `${render(template, sorted(row))}\n`).join('');
}

/** Docker's JSON of a row has its fields in alphabetical order. */
function sorted(row: Row): Row {
  return Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
}
