/**
 * What one flag is: its shorthand, type name, default, and how a text becomes a value. A command's flags are a record
 * from long name to spec; the type of the parsed values follows from it. Constructors here mirror pflag's value types,
 * so that messages and help read as docker's do.
 */
import { parseBool, parseDecimal, parseDuration, parseInteger, parseRamBytes, parseUnsigned } from './go-values.ts';

export interface FlagSpec<T> {
  readonly shorthand: string;
  readonly help: string;
  /** Shown after the name in help; empty for booleans. */
  readonly typeName: string;
  readonly initial: T;
  /** Shown as `(default …)`; empty: not shown. */
  readonly shownDefault: string;
  /** Whether `--flag` alone is allowed; then it means `--flag=true`. */
  readonly standsAlone: boolean;
  readonly hidden: boolean;
  /** Turns one occurrence into the new value. Throws a plain Error whose message pflag would show after the colon. */
  parse(text: string, previous: T): T;
}

export type FlagTable = Readonly<Record<string, FlagSpec<unknown>>>;
export type FlagValues<F extends FlagTable> = {
  readonly [K in keyof F]: F[K] extends FlagSpec<infer T> ? T : never;
};

interface Options<T> {
  readonly shorthand?: string;
  readonly initial?: T;
  readonly typeName?: string;
  readonly hidden?: boolean;
  /** When what help shows differs from the value itself. */
  readonly shownDefault?: string;
}

function make<T>(
  help: string,
  typeName: string,
  initial: T,
  shownDefault: string,
  o: Options<T>,
  parse: (text: string, previous: T) => T,
): FlagSpec<T> {
  return {
    shorthand: o.shorthand ?? '',
    help,
    typeName: o.typeName ?? typeName,
    initial,
    shownDefault: o.shownDefault ?? shownDefault,
    standsAlone: false,
    hidden: o.hidden ?? false,
    parse,
  };
}

export function flag(help: string, o: Options<boolean> = {}): FlagSpec<boolean> {
  const initial = o.initial ?? false;
  return { ...make(help, '', initial, initial ? 'true' : '', o, parseBool), standsAlone: true };
}

/** A known flag that cannot be had: no mistake in the command line, so no usage is shown, and the code is 1. */
export class FlagRefusal extends Error {
  override readonly name = 'FlagRefusal';
}

/** A flag of docker's that has no meaning here: known, not shown, and refused with the reason. */
export function refused(
  why: string,
  o: { readonly standsAlone?: boolean; readonly shorthand?: string } = {},
): FlagSpec<string> {
  const refuse = (): never => {
    throw new FlagRefusal(why);
  };
  return {
    ...make(why, 'string', '', '', { hidden: true, shorthand: o.shorthand ?? '' }, refuse),
    standsAlone: o.standsAlone ?? false,
  };
}

export function text(help: string, o: Options<string> = {}): FlagSpec<string> {
  const initial = o.initial ?? '';
  return make(help, 'string', initial, initial === '' ? '' : `"${initial}"`, o, (value) => value);
}

/** Repeatable; `check` may normalise or refuse each value. */
export function list(
  help: string,
  o: Options<readonly string[]> & { readonly check?: (value: string) => string } = {},
): FlagSpec<readonly string[]> {
  const { check = (value: string) => value } = o;
  return make(help, 'list', o.initial ?? [], '', o, (value, previous) => [...previous, check(value)]);
}

export function integer(help: string, o: Options<number> = {}): FlagSpec<number> {
  const initial = o.initial ?? 0;
  return make(help, 'int', initial, initial === 0 ? '' : String(initial), o, parseInteger);
}

export function unsigned(help: string, bits: number, o: Options<number> = {}): FlagSpec<number> {
  const initial = o.initial ?? 0;
  return make(help, `uint${bits}`, initial, initial === 0 ? '' : String(initial), o, (value) =>
    parseUnsigned(value, bits),
  );
}

/** A size such as `64m`; `allowUnlimited` accepts -1. */
export function bytes(help: string, o: Options<number> & { readonly allowUnlimited?: boolean } = {}): FlagSpec<number> {
  return make(help, 'bytes', o.initial ?? 0, '', o, (value) =>
    o.allowUnlimited === true && value === '-1' ? -1 : parseRamBytes(value),
  );
}

/** Nanoseconds, from Go's notation (`1m30s`). */
export function duration(help: string, o: Options<number> = {}): FlagSpec<number> {
  return make(help, 'duration', o.initial ?? 0, '', o, parseDuration);
}

/** A rational number with at most nine decimals, in units of 1e-9 (`--cpus`). */
export function nanoDecimal(help: string, o: Options<number> = {}): FlagSpec<number> {
  return make(help, 'decimal', o.initial ?? 0, '', o, parseDecimal);
}
