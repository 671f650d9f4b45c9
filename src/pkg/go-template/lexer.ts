/** Tokens of a template: text outside of the braces, and the words within. */
import { TemplateError } from './nodes.ts';

export interface Token {
  readonly kind:
    | 'text'
    | 'open'
    | 'close'
    | 'word'
    | 'field'
    | 'variable'
    | 'number'
    | 'string'
    | 'char'
    | 'dot'
    | 'mark'
    | 'space'
    | 'end';
  /** As written. */
  readonly text: string;
  readonly at: number;
}

const SPACE = /[ \t\r\n]/;
const WORD = /[\p{L}\p{Nd}_]+/uy;
const NUMBER =
  /[+-]?(?:0[xX][\da-fA-F_]+(?:\.[\da-fA-F_]*)?(?:[pP][+-]?\d+)?|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*)?\.?\d[\d_]*\.?(?:[eE][+-]?\d+)?|\d+\.)i?/y;
const STRING = /"(?:[^"\\\n]|\\[^\n])*"/y;
const CHAR = /'(?:[^'\\\n]|\\[^\n])+'/y;
const MARKS = ['|', '(', ')', ',', ':=', '='];

export function lex(source: string): Token[] {
  const lexer = new Lexer(source);
  return lexer.all();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  all(): Token[] {
    let trim = false;
    for (;;) {
      const open = this.#source.indexOf('{{', this.#at);
      const end = open < 0 ? this.#source.length : open;
      const trimNext = open >= 0 && this.#source[open + 2] === '-' && SPACE.test(this.#source[open + 3] ?? '');
      let text = this.#source.slice(this.#at, end);
      if (trim) text = text.replace(/^[ \t\r\n]+/, '');
      if (trimNext) text = text.replace(/[ \t\r\n]+$/, '');
      if (text !== '') this.#tokens.push({ kind: 'text', text, at: this.#at });
      if (open < 0) break;
      this.#at = open + 2 + (trimNext ? 2 : 0);
      trim = this.#action(open);
    }
    this.#tokens.push({ kind: 'end', text: '', at: this.#source.length });
    return this.#tokens;
  }

  /** From behind the opening braces to behind the closing ones; true when the text after them loses its white space. */
  #action(open: number): boolean {
    if (this.#source.startsWith('/*', this.#at)) return this.#comment();
    this.#push('open', '{{', open);
    for (let depth = 0; ; ) {
      const rest = this.#closing();
      if (rest !== undefined && depth > 0) this.#fail('unclosed left paren');
      if (rest !== undefined) return rest;
      const character = this.#source[this.#at];
      if (character === undefined) this.#fail('unclosed action');
      const mark = MARKS.find((one) => this.#source.startsWith(one, this.#at));
      if (mark === '(') depth++;
      if (mark === ')' && --depth < 0) this.#fail('unexpected right paren');
      if (mark !== undefined) this.#push('mark', mark, this.#at, mark.length);
      else this.#word(character);
    }
  }

  /** After `}}` or ` -}}`. */
  #closing(): boolean | undefined {
    const match = /([ \t\r\n]+-)?\}\}/y;
    match.lastIndex = this.#at;
    const found = match.exec(this.#source);
    if (found === null) return undefined;
    this.#push('close', found[0], this.#at, found[0].length);
    return found[1] !== undefined;
  }

  #comment(): boolean {
    const end = this.#source.indexOf('*/', this.#at);
    if (end < 0) this.#fail('unclosed comment');
    const close = /(?:[ \t\r\n]+(-))?\}\}/y;
    close.lastIndex = end + 2;
    const found = close.exec(this.#source);
    if (found === null) this.#fail('comment ends before closing delimiter');
    this.#at = close.lastIndex;
    return found[1] !== undefined;
  }

  #word(character: string): void {
    const at = this.#at;
    if (SPACE.test(character)) {
      const space = /[ \t\r\n]+/y;
      // White space before `-}}` belongs to the closing braces.
      this.#push('space', this.#match(space) ?? character, at);
      return;
    }
    if (character === '"') {
      const text = this.#match(STRING);
      if (text === undefined) this.#fail('unterminated quoted string');
      this.#push('string', text, at);
    } else if (character === '`') {
      const end = this.#source.indexOf('`', at + 1);
      if (end < 0) this.#fail('unterminated raw quoted string');
      this.#push('string', this.#source.slice(at, end + 1), at, end + 1 - at);
    } else if (character === "'") {
      const text = this.#match(CHAR);
      if (text === undefined) this.#fail('unterminated character constant');
      this.#push('char', text, at);
    } else if (character === '$' || (character === '.' && !/\d/.test(this.#source[at + 1] ?? ''))) {
      this.#at++;
      const name = this.#match(WORD) ?? '';
      const kind = character === '$' ? 'variable' : name === '' ? 'dot' : 'field';
      this.#push(kind, character + name, at);
      if (kind !== 'dot') this.#endOfWord();
    } else if (/[\d+.-]/.test(character)) {
      const text = this.#match(NUMBER);
      if (text === undefined || /[\p{L}\p{Nd}_]/u.test(this.#source[this.#at] ?? '')) {
        this.#fail(`bad number syntax: ${goQuote(this.#source.slice(at, this.#at + 1))}`);
      }
      this.#push('number', text, at);
    } else {
      const text = this.#match(WORD);
      if (text === undefined) {
        this.#fail(`unexpected bad character ${unicode(character)} '${character}' in command`);
      }
      this.#push('word', text, at);
      this.#endOfWord();
    }
  }

  #endOfWord(): void {
    const next = this.#source[this.#at];
    if (next === undefined || /[ \t\r\n.,|:=()]/.test(next) || this.#source.startsWith('}}', this.#at)) return;
    this.#fail(`bad character ${unicode(next)} '${next}'`);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#source);
    if (found === null) return undefined;
    this.#at = pattern.lastIndex;
    return found[0];
  }

  #push(kind: Token['kind'], text: string, at: number, advance = 0): void {
    this.#tokens.push({ kind, text, at });
    this.#at += advance;
  }

  #fail(message: string): never {
    throw new TemplateError(`template: :${lineOf(this.#source, this.#at)}: ${message}`);
  }
}

