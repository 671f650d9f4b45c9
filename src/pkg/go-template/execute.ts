/** Runs a template over a value, with Go's rules and Go's messages. */
import { ARITY, BUILTINS, CallError, type TemplateFunction } from './builtins.ts';
import { goQuote, lineOf } from './lexer.ts';
import { type Command, type Node, type Operand, type Pipe, type Place, type Template, TemplateError } from './nodes.ts';
import { print } from './print.ts';
import { GoNil, isObject, Known, numberOf, PLAIN, type Shapes, truthOf } from './values.ts';

export type Wanted = 'string' | 'int' | '[]string' | 'any';

export interface Extension {
  readonly call: TemplateFunction;
  /** What each operand has to be. */
  readonly operands: readonly Wanted[];
}

export interface ExecuteOptions {
  readonly functions?: Readonly<Record<string, Extension>>;
  readonly shapes?: Shapes;
  /** The template's own name, which messages tell; default ''. */
  readonly name?: string;
}

/** @throws {TemplateError} with the place of what could not be evaluated */
export function execute(template: Template, value: unknown, options: ExecuteOptions = {}): string {
  return new Execution(template, options, options.name ?? '', 0).run(template.root, value);
}

const BREAK = Symbol('break');
const CONTINUE = Symbol('continue');
type Flow = typeof BREAK | typeof CONTINUE | undefined;
/** No value came from the stage before. */
const NONE = Symbol('none');
const MOST_NESTED = 1000;
const MOST_OUTPUT = 256 << 20;

class Execution {
  readonly #template: Template;
  readonly #functions: Readonly<Record<string, Extension>>;
  readonly #options: ExecuteOptions;
  readonly #known: Known;
  readonly #name: string;
  readonly #depth: number;
  readonly #variables: { name: string; value: unknown }[] = [];
  #out = '';

  constructor(template: Template, options: ExecuteOptions, name: string, depth: number) {
    this.#template = template;
    this.#options = options;
    this.#functions = options.functions ?? {};
    this.#known = new Known(options.shapes ?? PLAIN);
    this.#name = name;
    this.#depth = depth;
  }

  run(nodes: readonly Node[], dot: unknown): string {
    this.#variables.push({ name: '$', value: dot });
    this.#walk(nodes, dot);
    return this.#out;
  }

