/**
 * `--format`: `json`, `table`, and templates of plain text, `{{.Field.Path}}`, `{{json .}}` and `{{json .Field}}`.
 * Everything else of Go's template language is refused by name rather than printed wrong.
 */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { goJson } from './human.ts';

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'field' | 'json'; readonly path: readonly string[] };

export interface Template {
  readonly parts: readonly Part[];
}

const ACTION = /^(json\s+)?\.((?:[A-Za-z_][A-Za-z0-9_]*)(?:\.[A-Za-z_][A-Za-z0-9_]*)*)?$/;

export function parseTemplate(source: string): Template {
  const parts: Part[] = [];
  let at = 0;
  for (let open = source.indexOf('{{'); open >= 0; open = source.indexOf('{{', at)) {
    const close = source.indexOf('}}', open);
    if (close < 0) throw invalidParameter(`template parsing error: unclosed action in "${source}"`);
    if (open > at) parts.push({ kind: 'text', text: unescape(source.slice(at, open)) });
    const action = source.slice(open + 2, close).trim();
    const match = ACTION.exec(action);
    if (match === null) {
      throw notImplemented(
        `Cannot use format "${source}": {{${action}}} is not there yet, only json, {{json .}} and {{.Field}}`,
      );
    }
    const path = match[2]?.split('.') ?? [];
    parts.push({ kind: match[1] === undefined ? 'field' : 'json', path });
    at = close + 2;
  }
  if (at < source.length) parts.push({ kind: 'text', text: unescape(source.slice(at)) });
  return { parts };
}

/** Docker lets `\t` and `\n` in a template stand for tab and newline. */
function unescape(text: string): string {
  return text.replaceAll('\\t', '\t').replaceAll('\\n', '\n');
}

export function render(template: Template, value: unknown): string {
  return template.parts
    .map((part) => {
      if (part.kind === 'text') return part.text;
      const found = lookUp(value, part.path);
      return part.kind === 'json' ? goJson(found) : goPrint(found);
    })
    .join('');
}

/** The heading of a `table` template: the fields' column names. */
export function renderHeading(template: Template, headings: Readonly<Record<string, string>>): string {
  return template.parts
    .map((part) => {
      if (part.kind === 'text') return part.text;
      const name = part.path.at(-1) ?? '';
      return headings[name] ?? name.toUpperCase();
    })
    .join('');
}

function lookUp(value: unknown, path: readonly string[]): unknown {
  let current = value;
  for (const name of path) {
    if (typeof current !== 'object' || current === null) {
      throw invalidParameter(`template parsing error: no field "${name}" in ${goPrint(current)}`);
    }
    const key = Object.keys(current).find((k) => k === name) ?? sameLetters(current, name);
    if (key === undefined) throw invalidParameter(`template parsing error: no entry for key "${name}"`);
    current = Reflect.get(current, key);
  }
  return current;
}

/** Go's field names differ from JSON's in case (`.ID` is "Id" in JSON). */
function sameLetters(value: object, name: string): string | undefined {
  return Object.keys(value).find((key) => key.toLowerCase() === name.toLowerCase());
}

/** Go's %v. */
export function goPrint(value: unknown): string {
  if (value === null || value === undefined) return '<no value>';
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return `[${value.map((one) => goPrint(one)).join(' ')}]`;
  if (typeof value === 'object') {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[${entries.map(([key, one]) => `${key}:${goPrint(one)}`).join(' ')}]`;
  }
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value);
}
