/**
 * Quotes, escapes and variables of a word, like a shell's and exactly as BuildKit's: `$name`, `${name}` and the
 * modifiers `-`, `:-`, `+`, `:+`, `?`, `:?`, `#`, `##`, `%`, `%%`, `/` and `//`. No globbing, no commands.
 * Variables of the environment may be expanded again and again, so the length of a result is bounded.
 */
import { replacePattern, trimPrefix, trimSuffix } from './shell-pattern.ts';
import { Fault } from './source.ts';

export type Environment = ReadonlyMap<string, string>;

export interface LexerOptions {
  readonly escape?: '\\' | '`';
  /** Quotes stay in the result. */
  readonly rawQuotes?: boolean;
  /** Escapes stay in the result. */
  readonly rawEscapes?: boolean;
  /** `$name` of what is not set stays as it is. */
  readonly keepUnset?: boolean;
  /** Quotes mean nothing: the content of a heredoc. */
  readonly literalQuotes?: boolean;
}

export interface Expansion {
  readonly word: string;
  readonly words: readonly string[];
  /** Names that were used without being set, and without a modifier that says what then. */
  readonly unset: ReadonlySet<string>;
  readonly used: ReadonlySet<string>;
}

const EXPANDED_LENGTH_MAX = 1024 * 1024;
const NESTING_MAX = 100;

export class Lexer {
  readonly #options: LexerOptions;

  constructor(options: LexerOptions = {}) {
    this.#options = options;
  }

  /** Throws a Fault `failed to process "…": …`. */
  expand(text: string, env: Environment): Expansion {
    const scan = new Scan(text, env, this.#options);
    try {
      const { word, words } = scan.until(undefined, false);
      return { word, words, unset: scan.unset, used: scan.used };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      throw new Fault(`failed to process ${JSON.stringify(text)}: ${error.message}`);
    }
  }

  word(text: string, env: Environment): string {
    return this.expand(text, env).word;
  }

  words(text: string, env: Environment): readonly string[] {
    return this.expand(text, env).words;
  }
}

const special = '@*#?-$!0';
const letter = /^[\p{L}\p{Nd}_]$/u;
const digit = /^\p{Nd}$/u;
const space = /^[\s\u0085]$/;

/** Collects words: unquoted space ends one; what is quoted never does. */
class Words {
  readonly #words: string[] = [];
  #word = '';
  #inWord = false;

  add(text: string): void {
    for (const character of text) {
      if (!space.test(character)) {
        this.addRaw(character);
      } else if (this.#inWord && this.#word !== '') {
        this.#words.push(this.#word);
        this.#word = '';
        this.#inWord = false;
      }
    }
  }

  addRaw(text: string): void {
    this.#word += text;
    this.#inWord = true;
  }

  end(): readonly string[] {
    if (this.#word !== '') this.#words.push(this.#word);
    this.#word = '';
    return this.#words;
  }
}

class Scan {
  readonly unset = new Set<string>();
  readonly used = new Set<string>();
  readonly #text: string;
  readonly #env: Environment;
  readonly #escape: string;
  readonly #options: LexerOptions;
  #at = 0;
  #depth = 0;
  #length = 0;

  constructor(text: string, env: Environment, options: LexerOptions) {
    this.#text = text;
    this.#env = env;
    this.#options = options;
    this.#escape = options.escape ?? '\\';
  }

  get #peek(): string | undefined {
    const code = this.#text.codePointAt(this.#at);
    return code === undefined ? undefined : String.fromCodePoint(code);
  }

  #take(): string | undefined {
    const character = this.#peek;
    this.#at += character?.length ?? 0;
    return character;
  }

