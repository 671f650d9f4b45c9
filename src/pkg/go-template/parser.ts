/** Go's text/template, from source to tree. Messages and places are Go's, because people search for them. */
import { goQuote, goUnquote, lex, lineOf, type Token } from './lexer.ts';
import { type Command, type Node, type Operand, type Pipe, type Template, TemplateError } from './nodes.ts';
import { GoFloat } from './values.ts';

const KEYWORDS = new Set([
  'block',
  'break',
  'continue',
  'define',
  'else',
  'end',
  'if',
  'range',
  'nil',
  'template',
  'with',
]);

/** @throws {TemplateError} for what Go's parser refuses; functions that are not in `functions` among it. */
export function parseTemplate(source: string, functions: ReadonlySet<string>): Template {
  return new Parser(source, functions).parse();
}

interface Body {
  readonly nodes: Node[];
  /** What ended it. */
  readonly end: 'end' | 'else' | 'eof';
}

class Parser {
  readonly #source: string;
  readonly #functions: ReadonlySet<string>;
  readonly #tokens: readonly Token[];
  readonly #named = new Map<string, readonly Node[]>();
  #variables = ['$'];
  #at = 0;
  #ranges = 0;

  constructor(source: string, functions: ReadonlySet<string>) {
    this.#source = source;
    this.#functions = functions;
    this.#tokens = lex(source);
  }

