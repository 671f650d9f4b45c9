/** The functions that every Go template has (https://pkg.go.dev/text/template#hdr-Functions). */
import { print, printAll, printFormatted } from './print.ts';
import { GoNil, isObject, type Known, numberOf, truthOf } from './values.ts';

export type TemplateFunction = (known: Known, values: readonly unknown[]) => unknown;

/** What a function complains of; the executor adds its name and place. */
export class CallError extends Error {
  override readonly name = 'CallError';
}

export const BUILTINS: Readonly<Record<string, TemplateFunction>> = {
  // and, or: the executor stops at the operand that decides; these see what is left.
  and: (known, values) => values.find((value) => !truthOf(known, value)) ?? values.at(-1),
  or: (known, values) => values.find((value) => truthOf(known, value)) ?? values.at(-1),
  not: (known, [value]) => !truthOf(known, value),
  len: (known, [value]) => length(known, value),
  index: (known, [item, ...indexes]) => indexes.reduce((at, index) => element(known, at, index), item),
  slice: (known, [item, ...bounds]) => part(known, item, bounds),
  print: (known, values) => printAll(known, values),
  println: (known, values) => `${values.map((value) => print(known, value)).join(' ')}\n`,
  printf: (known, [format, ...values]) => printFormatted(known, text(known, format), values),
  html: (known, values) => escapeHtml(joined(known, values)),
  js: (known, values) => escapeJs(joined(known, values)),
  urlquery: (known, values) => escapeQuery(joined(known, values)),
  eq: (known, [first, ...others]) => {
    if (others.length === 0) throw new CallError('missing argument for comparison');
    return others.some((other) => equal(known, first, other));
  },
  ne: (known, [a, b]) => !equal(known, a, b),
  lt: (known, [a, b]) => less(known, a, b),
  le: (known, [a, b]) => less(known, a, b) || equal(known, a, b),
  gt: (known, [a, b]) => !less(known, a, b) && !equal(known, a, b),
  ge: (known, [a, b]) => !less(known, a, b),
  call: (known, [callee, ...values]) => {
    if (typeof callee !== 'function') throw new CallError(`non-function of type ${known.typeName(callee)}`);
    const answer: unknown = Reflect.apply(callee, undefined, values);
    return answer;
  },
};

/** Least and greatest number of operands. */
export const ARITY: Readonly<Record<string, readonly [number, number]>> = {
  and: [1, Infinity],
  or: [1, Infinity],
  not: [1, 1],
  len: [1, 1],
  index: [1, Infinity],
  slice: [1, Infinity],
  print: [0, Infinity],
  println: [0, Infinity],
  printf: [1, Infinity],
  html: [0, Infinity],
  js: [0, Infinity],
  urlquery: [0, Infinity],
  eq: [1, Infinity],
  ne: [2, 2],
  lt: [2, 2],
  le: [2, 2],
  gt: [2, 2],
  ge: [2, 2],
  call: [1, Infinity],
};

/** An operand that has to be a string. */
export function text(known: Known, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new CallError(`wrong type for value; expected string; got ${known.typeName(value)}`);
}

function joined(known: Known, values: readonly unknown[]): string {
  return values.length === 1 && typeof values[0] === 'string' ? values[0] : printAll(known, values);
}

function length(known: Known, value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof GoNil && value.of !== 'pointer') return 0;
  if (known.kind(value) === 'map' && isObject(value)) return Object.keys(value).length;
  if (value === null || value === undefined || value instanceof GoNil) throw new CallError('len of nil pointer');
  throw new CallError(`len of type ${known.typeName(value)}`);
}

function position(known: Known, index: unknown, limit: number): number {
  if (known.kind(index) !== 'int') {
    throw new CallError(
      index === null || index === undefined
        ? 'cannot index slice/array with nil'
        : `cannot index slice/array with type ${known.typeName(index)}`,
    );
  }
  const at = Number(numberOf(index));
  if (at < 0 || at > limit) throw new CallError(`index out of range: ${at}`);
  return at;
}

