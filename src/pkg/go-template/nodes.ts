/** The tree of a template of Go's text/template (https://pkg.go.dev/text/template). */

/** Where something began: an offset in the source, and how the source spells it. */
export interface Place {
  readonly at: number;
  readonly text: string;
}

export type Operand = Place &
  (
    | { readonly kind: 'dot' | 'nil' }
    | { readonly kind: 'constant'; readonly value: unknown }
    | { readonly kind: 'field'; readonly names: readonly string[] }
    | { readonly kind: 'variable'; readonly name: string; readonly names: readonly string[] }
    | { readonly kind: 'function'; readonly name: string }
    | { readonly kind: 'pipe'; readonly pipe: Pipe }
    | { readonly kind: 'chain'; readonly inner: Operand; readonly names: readonly string[] }
  );

export interface Command extends Place {
  readonly words: readonly [Operand, ...Operand[]];
}

export interface Pipe extends Place {
  /** `$a, $b :=` or, with `assign`, `$a =`. */
  readonly variables: readonly string[];
  readonly assign: boolean;
  readonly commands: readonly Command[];
}

export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly pipe: Pipe }
  | Branch<'if'>
  | Branch<'with'>
  | Branch<'range'>
  | { readonly kind: 'template'; readonly name: string; readonly pipe?: Pipe; readonly place: Place }
  | { readonly kind: 'break' }
  | { readonly kind: 'continue' };

interface Branch<K extends string> {
  readonly kind: K;
  readonly pipe: Pipe;
  readonly body: readonly Node[];
  readonly otherwise: readonly Node[];
}

export interface Template {
  readonly source: string;
  readonly root: readonly Node[];
  /** What `define` and `block` named. */
  readonly named: ReadonlyMap<string, readonly Node[]>;
}

/** A message in Go's words, its place included. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}