  parse(): Template {
    const { nodes, end } = this.#body();
    if (end !== 'eof') this.#fail(`unexpected {{${end}}}`);
    return { source: this.#source, root: nodes, named: this.#named };
  }

  #body(): Body {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#next();
      if (token.kind === 'end') return { nodes, end: 'eof' };
      if (token.kind === 'text') {
        nodes.push({ kind: 'text', text: token.text });
        continue;
      }
      const word = this.#peekPastSpace();
      if (word.kind === 'word' && (word.text === 'end' || word.text === 'else')) {
        this.#next();
        if (word.text === 'end') this.#expect('close', 'end');
        return { nodes, end: word.text };
      }
      const node = this.#action(word);
      if (node !== undefined) nodes.push(node);
    }
  }

  #action(word: Token): Node | undefined {
    if (word.kind === 'word') {
      switch (word.text) {
        case 'if':
        case 'with':
        case 'range':
          this.#next();
          return this.#control(word.text);
        case 'define':
          this.#next();
          this.#define();
          return undefined;
        case 'block':
          this.#next();
          return this.#block(word);
        case 'template':
          this.#next();
          return this.#template();
        case 'break':
        case 'continue':
          this.#next();
          if (this.#ranges === 0) this.#fail(`{{${word.text}}} outside {{range}}`);
          this.#expect('close', `{{${word.text}}}`);
          return { kind: word.text };
        default:
      }
    }
    return { kind: 'action', pipe: this.#pipeline('command', 'close') };
  }

  #control(kind: 'if' | 'with' | 'range'): Node {
    const scope = this.#variables.length;
    const pipe = this.#pipeline(kind, 'close');
    if (kind === 'range') this.#ranges++;
    const { nodes, end } = this.#body();
    if (kind === 'range') this.#ranges--;
    let otherwise: readonly Node[] = [];
    if (end === 'else') {
      const word = this.#peekPastSpace();
      if (kind !== 'range' && word.kind === 'word' && word.text === kind) {
        this.#next();
        otherwise = [this.#control(kind)];
      } else {
        this.#expect('close', 'else');
        const rest = this.#body();
        if (rest.end !== 'end') this.#fail(rest.end === 'eof' ? 'unexpected EOF' : 'expected end; found {{else}}');
        otherwise = rest.nodes;
      }
    } else if (end === 'eof') this.#fail('unexpected EOF');
    this.#variables.length = scope;
    return { kind, pipe, body: nodes, otherwise };
  }

  #define(): void {
    const name = this.#name('define clause');
    this.#expect('close', 'define clause');
    this.#named.set(name, this.#apart());
  }

  #block(word: Token): Node {
    const name = this.#name('block clause');
    const pipe = this.#pipeline('block clause', 'close');
    this.#named.set(name, this.#apart());
    return { kind: 'template', name, pipe, place: { at: word.at, text: `{{template ${goQuote(name)}}}` } };
  }

  /** A body of its own: no variable of outside is seen in it. */
  #apart(): readonly Node[] {
    const [variables, ranges] = [this.#variables, this.#ranges];
    this.#variables = ['$'];
    this.#ranges = 0;
    const { nodes, end } = this.#body();
    if (end !== 'end') this.#fail(end === 'eof' ? 'unexpected EOF' : 'unexpected {{else}} in define clause');
    this.#variables = variables;
    this.#ranges = ranges;
    return nodes;
  }

  #template(): Node {
    const at = this.#peekPastSpace().at;
    const name = this.#name('template clause');
    const place = { at, text: `{{template ${goQuote(name)}}}` };
    if (this.#peekPastSpace().kind === 'close') {
      this.#next();
      return { kind: 'template', name, place };
    }
    return { kind: 'template', name, pipe: this.#pipeline('template clause', 'close'), place };
  }

  #name(context: string): string {
    const token = this.#nextPastSpace();
    if (token.kind !== 'string') this.#unexpected(token, context);
    return goUnquote(token.text) ?? this.#fail('invalid syntax');
  }

  #pipeline(context: string, end: 'close' | ')'): Pipe {
    const start = this.#peekPastSpace();
    const { variables, assign } = this.#declaration(context);
    const commands: Command[] = [];
    for (;;) {
      const token = this.#peekPastSpace();
      if (this.#isEnd(token, end)) {
        this.#next();
        if (commands.length === 0) this.#fail(`missing value for ${context}`);
        const bad = commands.slice(1).find(({ words: [first] }) => /^(?:constant|dot|nil)$/.test(first.kind));
        if (bad !== undefined) {
          this.#fail(`non executable command in pipeline stage ${commands.indexOf(bad) + 1}`);
        }
        return { variables, assign, commands, ...this.#place(start.at, token.at) };
      }
      if (!/^(?:word|char|string|number|field|dot|variable|mark)$/.test(token.kind)) this.#unexpected(token, context);
      if (token.kind === 'mark' && token.text !== '(') this.#unexpected(token, context);
      commands.push(this.#command());
    }
  }

  #isEnd(token: Token, end: 'close' | ')'): boolean {
    return end === 'close' ? token.kind === 'close' : token.kind === 'mark' && token.text === ')';
  }

  #declaration(context: string): { variables: string[]; assign: boolean } {
    const back = this.#at;
    const variables: string[] = [];
    for (;;) {
      const variable = this.#peekPastSpace();
      if (variable.kind !== 'variable') break;
      this.#next();
      const mark = this.#peekPastSpace();
      if (mark.kind === 'mark' && (mark.text === ':=' || mark.text === '=')) {
        this.#next();
        variables.push(variable.text);
        const assign = mark.text === '=';
        if (assign) for (const name of variables) this.#mustBeKnown(name);
        else this.#variables.push(...variables);
        return { variables, assign };
      }
      if (mark.kind === 'mark' && mark.text === ',' && context === 'range' && variables.length < 2) {
        this.#next();
        variables.push(variable.text);
        continue;
      }
      if (mark.kind === 'mark' && mark.text === ',') this.#fail(`too many declarations in ${context}`);
      break;
    }
    this.#at = back;
    return { variables: [], assign: false };
  }

  #mustBeKnown(name: string): void {
    if (!this.#variables.includes(name)) this.#fail(`undefined variable ${goQuote(name)}`);
  }

  #command(): Command {
    const start = this.#peekPastSpace();
    const words: Operand[] = [];
    let end = start.at;
    for (;;) {
      this.#peekPastSpace();
      const operand = this.#operand();
      if (operand !== undefined) words.push(operand);
      const token = this.#tokens[this.#at] ?? this.#peekPastSpace();
      if (operand !== undefined) end = token.at;
      if (token.kind === 'space') {
        this.#next();
        continue;
      }
      if (token.kind === 'close' || (token.kind === 'mark' && token.text === ')')) break;
      if (token.kind === 'mark' && token.text === '|') {
        this.#next();
        break;
      }
      this.#unexpected(token, 'operand');
    }
    const [first, ...more] = words;
    if (first === undefined) this.#fail('empty command');
    return { words: [first, ...more], ...this.#place(start.at, end) };
  }

  #operand(): Operand | undefined {
    const start = this.#tokens[this.#at];
    const inner = this.#term();
    if (inner === undefined || start === undefined) return inner;
    const names: string[] = [];
    // Go counts the place of a longer field from its second part.
    const second = this.#tokens[this.#at]?.at ?? start.at;
    for (let token = this.#tokens[this.#at]; token?.kind === 'field'; token = this.#tokens[this.#at]) {
      names.push(token.text.slice(1));
      this.#at++;
    }
    if (names.length === 0) return inner;
    const text = `${inner.text}${names.map((name) => `.${name}`).join('')}`;
    if (inner.kind === 'field') return { ...inner, names: [...inner.names, ...names], at: second, text };
    if (inner.kind === 'variable') return { ...inner, names: [...inner.names, ...names], at: second, text };
    if (inner.kind === 'constant' || inner.kind === 'nil' || inner.kind === 'dot') {
      this.#fail(`unexpected . after term ${goQuote(inner.text)}`);
    }
    return { kind: 'chain', inner, names, at: second, text };
  }

  #term(): Operand | undefined {
    const token = this.#peekPastSpace();
    const place = { at: token.at, text: token.text };
    const take = (operand: Operand): Operand => {
      this.#at++;
      return operand;
    };
    switch (token.kind) {
      case 'word':
        if (token.text === 'true' || token.text === 'false') {
          return take({ kind: 'constant', value: token.text === 'true', ...place });
        }
        if (token.text === 'nil') return take({ kind: 'nil', ...place });
        if (KEYWORDS.has(token.text)) this.#unexpected(token, 'operand');
        if (!this.#functions.has(token.text)) this.#fail(`function ${goQuote(token.text)} not defined`);
        return take({ kind: 'function', name: token.text, ...place });
      case 'dot':
        return take({ kind: 'dot', ...place });
      case 'variable':
        this.#mustBeKnown(token.text);
        return take({ kind: 'variable', name: token.text, names: [], ...place });
      case 'field':
        return take({ kind: 'field', names: [token.text.slice(1)], ...place });
      case 'number':
        return take({ kind: 'constant', value: this.#number(token.text), ...place });
      case 'char':
      case 'string': {
        const text = goUnquote(token.text) ?? this.#fail('invalid syntax');
        return take({ kind: 'constant', value: token.kind === 'char' ? text.codePointAt(0) : text, ...place });
      }
      case 'mark': {
        if (token.text !== '(') return undefined;
        this.#at++;
        const pipe = this.#pipeline('parenthesized pipeline', ')');
        return { kind: 'pipe', pipe, at: token.at, text: `(${pipe.text})` };
      }
      case 'text':
      case 'open':
      case 'close':
      case 'space':
      case 'end':
        return undefined;
      default:
        return token.kind satisfies never;
    }
  }

  #number(text: string): unknown {
    const plain = text.replaceAll('_', '');
    const sign = plain.startsWith('-') ? -1 : 1;
    const digits = plain.replace(/^[+-]/, '');
    if (plain.endsWith('i')) this.#fail(`complex numbers are not supported: ${text}`);
    const hex = /^0[xX]/.test(digits);
    if (!hex && /[.eE]/.test(digits)) {
      const value = sign * Number(digits);
      if (!Number.isFinite(value)) this.#fail(`bad number syntax: ${goQuote(text)}`);
      return new GoFloat(value);
    }
    const octal = /^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits;
    if (!/^(?:0[xX][\da-fA-F]+|0[bB][01]+|0[oO][0-7]+|\d+)$/.test(octal))
      this.#fail(`bad number syntax: ${goQuote(text)}`);
    const whole = BigInt(octal) * BigInt(sign);
    if (whole > 2n ** 64n - 1n || whole < -(2n ** 63n)) this.#fail(`integer overflow: ${goQuote(text)}`);
    const value = Number(whole);
    return Number.isSafeInteger(value) ? value : whole;
  }

  #place(from: number, to: number): { at: number; text: string } {
    return { at: from, text: this.#source.slice(from, to).trim() };
  }

  #next(): Token {
    const token = this.#tokens[this.#at] ?? this.#eof();
    this.#at++;
    return token;
  }

  #eof(): Token {
    return { kind: 'end', text: '', at: this.#source.length };
  }

  #peekPastSpace(): Token {
    while (this.#tokens[this.#at]?.kind === 'space') this.#at++;
    return this.#tokens[this.#at] ?? this.#eof();
  }

  #nextPastSpace(): Token {
    this.#peekPastSpace();
    return this.#next();
  }

  #expect(kind: Token['kind'], context: string): void {
    const token = this.#nextPastSpace();
    if (token.kind !== kind) this.#unexpected(token, context);
  }

  #unexpected(token: Token, context: string): never {
    const keyword = token.kind === 'word' && KEYWORDS.has(token.text);
    const said = token.kind === 'end' ? 'EOF' : keyword ? `<${token.text}>` : goQuote(token.text);
    this.#fail(`unexpected ${said} in ${context}`);
  }

  #fail(message: string): never {
    const at = this.#tokens[Math.max(0, this.#at - 1)]?.at ?? this.#source.length;
    throw new TemplateError(`template: :${lineOf(this.#source, at)}: ${message}`);
  }
}
