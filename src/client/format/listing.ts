/**
 * How every list command prints: a table, ids only, JSON, or a template; one rule for all of them. A row is a record
 * of the fields that docker's templates know, computed only when read.
 */
import { formatTable } from './table.ts';
import { goPrint, parseListingTemplate, renderHeading, renderRow, rowJson, type RowErrors } from './template.ts';

export type Row = Readonly<Record<string, unknown>>;

export interface Listing {
  readonly rows: readonly Row[];
  /** Of the default table, in order. */
  readonly columns: readonly string[];
  /** Field → heading. */
  readonly headings: Readonly<Record<string, string>>;
  /** What docker calls the type of a row, when a template names a field that it does not have. */
  readonly type?: string;
  /** How docker begins the message of a template that fails; `template parsing error: ` but for `ps`. */
  readonly errors?: RowErrors;
  /** Printed alone with `--quiet`. */
  readonly quietField: string;
}

const PARSING = 'template parsing error: ';
const ERRORS: RowErrors = { parse: PARSING, execute: PARSING };

/** `{{.Label "key"}}` of a row. */
export function labelOf(labels: Readonly<Record<string, string>> | null | undefined): (key: unknown) => string {
  return (key) => labels?.[String(key)] ?? '';
}

export interface ListingFormat {
  readonly format: string;
  readonly quiet: boolean;
  /** Columns of the screen that a table is to fit into; else lines are as long as they are. */
  readonly room?: number | undefined;
}

export function printListing(listing: Listing, o: ListingFormat): string {
  const { rows, columns, headings, quietField, errors = ERRORS, type = '*formatter.Context' } = listing;
  const cell = (row: Row, name: string) => goPrint(row[name]);
  if (o.quiet && (o.format === '' || o.format === 'table')) {
    return rows.map((row) => `${cell(row, quietField)}\n`).join('');
  }
  if (o.format === 'json') return rows.map((row) => `${rowJson(sorted(row))}\n`).join('');
  if (o.format === '' || o.format === 'table') {
    const heads = columns.map((name) => headings[name] ?? name);
    return formatTable([heads, ...rows.map((row) => columns.map((c) => cell(row, c)))], { room: o.room });
  }
  if (/^table\s/.test(o.format)) {
    const template = parseListingTemplate(o.format.slice('table'.length).trimStart(), errors);
    const lines = [
      renderHeading(template, headings),
      ...rows.map((row) => renderRow(template, sorted(row), errors, type)),
    ];
    return formatTable(
      lines.map((line) => line.split('\t')),
      { room: o.room },
    );
  }
  const template = parseListingTemplate(o.format, errors);
  return rows.map((row) => `${renderRow(template, sorted(row), errors, type)}\n`).join('');
}

/** Docker's JSON of a row has its fields in alphabetical order. */
function sorted(row: Row): Row {
  return Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
}
