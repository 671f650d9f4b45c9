/**
 * The flags of an instruction: which there are, whether they are there once, and their values. What is not known is
 * refused with the name that was probably meant.
 */
import { Fault } from './source.ts';
import { suggest } from './suggest.ts';
import type { Token } from './words.ts';

export type FlagKind = 'string' | 'strings' | 'boolean';
export type FlagTable = Readonly<Record<string, FlagKind>>;

export class Flags {
  readonly #values = new Map<string, readonly Token[]>();

  /** Throws a Fault for the first flag that cannot be. */
  static parse(table: FlagTable, given: readonly Token[]): Flags {
    const flags = new Flags();
    for (const { text, offset } of given) {
      const equals = text.indexOf('=');
      const name = text.slice(2, equals < 0 ? undefined : equals);
      const value = equals < 0 ? undefined : text.slice(equals + 1);
      const kind = Object.hasOwn(table, name) ? table[name] : undefined;
      if (kind === undefined) {
        throw new Fault(`unknown flag: --${name}`, { offset, suggestion: suggest(name, Object.keys(table), true) });
      }
      const before = flags.#values.get(name) ?? [];
      if (before.length > 0 && kind !== 'strings') {
        throw new Fault(`duplicate flag specified: --${name}`, { offset });
      }
      flags.#values.set(name, [...before, { text: valueOf(kind, name, value, offset), offset }]);
    }
    return flags;
  }

  /** The value, or undefined when the flag is not there or empty. */
  string(name: string): string | undefined {
    const value = this.#values.get(name)?.[0]?.text;
    return value === '' ? undefined : value;
  }

  strings(name: string): readonly Token[] {
    return this.#values.get(name) ?? [];
  }

  /** Undefined when the flag is not there. */
  boolean(name: string): boolean | undefined {
    const value = this.#values.get(name)?.[0]?.text;
    return value === undefined ? undefined : value === 'true';
  }

  offsetOf(name: string): number | undefined {
    return this.#values.get(name)?.[0]?.offset;
  }
}

function valueOf(kind: FlagKind, name: string, value: string | undefined, offset: number): string {
  if (kind !== 'boolean') {
    if (value === undefined) throw new Fault(`missing a value on flag: --${name}`, { offset });
    return value;
  }
  const lower = (value ?? 'true').toLowerCase();
  if (lower !== 'true' && lower !== 'false') {
    throw new Fault(`expecting boolean value for flag --${name}, not: ${value ?? ''}`, { offset });
  }
  return lower;
}
