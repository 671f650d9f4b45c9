/**
 * The command line of OCI runtimes, as runc reads it: global options before the command, options of the command before its
 * arguments; `--name value`, `--name=value` and `-n value`. An option that is not in the table is refused by name.
 */
import { invalidParameter } from '#errdefs/errors.ts';

export type OptionKind = 'flag' | 'value' | 'list';
export type OptionTable = Readonly<Record<string, OptionKind>>;

export class Options {
  readonly #values = new Map<string, string[]>();
  readonly rest: readonly string[];

  constructor(values: ReadonlyMap<string, string[]>, rest: readonly string[]) {
    for (const [name, list] of values) this.#values.set(name, list);
    this.rest = rest;
  }

  flag(name: string): boolean {
    return this.#values.get(name)?.at(-1) === 'true';
  }

  value(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** Exactly these arguments. Errors: invalid-parameter. */
  arguments(command: string, ...names: readonly string[]): string[] {
    if (this.rest.length !== names.length)
      throw invalidParameter(`"${command}" requires exactly ${names.length} argument(s): ${names.join(' ')}`);
    return [...this.rest];
  }
}

/** `aliases`: short name → long name. Parsing ends at the first argument that is no option, or at `--`. */
export function parseOptions(
  argv: readonly string[],
  table: OptionTable,
  aliases: Readonly<Record<string, string>> = {},
): Options {
  const values = new Map<string, string[]>();
  let i = 0;
  for (; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word === '--') {
      i += 1;
      break;
    }
    if (!word.startsWith('-') || word === '-') break;
    const text = word.replace(/^--?/, '');
    const equals = text.indexOf('=');
    const given = equals === -1 ? text : text.slice(0, equals);
    const name = aliases[given] ?? given;
    const kind = table[name];
    if (kind === undefined) throw invalidParameter(`flag provided but not supported: ${word}`);
    let value: string;
    if (equals !== -1) value = text.slice(equals + 1);
    else if (kind === 'flag') value = 'true';
    else {
      i += 1;
      const next = argv[i];
      if (next === undefined) throw invalidParameter(`flag needs an argument: ${word}`);
      value = next;
    }
    values.set(name, kind === 'list' ? [...(values.get(name) ?? []), value] : [value]);
  }
  return new Options(values, argv.slice(i));
}

/** A `--preserve-fds`, `--rootless` and the like: accepted with the value that means "no". */
export function refuseUnless(options: Options, name: string, allowed: readonly string[]): void {
  const value = options.value(name);
  if (value !== undefined && !allowed.includes(value)) throw invalidParameter(`--${name} ${value} is not supported`);
}
