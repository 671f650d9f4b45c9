/** `--format` templates: Go's language (`pkg/go-template`) with the functions that docker's client adds to it. */
import { invalidParameter } from '#errdefs/errors.ts';
import { BUILTINS, text } from '#pkg/go-template/builtins.ts';
import { execute, type Extension } from '#pkg/go-template/execute.ts';
import { type Template, TemplateError } from '#pkg/go-template/nodes.ts';
import { parseTemplate as parse } from '#pkg/go-template/parser.ts';
import { print } from '#pkg/go-template/print.ts';
import { GoFloat, GoNil, isObject, Known, PLAIN } from '#pkg/go-template/values.ts';
import { goJson } from './human.ts';
import { DOCKER_TYPES, ROWS } from './shapes.ts';

export type { Template } from '#pkg/go-template/nodes.ts';

const FUNCTIONS: Readonly<Record<string, Extension>> = {
  json: { operands: ['any'], call: (known, [value]) => goJson(jsonOf(known, value)) },
  split: {
    operands: ['string', 'string'],
    call: (known, [value, separator]) => goSplit(text(known, value), text(known, separator)),
  },
  join: {
    operands: ['[]string', 'string'],
    call: (known, [list, separator]) => {
      return Array.isArray(list) ? list.map((one) => text(known, one)).join(text(known, separator)) : '';
    },
  },
  title: {
    operands: ['string'],
    call: (known, [value]) => text(known, value).replace(/(?<![\p{L}\p{Nd}_'])\p{L}/gu, (first) => first.toUpperCase()),
  },
  lower: { operands: ['string'], call: (known, [value]) => text(known, value).toLowerCase() },
  upper: { operands: ['string'], call: (known, [value]) => text(known, value).toUpperCase() },
  pad: {
    operands: ['string', 'int', 'int'],
    call: (known, [value, before, after]) => {
      const held = text(known, value);
      if (held === '') return '';
      return ' '.repeat(Math.max(0, Number(before))) + held + ' '.repeat(Math.max(0, Number(after)));
    },
  },
  truncate: {
    operands: ['string', 'int'],
    call: (known, [value, limit]) => Buffer.from(text(known, value)).subarray(0, Number(limit)).toString(),
  },
};

/** In the heading of a table the functions leave a column's name as it is, but for its letters. */
const HEADING_FUNCTIONS: Readonly<Record<string, Extension>> = {
  ...FUNCTIONS,
  json: { operands: ['any'], call: (_, [value]) => value },
  truncate: { operands: ['any', 'any'], call: (_, [value]) => value },
  pad: { operands: ['any', 'any', 'any'], call: (_, [value]) => value },
  split: { operands: ['any', 'any'], call: (_, [value]) => value },
  join: { operands: ['any', 'any'], call: (_, [value]) => value },
};

const NAMES: ReadonlySet<string> = new Set([...Object.keys(BUILTINS), ...Object.keys(FUNCTIONS)]);

/** @throws {invalidParameter} in docker's words */
export function parseTemplate(source: string): Template {
  return inDockersWords('template parsing error: ', () => parse(source, NAMES));
}

/** Docker lets `\t` and `\n` in the template of a listing stand for tab and newline. */
export function parseListingTemplate(source: string, errors: RowErrors): Template {
  return inDockersWords(errors.parse, () => parse(source.replaceAll('\\t', '\t').replaceAll('\\n', '\n'), NAMES));
}

/** An object of the API: by the names of docker's types first, then by those of its JSON. */
export function render(template: Template, value: unknown): string {
  try {
    return execute(template, value, { functions: FUNCTIONS, shapes: DOCKER_TYPES });
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
  }
  const shapes = { ...PLAIN, strict: true };
  return inDockersWords('template parsing error: ', () => execute(template, value, { functions: FUNCTIONS, shapes }));
}

/** What an answer is in docker's client: the template's name, and the Go types that its messages tell of, by field. */
export interface Typed {
  readonly name: string;
  readonly types: Readonly<Record<string, string>>;
  /** How docker begins the message of a failure; mostly not at all. */
  readonly prefix?: string;
}

/** An answer of which docker's client knows the type; fields that it does not have are refused in Go's words. */
export function renderTyped(template: Template, value: unknown, { name, types, prefix = '' }: Typed): string {
  const shapes = { ...DOCKER_TYPES, struct: (field: string) => types[field] ?? 'struct' };
  return inDockersWords(prefix, () => execute(template, value, { functions: FUNCTIONS, shapes, name }));
}

/** How docker begins the message of a listing whose template fails. */
export interface RowErrors {
  readonly parse: string;
  readonly execute: string;
}

/** A row of a listing. */
export function renderRow(template: Template, row: unknown, errors: RowErrors, type: string): string {
  const shapes = { ...ROWS, struct: () => type };
  const json: Extension = {
    operands: ['any'],
    call: (known, [value]) => (value === row ? rowJson(row) : goJson(jsonOf(known, value))),
  };
  return inDockersWords(errors.execute, () => execute(template, row, { functions: { ...FUNCTIONS, json }, shapes }));
}

/** A whole row is written by Go's other encoder, which escapes what HTML would take for its own. */
export function rowJson(row: unknown): string {
  const text = goJson(isObject(row) ? fieldsOf(row) : row);
  return text.replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
}

/** Methods (`.Label "key"`) are no fields. */
function fieldsOf(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).filter(([, held]) => typeof held !== 'function'));
}

/** The heading of a `table` template: the fields' column names. */
export function renderHeading(template: Template, headings: Readonly<Record<string, string>>): string {
  const names = new Proxy(headings, {
    getOwnPropertyDescriptor: (target, name) =>
      typeof name === 'string' ? { configurable: true, enumerable: true, value: heading(target, name) } : undefined,
    get: (target, name) => (typeof name === 'string' ? heading(target, name) : undefined),
  });
  return inDockersWords('', () => execute(template, names, { functions: HEADING_FUNCTIONS, shapes: ROWS }));
}

/** The column of a label is headed by the label. */
function heading(headings: Readonly<Record<string, string>>, name: string): unknown {
  if (name === 'Label') return (label: unknown) => label;
  return headings[name] ?? name.toUpperCase();
}

/** Go's %v of a value without type. */
export function goPrint(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === null || value === undefined ? '<no value>' : print(new Known(PLAIN), value);
}

/** As Go writes it: the keys of a map in order, those of a struct as they are. */
function jsonOf(known: Known, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => jsonOf(known, known.found(one, value)));
  if (!isObject(value) || value instanceof GoNil || value instanceof GoFloat) return value ?? null;
  const fields = Object.entries(fieldsOf(value));
  const map = known.kind(value) === 'map';
  if (map) fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    fields.map(([key, held]) => [key, jsonOf(known, known.found(held, value, map ? '*' : key))]),
  );
}

function goSplit(value: string, separator: string): string[] {
  return separator === '' ? Array.from(value) : value.split(separator);
}

function inDockersWords<T>(prefix: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof TemplateError) throw invalidParameter(`${prefix}${error.message}`, { cause: error });
    throw error;
  }
}