  #walk(nodes: readonly Node[], dot: unknown): Flow {
    for (const node of nodes) {
      const flow = this.#node(node, dot);
      if (flow !== undefined) return flow;
    }
    return undefined;
  }

  #node(node: Node, dot: unknown): Flow {
    switch (node.kind) {
      case 'text':
        this.#write(node.text);
        return undefined;
      case 'action': {
        const value = this.#pipeline(node.pipe, dot);
        if (node.pipe.variables.length === 0) this.#write(this.#shown(value, node.pipe));
        return undefined;
      }
      case 'if':
      case 'with': {
        const scope = this.#variables.length;
        const value = this.#pipeline(node.pipe, dot);
        const holds = truthOf(this.#known, value);
        const flow = this.#walk(holds ? node.body : node.otherwise, holds && node.kind === 'with' ? value : dot);
        this.#variables.length = scope;
        return flow;
      }
      case 'range':
        this.#range(node, dot);
        return undefined;
      case 'template':
        this.#call(node, dot);
        return undefined;
      case 'break':
        return BREAK;
      case 'continue':
        return CONTINUE;
      default:
        return node satisfies never;
    }
  }

  #write(text: string): void {
    this.#out += text;
    if (this.#out.length > MOST_OUTPUT) throw new TemplateError('template: output of more than 256 MiB');
  }

  #shown(value: unknown, place: Place): string {
    if (value === undefined || value === null) return '<no value>';
    if (typeof value === 'function') this.#fail(place, `can't print ${place.text} of type func`);
    return print(this.#known, value);
  }

  #range(node: Extract<Node, { kind: 'range' }>, dot: unknown): void {
    const scope = this.#variables.length;
    const [first, second] = node.pipe.variables;
    const value = this.#pipeline(node.pipe, dot, true);
    let rounds = 0;
    for (const [key, item] of this.#items(value, node.pipe)) {
      rounds++;
      const inner = this.#variables.length;
      const [index, element] = second === undefined ? [undefined, first] : [first, second];
      for (const [name, held] of [[index, key] as const, [element, item] as const]) {
        if (name === undefined) continue;
        if (node.pipe.assign) this.#assign(name, held, node.pipe);
        else this.#variables.push({ name, value: held });
      }
      const flow = this.#walk(node.body, item);
      this.#variables.length = inner;
      if (flow === BREAK) break;
    }
    if (rounds === 0) this.#walk(node.otherwise, dot);
    this.#variables.length = scope;
  }

  *#items(value: unknown, place: Place): Generator<readonly [unknown, unknown]> {
    const known = this.#known;
    if (value === undefined || value === null || value instanceof GoNil) return;
    if (Array.isArray(value)) {
      for (const [i, item] of value.entries()) yield [i, known.found(item, value)];
    } else if (known.kind(value) === 'int') {
      for (let i = 0; i < numberOf(value); i++) yield [i, i];
    } else if (known.kind(value) === 'map' && isObject(value)) {
      for (const key of Object.keys(value).sort()) yield [key, known.found(value[key], value, '*')];
    } else this.#fail(place, `range can't iterate over ${print(known, value)}`);
  }

  #call(node: Extract<Node, { kind: 'template' }>, dot: unknown): void {
    const body = this.#template.named.get(node.name);
    if (body === undefined) this.#fail(node.place, `template ${goQuote(node.name)} not defined`);
    if (this.#depth >= MOST_NESTED) this.#fail(node.place, 'exceeded maximum template depth (100000)');
    const value = node.pipe === undefined ? undefined : this.#pipeline(node.pipe, dot);
    this.#write(new Execution(this.#template, this.#options, node.name, this.#depth + 1).run(body, value));
  }

  /** `forRange`: the loop itself sets the variables. */
  #pipeline(pipe: Pipe, dot: unknown, forRange = false): unknown {
    let value: unknown = NONE;
    for (const command of pipe.commands) value = this.#command(command, dot, value);
    if (!forRange) {
      for (const name of pipe.variables) {
        if (pipe.assign) this.#assign(name, value, pipe);
        else this.#variables.push({ name, value });
      }
    }
    return value;
  }

  #assign(name: string, value: unknown, place: Place): void {
    const variable = this.#variables.findLast((one) => one.name === name);
    if (variable === undefined) this.#fail(place, `undefined variable: ${name}`);
    variable.value = value;
  }

  #command(command: Command, dot: unknown, final: unknown): unknown {
    const [first, ...rest] = command.words;
    const values = () => {
      const given = rest.map((word) => this.#operand(word, dot));
      return final === NONE ? given : [...given, final];
    };
    switch (first.kind) {
      case 'field':
        return this.#fields(dot, first.names, first, values);
      case 'chain':
        return this.#fields(this.#operand(first.inner, dot), first.names, first, values);
      case 'variable': {
        const held = this.#variable(first.name, first);
        if (first.names.length > 0) return this.#fields(held, first.names, first, values);
        this.#noOperands(first, rest, final);
        return held;
      }
      case 'function':
        return this.#function(first, command, dot, final);
      case 'nil':
        throw this.#failure(first, 'nil is not a command');
      case 'constant':
      case 'dot':
      case 'pipe':
        this.#noOperands(first, rest, final);
        return this.#operand(first, dot);
      default:
        return first satisfies never;
    }
  }

  #noOperands(first: Operand, rest: readonly Operand[], final: unknown): void {
    if (rest.length > 0 || final !== NONE) this.#fail(first, `can't give argument to non-function ${first.text}`);
  }

  #operand(operand: Operand, dot: unknown): unknown {
    const none = () => [];
    switch (operand.kind) {
      case 'dot':
        return dot;
      case 'nil':
        return undefined;
      case 'constant':
        return operand.value;
      case 'field':
        return this.#fields(dot, operand.names, operand, none);
      case 'variable': {
        const held = this.#variable(operand.name, operand);
        return operand.names.length === 0 ? held : this.#fields(held, operand.names, operand, none);
      }
      case 'function':
        return this.#function(operand, { ...operand, words: [operand] }, dot, NONE);
      case 'pipe':
        return this.#pipeline(operand.pipe, dot);
      case 'chain':
        return this.#fields(this.#operand(operand.inner, dot), operand.names, operand, none);
      default:
        return operand satisfies never;
    }
  }

  #variable(name: string, place: Place): unknown {
    const variable = this.#variables.findLast((one) => one.name === name);
    if (variable === undefined) this.#fail(place, `undefined variable: ${name}`);
    return variable.value;
  }

  #function(
    { name, ...place }: Extract<Operand, { kind: 'function' }>,
    command: Command,
    dot: unknown,
    final: unknown,
  ): unknown {
    const known = this.#known;
    const rest = command.words.slice(1);
    const extension = Object.hasOwn(this.#functions, name) ? this.#functions[name] : undefined;
    const call = extension?.call ?? BUILTINS[name];
    const count = extension?.operands.length;
    const [least, most] = count === undefined ? (ARITY[name] ?? [0, Infinity]) : [count, count];
    if (call === undefined) this.#fail(place, `${goQuote(name)} is not a defined function`);
    const given = rest.length + (final === NONE ? 0 : 1);
    if (given < least || given > most) {
      const want = most === Infinity ? `at least ${least}` : String(least);
      this.#fail(place, `wrong number of args for ${name}: want ${want} got ${given}`);
    }
    if (extension === undefined && (name === 'and' || name === 'or')) {
      let value: unknown;
      for (const word of rest) {
        value = this.#operand(word, dot);
        if (truthOf(known, value) === (name === 'or')) return value;
      }
      return final === NONE ? value : final;
    }
    const values = rest.map((word) => this.#operand(word, dot));
    if (final !== NONE) values.push(final);
    for (const [i, wanted] of extension?.operands.entries() ?? []) this.#check(values[i], wanted, rest[i] ?? place);
    try {
      return call(known, values);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      throw this.#failure(rest.length === 0 ? place : command, `error calling ${name}: ${error.message}`);
    }
  }

  /** Go checks what a function of typed operands is given. */
  #check(value: unknown, wanted: Wanted, place: Place & { readonly kind?: string }): void {
    const kind = this.#known.kind(value);
    if (wanted === 'any' || kind === (wanted === '[]string' ? 'slice' : wanted)) return;
    if (place.kind === 'constant') this.#fail(place, `expected ${wanted}; found ${place.text}`);
    this.#fail(place, `wrong type for value; expected ${wanted}; got ${this.#known.typeName(value)}`);
  }

  /** The fields one after the other; operands go to the last of them. */
  #fields(from: unknown, names: readonly string[], place: Place, values: () => unknown[]): unknown {
    return names.reduce(
      (held, name, i) => this.#field(held, name, place, i === names.length - 1 ? values() : []),
      from,
    );
  }

  #field(from: unknown, name: string, place: Place, values: readonly unknown[]): unknown {
    const known = this.#known;
    const { shapes } = known;
    if (from === undefined || from === null) {
      if (shapes.strict) this.#fail(place, `nil data; no entry for key ${goQuote(name)}`);
      return undefined;
    }
    if (from instanceof GoNil && from.of === 'map') return undefined;
    if (from instanceof GoNil) this.#fail(place, `nil pointer evaluating ${from.of}.${name}`);
    if (!isObject(from))
      this.#fail(
        place,
        `can't evaluate field ${name} in type ${shapes.strict ? 'interface {}' : known.typeName(from)}`,
      );
    const isMap = known.kind(from) === 'map';
    const key = Object.hasOwn(from, name) ? name : !isMap && shapes.anyCase ? sameLetters(from, name) : undefined;
    const held = key === undefined ? undefined : from[key];
    if (typeof held === 'function') return Reflect.apply(held, from, values);
    if (values.length > 0) this.#fail(place, `${name} is not a method but has arguments`);
    if (isMap) {
      if (key === undefined && shapes.strict) this.#fail(place, `map has no entry for key ${goQuote(name)}`);
      return key === undefined ? undefined : known.found(held, from, '*');
    }
    if (held === null || held === undefined) {
      const empty = shapes.empty(key ?? name);
      if (empty !== undefined) return empty;
      if (key === undefined)
        this.#fail(place, `can't evaluate field ${name} in type ${shapes.struct?.(known.fieldOf(from)) ?? 'struct'}`);
      return new GoNil('pointer');
    }
    return known.found(held, from, key ?? name);
  }

  #fail(place: Place, message: string): never {
    throw this.#failure(place, message);
  }

  #failure(place: Place, message: string): TemplateError {
    const { source } = this.#template;
    const column = place.at - (source.lastIndexOf('\n', place.at - 1) + 1);
    return new TemplateError(
      `template: ${this.#name}:${lineOf(source, place.at)}:${column}: executing ${goQuote(this.#name)} at <${place.text}>: ${message}`,
    );
  }
}

function sameLetters(object: object, name: string): string | undefined {
  const small = name.toLowerCase();
  return Object.keys(object).find((key) => key.toLowerCase() === small);
}