function unicode(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}

export function lineOf(source: string, at: number): number {
  return source.slice(0, at).split('\n').length;
}

/** Go's %q of a string. */
export function goQuote(text: string): string {
  const special: Readonly<Record<string, string>> = {
    '\x07': '\\a',
    '\b': '\\b',
    '\f': '\\f',
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '\v': '\\v',
    '"': '\\"',
    '\\': '\\\\',
  };
  let out = '';
  for (const c of text) {
    const code = c.codePointAt(0) ?? 0;
    if (special[c] !== undefined) out += special[c];
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, '0')}`;
    else if (/\p{C}|\p{Zl}|\p{Zp}|(?! )\p{Zs}/u.test(c)) {
      out += code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
    } else out += c;
  }
  return `"${out}"`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
};

/** Go's strconv.Unquote of `"…"`, `'…'` and `` `…` ``; undefined when an escape is not one of Go's. */
export function goUnquote(quoted: string): string | undefined {
  const inner = quoted.slice(1, -1);
  if (quoted.startsWith('`')) return inner.replaceAll('\r', '');
  let bad = false;
  const other = quoted.startsWith('"') ? "'" : '"';
  const text = inner.replace(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{3})|(.))/gsu,
    (_, x?: string, u?: string, wide?: string, octal?: string, letter?: string) => {
      const hex = x ?? u ?? wide;
      if (hex !== undefined) return String.fromCodePoint(Math.min(Number.parseInt(hex, 16), 0x10ffff));
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      const plain = letter === other ? undefined : ESCAPES[letter ?? ''];
      if (plain === undefined) bad = true;
      return plain ?? '';
    },
  );
  return bad ? undefined : text;
}
