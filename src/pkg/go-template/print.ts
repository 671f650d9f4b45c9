/** Go's fmt (https://pkg.go.dev/fmt) for the values of a template: %v of everything, and the verbs of Printf. */
import { goQuote } from './lexer.ts';
import { GoFloat, GoNil, isObject, type Known, numberOf, within } from './values.ts';

/** %v. */
export function print(known: Known, value: unknown): string {
  return new Printer(known, { verb: 'v' }).value(value);
}

/** Sprint: operands are parted by spaces where neither is a string. */
export function printAll(known: Known, values: readonly unknown[]): string {
  let out = '';
  for (const [i, value] of values.entries()) {
    if (i > 0 && typeof value !== 'string' && typeof values[i - 1] !== 'string') out += ' ';
    out += value === undefined ? '<nil>' : print(known, value);
  }
  return out;
}

interface Verb {
  readonly verb: string;
  readonly plus?: boolean;
  readonly minus?: boolean;
  readonly sharp?: boolean;
  readonly space?: boolean;
  readonly zero?: boolean;
  readonly width?: number;
  readonly precision?: number;
}

const DIRECTIVE = /%([+\-# 0]*)(\[\d+\])?(\*|\d+)?(?:\.(\[\d+\])?(\*|\d*))?(\[\d+\])?(.|$)/gsu;

/** Sprintf, its complaints about missing and left-over operands included. */
export function printFormatted(known: Known, format: string, values: readonly unknown[]): string {
  let next = 0;
  let reordered = false;
  const jump = (index: string | undefined): void => {
    if (index === undefined) return;
    next = Number(index.slice(1, -1)) - 1;
    reordered = true;
  };
  const count = (spec: string | undefined): number | undefined => {
    if (spec === undefined) return undefined;
    if (spec !== '*') return Number(spec);
    return Number(numberOf(values[next++]));
  };
  const out = format.replace(
    DIRECTIVE,
    (
      _,
      flags: string,
      first?: string,
      width?: string,
      second?: string,
      precision?: string,
      third?: string,
      letter?: string,
    ) => {
      jump(first);
      const wide = count(width);
      jump(second);
      const exact = count(precision);
      jump(third);
      if (letter === undefined || letter === '') return '%!(NOVERB)';
      if (letter === '%') return '%';
      if (next >= values.length || next < 0) return reordered ? `%!${letter}(BADINDEX)` : `%!${letter}(MISSING)`;
      const minus = flags.includes('-') || (wide ?? 0) < 0;
      const verb: Verb = {
        verb: letter,
        plus: flags.includes('+'),
        minus,
        sharp: flags.includes('#'),
        space: flags.includes(' '),
        zero: flags.includes('0') && !minus,
        ...(wide === undefined ? {} : { width: Math.abs(wide) }),
        ...(exact === undefined ? {} : { precision: exact }),
      };
      return new Printer(known, verb).value(values[next++]);
    },
  );
  if (reordered || next >= values.length) return out;
  const extra = values.slice(next).map((value) => `${known.typeName(value)}=${print(known, value)}`);
  return `${out}%!(EXTRA ${extra.join(', ')})`;
}

class Printer {
  readonly #known: Known;
  readonly #verb: Verb;

  constructor(known: Known, verb: Verb) {
    this.#known = known;
    this.#verb = verb;
  }

  value(value: unknown, field = ''): string {
    const { verb, sharp } = this.#verb;
    if (verb === 'T') return this.#pad(this.#known.typeName(value));
    if (value === null || value === undefined) return verb === 'v' ? this.#pad('<nil>') : this.#bad(value);
    if (value instanceof GoNil) return this.#nil(value);
    if (Array.isArray(value)) return this.#list(value, field);
    if (isObject(value) && !(value instanceof GoFloat)) return this.#object(value, field);
    if (typeof value === 'boolean') return verb === 'v' || verb === 't' ? this.#pad(String(value)) : this.#bad(value);
    if (typeof value === 'string') return this.#string(value, verb === 'v' && sharp === true ? 'q' : verb);
    const kind = this.#known.kind(value);
    if (kind === 'int') return this.#integer(BigInt(numberOf(value)), value);
    return kind === 'float' ? this.#float(Number(numberOf(value)), value) : this.#bad(value);
  }

  #nil(value: GoNil): string {
    if (value.of === 'pointer') return this.#verb.verb === 'v' ? this.#pad('<nil>') : `%!${this.#verb.verb}(<nil>)`;
    return value.of === 'slice' ? this.#list([], '') : this.#pad('map[]');
  }

  #list(list: readonly unknown[], field: string): string {
    const name = field === '' ? this.#known.fieldOf(list) : field;
    if (this.#goSyntax()) {
      return `${this.#known.typeName(list)}{${list.map((one) => this.value(one, name)).join(', ')}}`;
    }
    return `[${list.map((one) => this.value(one, name)).join(' ')}]`;
  }

  #object(object: Readonly<Record<string, unknown>>, field: string): string {
    const name = field === '' ? this.#known.fieldOf(object) : field;
    const { shapes } = this.#known;
    const syntax = this.#goSyntax();
    const shown = Object.entries(object).filter(([, value]) => typeof value !== 'function');
    if (shapes.isMap(name)) {
      shown.sort(([a], [b]) => (a < b ? -1 : 1));
      const pairs = shown.map(
        ([key, value]) => `${syntax ? goQuote(key) : key}:${this.value(value, within(name, '*'))}`,
      );
      return syntax ? `${this.#known.typeName(object)}{${pairs.join(', ')}}` : `map[${pairs.join(' ')}]`;
    }
    const fields = shown.map(([key, value]) => {
      const held = this.value(value === null ? (shapes.empty(key) ?? new GoNil('pointer')) : value, within(name, key));
      return this.#verb.plus === true || syntax ? `${key}:${held}` : held;
    });
    return syntax ? `struct{${fields.join(', ')}}` : `{${fields.join(' ')}}`;
  }

  #goSyntax(): boolean {
    return this.#verb.verb === 'v' && this.#verb.sharp === true;
  }

  #string(text: string, verb: string): string {
    const { precision, sharp, space, plus } = this.#verb;
    const cut = precision === undefined ? text : Array.from(text).slice(0, precision).join('');
    switch (verb) {
      case 'v':
      case 's':
        return this.#pad(cut);
      case 'q':
        return this.#pad(
          sharp === true && this.#verb.verb === 'q' && !cut.includes('`') ? `\`${cut}\`` : quoted(cut, plus === true),
        );
      case 'x':
      case 'X': {
        const bytes = Array.from(Buffer.from(text), (b) => b.toString(16).padStart(2, '0'));
        const hex = bytes.slice(0, precision).join(space === true ? ' ' : '');
        const whole = sharp === true ? `0x${hex}` : hex;
        return this.#pad(verb === 'X' ? whole.toUpperCase() : whole);
      }
      default:
        return this.#bad(text);
    }
  }

  #integer(n: bigint, value: unknown): string {
    const { verb, sharp, precision } = this.#verb;
    const magnitude = n < 0n ? -n : n;
    const digits = (radix: number, prefix: string) =>
      this.#signed(n < 0n, prefix, magnitude.toString(radix).padStart(precision ?? 0, '0'));
    switch (verb) {
      case 'v':
      case 'd':
        return digits(10, '');
      case 'b':
        return digits(2, sharp === true ? '0b' : '');
      case 'o':
        return digits(8, sharp === true ? '0' : '');
      case 'O':
        return digits(8, '0o');
      case 'x':
        return digits(16, sharp === true ? '0x' : '');
      case 'X':
        return digits(16, sharp === true ? '0X' : '').toUpperCase();
      case 'c':
        return this.#pad(character(n));
      case 'q':
        return this.#pad(`'${goQuote(character(n)).slice(1, -1).replace('\\"', '"').replace(/^'$/, "\\'")}'`);
      case 'U': {
        const code = `U+${magnitude
          .toString(16)
          .toUpperCase()
          .padStart(Math.max(4, precision ?? 0), '0')}`;
        return this.#pad(sharp === true ? `${code} '${character(n)}'` : code);
      }
      default:
        return this.#bad(value);
    }
  }

  #float(n: number, value: unknown): string {
    const { verb, precision } = this.#verb;
    const magnitude = Math.abs(n);
    const negative = n < 0 || Object.is(n, -0);
    if (!Number.isFinite(n)) return this.#pad(Number.isNaN(n) ? 'NaN' : negative ? '-Inf' : '+Inf');
    switch (verb) {
      case 'f':
      case 'F':
        return this.#signed(negative, '', magnitude.toFixed(precision ?? 6));
      case 'e':
      case 'E': {
        const text = twoDigits(magnitude.toExponential(precision ?? 6));
        return this.#signed(negative, '', verb === 'E' ? text.toUpperCase() : text);
      }
      case 'x':
      case 'X': {
        const text = hexadecimal(magnitude, precision);
        return this.#signed(negative, '', verb === 'X' ? text.toUpperCase() : text);
      }
      case 'v':
      case 'g':
      case 'G': {
        const text = shortest(magnitude, precision);
        return this.#signed(negative, '', verb === 'G' ? text.toUpperCase() : text);
      }
      default:
        return this.#bad(value);
    }
  }

  #signed(negative: boolean, prefix: string, digits: string): string {
    const { plus, space, zero, width = 0, precision, verb } = this.#verb;
    const sign = negative ? '-' : plus === true ? '+' : space === true ? ' ' : '';
    const fill = zero === true && (precision === undefined || /[eEfFgG]/.test(verb));
    return fill
      ? sign + prefix + digits.padStart(width - sign.length - prefix.length, '0')
      : this.#pad(sign + prefix + digits);
  }

  #pad(text: string): string {
    const { width = 0, minus, zero } = this.#verb;
    const missing = width - Array.from(text).length;
    if (missing <= 0) return text;
    return minus === true ? text + ' '.repeat(missing) : (zero === true ? '0' : ' ').repeat(missing) + text;
  }

  #bad(value: unknown): string {
    const { verb } = this.#verb;
    if (value === null || value === undefined) return `%!${verb}(<nil>)`;
    return `%!${verb}(${this.#known.typeName(value)}=${new Printer(this.#known, { verb: 'v' }).value(value)})`;
  }
}

