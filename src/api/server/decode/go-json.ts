/**
 * JSON of request bodies. `JSON.parse` decides; only for what it refuses does a scanner look for the first wrong
 * character, to say it in the words of Go's decoder, which clients and their tests match.
 */

export type JsonOutcome =
  /** `trailing`: something follows the value. */
  { kind: 'value'; value: unknown; trailing: boolean } | { kind: 'empty' } | { kind: 'error'; message: string };

const DEPTH_MAX = 10_000;

export function parseJson(text: string): JsonOutcome {
  try {
    return { kind: 'value', value: JSON.parse(text) as unknown, trailing: false };
  } catch {
    // Told below, in Go's words.
  }
  if (/^[ \t\r\n]*$/.test(text)) return { kind: 'empty' };
  const scanner = new Scanner(text);
  try {
    const end = scanner.value();
    return { kind: 'value', value: JSON.parse(text.slice(0, end)) as unknown, trailing: true };
  } catch (error) {
    return { kind: 'error', message: error instanceof Error ? error.message : String(error) };
  }
}

function quoteChar(char: string): string {
  if (char === "'") return "'\\''";
  if (char === '"') return "'\"'";
  return `'${JSON.stringify(char).slice(1, -1)}'`;
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Scans one value; returns where it ends. Throws the first error. No recursion: a body may nest deeply. */
  value(): number {
    const stack: ('object' | 'array')[] = [];
    for (;;) {
      if (this.#beginValue(stack)) continue;
      // A value has ended: close what ends with it.
      for (;;) {
        const top = stack.at(-1);
        if (top === undefined) return this.#at;
        const char = this.#skipSpace();
        if (char === ',') {
          this.#at++;
          if (top === 'object') this.#key();
          break;
        }
        if (char !== (top === 'object' ? '}' : ']')) {
          this.#fail(top === 'object' ? 'after object key:value pair' : 'after array element');
        }
        this.#at++;
        stack.pop();
      }
    }
  }

  /** True when it opened something whose first value comes now. */
  #beginValue(stack: ('object' | 'array')[]): boolean {
    const char = this.#skipSpace();
    if (char === '{' || char === '[') {
      if (stack.length >= DEPTH_MAX) throw new Error('exceeded max depth');
      this.#at++;
      const empty = this.#skipSpace() === (char === '{' ? '}' : ']');
      if (empty) {
        this.#at++;
        return false;
      }
      stack.push(char === '{' ? 'object' : 'array');
      if (char === '{') this.#key();
      return true;
    }
    if (char === '"') this.#string();
    else if (char === 't') this.#literal('true');
    else if (char === 'f') this.#literal('false');
    else if (char === 'n') this.#literal('null');
    else if (char === '-' || isDigit(char)) this.#number();
    else this.#fail('looking for beginning of value');
    return false;
  }

  #key(): void {
    if (this.#skipSpace() !== '"') this.#fail('looking for beginning of object key string');
    this.#string();
    if (this.#skipSpace() !== ':') this.#fail('after object key');
    this.#at++;
  }

  #string(): void {
    this.#at++;
    for (;;) {
      const char = this.#peek();
      if (char === '"') {
        this.#at++;
        return;
      }
      if (char < ' ') this.#fail('in string literal');
      this.#at++;
      if (char === '\\') this.#escape();
    }
  }

  #escape(): void {
    const char = this.#peek();
    if (!'bfnrt\\/"u'.includes(char)) this.#fail('in string escape code');
    this.#at++;
    if (char !== 'u') return;
    for (let i = 0; i < 4; i++) {
      if (!/[0-9a-fA-F]/.test(this.#peek())) this.#fail('in \\u hexadecimal character escape');
      this.#at++;
    }
  }

  #literal(word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (this.#peek() !== word[i]) this.#fail(`in literal ${word} (expecting '${word[i]}')`);
      this.#at++;
    }
  }

  #number(): void {
    if (this.#peek() === '-') {
      this.#at++;
      if (!isDigit(this.#peek())) this.#fail('in numeric literal');
    }
    if (this.#peek() === '0') this.#at++;
    else this.#digits();
    if (this.#text[this.#at] === '.') {
      this.#at++;
      if (!isDigit(this.#peek())) this.#fail('after decimal point in numeric literal');
      this.#digits();
    }
    const exponent = this.#text[this.#at];
    if (exponent === 'e' || exponent === 'E') {
      this.#at++;
      const sign = this.#peek();
      if (sign === '+' || sign === '-') this.#at++;
      if (!isDigit(this.#peek())) this.#fail('in exponent of numeric literal');
      this.#digits();
    }
  }

  #digits(): void {
    while (isDigit(this.#text[this.#at] ?? '')) this.#at++;
  }

  #skipSpace(): string {
    while (' \t\r\n'.includes(this.#peek())) this.#at++;
    return this.#peek();
  }

  #peek(): string {
    const char = this.#text[this.#at];
    if (char === undefined) throw new Error('unexpected EOF');
    return char;
  }

  #fail(context: string): never {
    throw new Error(`invalid character ${quoteChar(this.#peek())} ${context}`);
  }
}

function isDigit(char: string): boolean {
  return char >= '0' && char <= '9';
}
