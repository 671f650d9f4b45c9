/**
 * The grammar of pflag, which docker's users have in their fingers: bundled shorthands (`-it`), `--name=value` and
 * `--name value`, `-n5`, `-n=5`, repeated flags, negated booleans (`--rm=false`), `--`, and (for run, exec and the
 * like) an end of options at the first positional.
 */
import { FlagRefusal, type FlagTable, type FlagValues } from './flag-spec.ts';

/** A mistake in a command line; shown with the usage line, exit code 125 as in docker. */
export class FlagError extends Error {
  override readonly name = 'FlagError';
}

export interface ParsedFlags<F extends FlagTable> {
  readonly values: FlagValues<F>;
  /** Names given on the command line, whatever their value. */
  readonly given: ReadonlySet<keyof F & string>;
  readonly positionals: readonly string[];
  /** `--help` or an undefined `-h` was met; the rest is unread. */
  readonly help: boolean;
}

export function parseFlags<F extends FlagTable>(
  table: F,
  argv: readonly string[],
  options: { readonly interspersed: boolean },
): ParsedFlags<F> {
  const parser = new Parser(table, argv);
  const help = parser.run(options.interspersed);
  return {
    // as: every key of the table was given its initial or parsed value, of the type its spec says.
    values: Object.fromEntries(parser.values) as FlagValues<F>,
    given: parser.given,
    positionals: parser.positionals,
    help,
  };
}

class Parser {
  readonly values = new Map<string, unknown>();
  readonly given = new Set<string>();
  readonly positionals: string[] = [];
  readonly #table: FlagTable;
  readonly #argv: readonly string[];
  readonly #byShorthand = new Map<string, string>();
  #next = 0;

  constructor(table: FlagTable, argv: readonly string[]) {
    this.#table = table;
    this.#argv = argv;
    for (const [name, spec] of Object.entries(table)) {
      this.values.set(name, spec.initial);
      if (spec.shorthand !== '') this.#byShorthand.set(spec.shorthand, name);
    }
  }

  /** True when help was asked for. */
  run(interspersed: boolean): boolean {
    for (let argument = this.#take(); argument !== undefined; argument = this.#take()) {
      if (argument === '--') {
        this.positionals.push(...this.#argv.slice(this.#next));
        return false;
      }
      if (argument === '-' || !argument.startsWith('-')) {
        this.positionals.push(argument);
        if (interspersed) continue;
        this.positionals.push(...this.#argv.slice(this.#next));
        return false;
      }
      const help = argument.startsWith('--') ? this.#long(argument) : this.#short(argument);
      if (help) return true;
    }
    return false;
  }

  #take(): string | undefined {
    return this.#next < this.#argv.length ? this.#argv[this.#next++] : undefined;
  }

  #long(argument: string): boolean {
    const equals = argument.indexOf('=');
    const name = equals < 0 ? argument.slice(2) : argument.slice(2, equals);
    if (name === '' || name.startsWith('-')) throw new FlagError(`bad flag syntax: ${argument}`);
    const spec = Object.hasOwn(this.#table, name) ? this.#table[name] : undefined;
    if (spec === undefined) {
      if (name === 'help') return true;
      throw new FlagError(`unknown flag: --${name}`);
    }
    let value: string | undefined;
    if (equals >= 0) value = argument.slice(equals + 1);
    else if (spec.standsAlone) value = 'true';
    else value = this.#take();
    if (value === undefined) throw new FlagError(`flag needs an argument: --${name}`);
    this.#set(name, value);
    return false;
  }

  #short(argument: string): boolean {
    for (let rest = argument.slice(1); rest !== ''; ) {
      const letter = rest.slice(0, 1);
      const name = this.#byShorthand.get(letter);
      const spec = name === undefined ? undefined : this.#table[name];
      if (name === undefined || spec === undefined) {
        if (letter === 'h') return true;
        throw new FlagError(`unknown shorthand flag: '${letter}' in -${rest}`);
      }
      let value: string | undefined;
      let left = '';
      if (rest.length > 2 && rest[1] === '=') value = rest.slice(2);
      else if (spec.standsAlone) [value, left] = ['true', rest.slice(1)];
      else if (rest.length > 1) value = rest.slice(1);
      else value = this.#take();
      if (value === undefined) throw new FlagError(`flag needs an argument: '${letter}' in -${rest}`);
      this.#set(name, value);
      rest = left;
    }
    return false;
  }

  #set(name: string, value: string): void {
    const spec = this.#table[name];
    if (spec === undefined) return;
    try {
      this.values.set(name, spec.parse(value, this.values.get(name)));
    } catch (error) {
      if (error instanceof FlagRefusal) throw error;
      const shown = spec.shorthand === '' ? `--${name}` : `-${spec.shorthand}, --${name}`;
      const why = error instanceof Error ? error.message : String(error);
      throw new FlagError(`invalid argument "${value}" for "${shown}" flag: ${why}`, { cause: error });
    }
    this.given.add(name);
  }
}