  #grown(text: string): string {
    this.#length += text.length;
    if (this.#length > EXPANDED_LENGTH_MAX) {
      throw new Fault(`the expanded text is longer than ${EXPANDED_LENGTH_MAX} characters`);
    }
    return text;
  }

  /** Reads up to `stop` (which is taken too), or to the end. `keepEscapes`: they belong to a pattern. */
  until(stop: string | undefined, keepEscapes: boolean): { word: string; words: readonly string[] } {
    let word = '';
    const words = new Words();
    for (let character = this.#peek; character !== undefined; character = this.#peek) {
      if (character === stop) {
        this.#take();
        return { word, words: words.end() };
      }
      if (character === '$') {
        const value = this.#grown(this.#dollar());
        word += value;
        words.add(value);
      } else if (character === "'" && this.#options.literalQuotes !== true) {
        const quoted = this.#single();
        word += quoted;
        words.addRaw(quoted);
      } else if (character === '"' && this.#options.literalQuotes !== true) {
        const quoted = this.#double(keepEscapes);
        word += quoted;
        words.addRaw(quoted);
      } else {
        this.#take();
        if (character !== this.#escape) {
          word += character;
          words.add(character);
          continue;
        }
        const kept = this.#options.rawEscapes === true || keepEscapes ? character : '';
        const next = this.#take();
        if (next === undefined) {
          // An escape at the very end is nothing, unless escapes are kept.
          word += kept;
          if (kept !== '') words.addRaw(kept);
          break;
        }
        word += kept + next;
        words.addRaw(kept + next);
      }
    }
    if (stop !== undefined) {
      throw new Fault(`unexpected end of statement while looking for matching ${stop}`);
    }
    return { word, words: words.end() };
  }

  #single(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw new Fault('unexpected end of statement while looking for matching single-quote');
    const raw = this.#text.slice(this.#at, end + 1);
    this.#at = end + 1;
    return this.#options.rawQuotes === true ? raw : raw.slice(1, -1);
  }

  #double(keepEscapes: boolean): string {
    const quote = this.#options.rawQuotes === true ? '"' : '';
    const raw = this.#options.rawEscapes === true || keepEscapes;
    this.#take();
    let out = quote;
    for (;;) {
      const character = this.#peek;
      if (character === undefined) {
        throw new Fault('unexpected end of statement while looking for matching double-quote');
      }
      if (character === '$') {
        out += this.#grown(this.#dollar());
        continue;
      }
      this.#take();
      if (character === '"') return out + quote;
      if (character !== this.#escape) {
        out += character;
        continue;
      }
      const next = this.#peek;
      if (next === undefined) continue;
      // Only these can be escaped; an escape before anything else stands for itself.
      const escapes = next === '"' || next === '$' || next === this.#escape;
      if (raw || !escapes) out += character;
      if (escapes) {
        this.#take();
        out += next;
      }
    }
  }

  #name(): string {
    const first = this.#peek;
    if (first === undefined) return '';
    let name = '';
    if (digit.test(first)) {
      for (let c = this.#peek; c !== undefined && digit.test(c); c = this.#peek) name += this.#take();
      return name;
    }
    if (special.includes(first)) return this.#take() ?? '';
    for (let c = this.#peek; c !== undefined && letter.test(c); c = this.#peek) name += this.#take();
    return name;
  }

  #value(name: string): string | undefined {
    const value = this.#env.get(name);
    (value === undefined ? this.unset : this.used).add(name);
    return value;
  }

  #dollar(): string {
    this.#take();
    if (this.#peek !== '{') {
      const name = this.#name();
      if (name === '') return '$';
      const value = this.#value(name);
      return value ?? (this.#options.keepUnset === true ? `$${name}` : '');
    }
    this.#take();
    const first = this.#peek;
    if (first === undefined) throw new Fault("syntax error: missing '}'");
    if (first === '{' || first === '}' || first === ':') throw new Fault('syntax error: bad substitution');
    if (++this.#depth > NESTING_MAX) throw new Fault('syntax error: substitutions are nested too deep');
    const start = this.#at;
    const value = this.#braced();
    this.#depth--;
    return value ?? `\${${this.#text.slice(start, this.#at)}`;
  }

  /** Undefined when the substitution is to stay as it stands. */
  #braced(): string | undefined {
    const name = this.#name();
    const mark = this.#take();
    const keep = this.#options.keepUnset === true && !this.#env.has(name);
    switch (mark) {
      case '}': {
        const value = this.#value(name);
        return keep ? undefined : (value ?? '');
      }
      case ':': {
        const modifier = this.#take() ?? '';
        if (!'+-?'.includes(modifier) || modifier === '') {
          throw new Fault(`unsupported modifier (:${modifier}) in substitution`);
        }
        return this.#conditional(name, modifier, true, keep);
      }
      case '+':
      case '-':
      case '?':
        return this.#conditional(name, mark, false, keep);
      case '#':
      case '%':
        return this.#trimmed(name, mark, keep);
      case '/':
        return this.#replaced(name, keep);
      case undefined:
        throw new Fault("syntax error: missing '}'");
      default:
        throw new Fault(`unsupported modifier (${mark}) in substitution`);
    }
  }

  /** What stands between the modifier and the closing brace. */
  #rest(keepEscapes: boolean, stop = '}'): string {
    try {
      return this.until(stop, keepEscapes).word;
    } catch (error) {
      if (error instanceof Fault && this.#peek === undefined) throw new Fault("syntax error: missing '}'");
      throw error;
    }
  }

  #conditional(name: string, modifier: string, emptyIsUnset: boolean, keep: boolean): string | undefined {
    const word = this.#rest(false);
    const value = this.#env.get(name);
    if (value !== undefined) this.used.add(name);
    const missing = value === undefined || (emptyIsUnset && value === '');
    if (keep) return undefined;
    if (modifier === '+') return missing ? '' : word;
    if (modifier === '-') return missing ? word : value;
    if (!missing) return value;
    const why = value === undefined ? 'is not allowed to be unset' : 'is not allowed to be empty';
    throw new Fault(`${name}: ${word === '' ? why : word}`);
  }

  #trimmed(name: string, mark: '#' | '%', keep: boolean): string | undefined {
    const greedy = this.#peek === mark;
    if (greedy) this.#take();
    const pattern = this.#rest(true);
    const value = this.#value(name) ?? '';
    if (keep) return undefined;
    return mark === '#' ? trimPrefix(value, pattern, greedy) : trimSuffix(value, pattern, greedy);
  }

  #replaced(name: string, keep: boolean): string | undefined {
    const all = this.#peek === '/';
    if (all) this.#take();
    const pattern = this.#rest(true, '/');
    const replacement = this.#rest(true);
    const value = this.#value(name) ?? '';
    if (keep) return undefined;
    return this.#grown(replacePattern(value, pattern, replacement.replace(/\\(.)/gs, '$1'), all));
  }
}