function element(known: Known, item: unknown, index: unknown): unknown {
  if (item === null || item === undefined) throw new CallError('index of untyped nil');
  if (item instanceof GoNil && item.of === 'pointer') throw new CallError('index of nil pointer');
  if (typeof item === 'string') {
    const bytes = Buffer.from(item);
    return bytes[position(known, index, bytes.length - 1)];
  }
  if (Array.isArray(item)) {
    return known.found(item[position(known, index, item.length - 1)], item);
  }
  if (item instanceof GoNil && item.of === 'slice') return position(known, index, -1);
  if (known.kind(item) !== 'map') throw new CallError(`can't index item of type ${known.typeName(item)}`);
  if (typeof index !== 'string') {
    throw new CallError(`value has type ${known.typeName(index)}; should be string`);
  }
  if (!isObject(item)) return '';
  return Object.hasOwn(item, index) ? known.found(item[index], item, '*') : zeroLike(Object.values(item)[0]);
}

/** A missing key of a map gives the zero of the map's type, which is told by its other values. */
function zeroLike(value: unknown): unknown {
  if (Array.isArray(value)) return new GoNil('slice');
  if (typeof value === 'number') return 0;
  if (typeof value === 'boolean') return false;
  if (typeof value === 'string' || value === undefined) return '';
  return new GoNil('pointer');
}

function part(known: Known, item: unknown, bounds: readonly unknown[]): unknown {
  if (item === null || item === undefined) throw new CallError('slice of untyped nil');
  if (bounds.length > 3) throw new CallError(`too many slice indexes: ${bounds.length}`);
  const list = item instanceof GoNil && item.of === 'slice' ? [] : item;
  if (typeof list !== 'string' && !Array.isArray(list)) {
    throw new CallError(`can't slice item of type ${known.typeName(item)}`);
  }
  if (typeof list === 'string' && bounds.length === 3) throw new CallError('cannot 3-index slice a string');
  const whole = typeof list === 'string' ? Buffer.from(list) : list;
  const [from = 0, to = whole.length] = bounds.map((bound) => position(known, bound, whole.length));
  if (from > to) throw new CallError(`invalid slice index: ${from} > ${to}`);
  return typeof list === 'string' ? Buffer.from(list).subarray(from, to).toString() : list.slice(from, to);
}

function equal(known: Known, a: unknown, b: unknown): boolean {
  const [first, second] = [known.kind(a), known.kind(b)];
  if (first === 'nil' || second === 'nil') return first === second;
  if (first !== second) throw new CallError('incompatible types for comparison');
  if (first === 'slice' || first === 'map' || first === 'func') {
    throw new CallError(`non-comparable type ${print(known, a)}: ${known.typeName(a)}`);
  }
  if (first === 'int') return BigInt(numberOf(a)) === BigInt(numberOf(b));
  if (first === 'float') return numberOf(a) === numberOf(b);
  return a === b;
}

function less(known: Known, a: unknown, b: unknown): boolean {
  const [first, second] = [known.kind(a), known.kind(b)];
  if (!['int', 'float', 'string'].includes(first)) throw new CallError('invalid type for comparison');
  if (first !== second) throw new CallError('incompatible types for comparison');
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0;
  return numberOf(a) < numberOf(b);
}

const HTML: Readonly<Record<string, string>> = {
  '\0': '\ufffd',
  '"': '&#34;',
  "'": '&#39;',
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
};

function escapeHtml(value: string): string {
  return value.replace(/[\0"'&<>]/g, (c) => HTML[c] ?? c);
}

const JS: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  "'": "\\'",
  '"': '\\"',
  '<': '\\u003C',
  '>': '\\u003E',
  '&': '\\u0026',
  '=': '\\u003D',
};

function escapeJs(value: string): string {
  return value.replace(/[\\'"<>&=]|\p{C}/gu, (c) => {
    const code = c.codePointAt(0) ?? 0;
    return JS[c] ?? `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`;
  });
}

function escapeQuery(value: string): string {
  return encodeURIComponent(value)
    .replaceAll('%20', '+')
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