function quoted(text: string, ascii: boolean): string {
  const plain = goQuote(text);
  if (!ascii) return plain;
  return plain.replace(/[^\x20-\x7e]/gu, (c) => {
    const code = c.codePointAt(0) ?? 0;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

function character(n: bigint): string {
  return n < 0n || n > 0x10ffffn ? '\ufffd' : String.fromCodePoint(Number(n));
}

/** Go writes exponents with at least two digits. */
function twoDigits(text: string): string {
  return text.replace(/e([+-])(\d)$/, 'e$10$2');
}

/** %x of a float: 0x1.8p+01. */
function hexadecimal(n: number, precision: number | undefined): string {
  if (n === 0) return `0x0${precision === undefined || precision === 0 ? '' : `.${'0'.repeat(precision)}`}p+00`;
  const exponent = Math.floor(Math.log2(n));
  const bits = BigInt(Math.round((n / 2 ** exponent) * 2 ** 52));
  const digits = (bits & ((1n << 52n) - 1n)).toString(16).padStart(13, '0');
  const fraction =
    precision === undefined ? digits.replace(/0+$/, '') : digits.slice(0, precision).padEnd(precision, '0');
  const power = String(Math.abs(exponent)).padStart(2, '0');
  return `0x1${fraction === '' ? '' : `.${fraction}`}p${exponent < 0 ? '-' : '+'}${power}`;
}

/** Where strconv goes over to exponents when it looks for the shortest text. */
const SHORTEST_DIGITS = 6;

/** %g: the shortest digits that read back as the same number; an exponent when it is below -4 or beyond the digits. */
function shortest(n: number, precision: number | undefined): string {
  if (n === 0) return '0';
  const scientific = precision === undefined ? n.toExponential() : n.toExponential(Math.max(0, (precision || 1) - 1));
  const exponent = Number(scientific.slice(scientific.indexOf('e') + 1));
  const digits = scientific.slice(0, scientific.indexOf('e')).replace(/\.?0+$/, '');
  const count = digits.replace('.', '').length;
  const wanted = precision || 1;
  const limit = precision === undefined ? SHORTEST_DIGITS : wanted > count && count > exponent ? count : wanted;
  if (exponent < -4 || exponent >= limit)
    return twoDigits(`${digits}e${exponent < 0 ? '-' : '+'}${Math.abs(exponent)}`);
  const plain = Number(scientific).toFixed(Math.max(0, count - 1 - exponent));
  return plain;
}
