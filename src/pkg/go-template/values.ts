/**
 * JSON values as a Go template sees them. JSON has one kind of number, one kind of null and one kind of object; Go has
 * several, and prints them differently. What a value is is told by the name of the field that holds it.
 */

/** A floating point number that happens to be whole (`1.0` in a template). */
export class GoFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** Go's nil of a type: an empty list, an empty map, a pointer to nothing. */
export class GoNil {
  readonly of: 'slice' | 'map' | 'pointer';

  constructor(of: 'slice' | 'map' | 'pointer') {
    this.of = of;
  }

  toJSON(): null {
    return null;
  }
}

export type Kind = 'bool' | 'int' | 'float' | 'string' | 'slice' | 'map' | 'struct' | 'func' | 'nil';

/** Which fields are maps, and what a field holds that JSON leaves out or gives as null. */
export interface Shapes {
  /** Whether an object in this field (`Labels`, `LogConfig.Config`) is a map; else it is a struct, whose fields have an order. */
  isMap(field: string): boolean;
  /** The value of a field that is null or missing; undefined when it is not known. */
  empty(field: string): unknown;
  /** Field names match whatever their case (`ID` is `Id` in JSON); else exactly. */
  readonly anyCase: boolean;
  /** What the message of a missing field calls the type of a struct. */
  struct?(field: string): string;
  /** A missing key is an error, not `<no value>` (Go's missingkey=error). */
  readonly strict: boolean;
}

/** JSON without types: what `interface{}` holds. */
export const PLAIN: Shapes = { isMap: () => true, empty: () => undefined, anyCase: false, strict: false };

/** What is known of the objects that a template has reached, and of those within them. */
export class Known {
  readonly shapes: Shapes;
  readonly #fields = new WeakMap<object, string>();

  constructor(shapes: Shapes) {
    this.shapes = shapes;
  }

  /** Notes in which field of its holder a value was found; arrays hand their own field on to their elements. */
  found(value: unknown, holder: object, name?: string): unknown {
    if (typeof value === 'object' && value !== null) {
      const outer = this.fieldOf(holder);
      this.#fields.set(value, name === undefined ? outer : within(outer, name));
    }
    return value;
  }

  fieldOf(value: object): string {
    return this.#fields.get(value) ?? '';
  }

  kind(value: unknown): Kind {
    if (value === null || value === undefined) return 'nil';
    if (value instanceof GoFloat) return 'float';
    if (value instanceof GoNil) return value.of === 'pointer' ? 'nil' : value.of;
    if (Array.isArray(value)) return 'slice';
    if (typeof value === 'boolean') return 'bool';
    if (typeof value === 'string') return 'string';
    if (typeof value === 'bigint') return 'int';
    if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float';
    if (typeof value !== 'object') return 'func';
    return this.shapes.isMap(this.fieldOf(value)) ? 'map' : 'struct';
  }

  typeName(value: unknown): string {
    const kind = this.kind(value);
    if (kind === 'float') return 'float64';
    if (kind === 'nil') return '<nil>';
    if (kind === 'struct') return this.shapes.struct?.(value instanceof Object ? this.fieldOf(value) : '') ?? 'struct';
    if (kind !== 'slice' && kind !== 'map') return kind;
    const held: readonly unknown[] = typeof value === 'object' && value !== null ? Object.values(value) : [];
    const element = held.length > 0 && held.every((one) => typeof one === 'string') ? 'string' : 'interface {}';
    return kind === 'slice' ? `[]${element}` : `map[string]${element}`;
  }
}

/** A field is known by its name and that of the field around it: `LogConfig.Config`. */
export function within(outer: string, name: string): string {
  const holder = outer.slice(outer.lastIndexOf('.') + 1);
  return holder === '' ? name : `${holder}.${name}`;
}

/** Go's truth: not the zero value of its type. */
export function truth(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === '' || value instanceof GoNil) return false;
  if (value instanceof GoFloat) return value.value !== 0;
  if (typeof value === 'number') return value !== 0;
  if (typeof value === 'bigint') return value !== 0n;
  if (Array.isArray(value)) return value.length > 0;
  return true;
}

/** An empty map is false, a struct is true whatever it holds. */
export function truthOf(known: Known, value: unknown): boolean {
  return known.kind(value) === 'map' && isObject(value) ? Object.keys(value).length > 0 : truth(value);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof GoNil);
}

/** The number in a value of kind int or float. */
export function numberOf(value: unknown): number | bigint {
  if (value instanceof GoFloat) return value.value;
  return typeof value === 'bigint' ? value : Number(value);
}
