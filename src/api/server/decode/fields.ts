/**
 * Decoders of JSON values into wire types, field by field, with Go's rules, since that is what Docker's clients were
 * written against: names match without regard to case, null and absent are the zero value, unknown fields are ignored,
 * a wrong type is refused naming the field in the words of Go's decoder.
 */
import { invalidParameter } from '#errdefs/errors.ts';

/** `struct` is the request's name, `path` the fields down to the value ('HostConfig.Memory'). */
export interface Place {
  readonly struct: string;
  readonly path: string;
}

/** undefined out of a decoder: the field is left out. */
export type Decode<T> = (value: unknown, place: Place) => T;

function kindOfJson(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return 'number';
  return typeof value;
}

function mismatch(value: unknown, place: Place, type: string): Error {
  const shown = typeof value === 'number' && type !== 'string' ? `number ${value}` : kindOfJson(value);
  const where = place.path === '' ? 'Go value' : `Go struct field ${place.struct}.${place.path}`;
  return invalidParameter(`invalid JSON: json: cannot unmarshal ${shown} into ${where} of type ${type}`);
}

const isAbsent = (value: unknown): value is undefined | null => value === undefined || value === null;

export const text: Decode<string> = (value, place) => {
  if (isAbsent(value)) return '';
  if (typeof value !== 'string') throw mismatch(value, place, 'string');
  return value;
};

export const flag: Decode<boolean> = (value, place) => {
  if (isAbsent(value)) return false;
  if (typeof value !== 'boolean') throw mismatch(value, place, 'bool');
  return value;
};

function integer(type: string, min: number, max: number): Decode<number> {
  return (value, place) => {
    if (isAbsent(value)) return 0;
    if (typeof value !== 'number') throw mismatch(value, place, type);
    if (!Number.isInteger(value) || value < min || value > max) throw mismatch(value, place, type);
    return value;
  };
}

export const int64 = integer('int64', -(2 ** 63), 2 ** 63);
export const int = integer('int', -(2 ** 63), 2 ** 63);
export const uint64 = integer('uint64', 0, 2 ** 64);
export const uint16 = integer('uint16', 0, 0xffff);
export const uint = integer('uint', 0, 2 ** 64);
export const uint32 = integer('uint32', 0, 0xffffffff);

/** A pointer: null when absent. */
export function nullable<T>(decode: Decode<T>): Decode<T | null> {
  return (value, place) => (isAbsent(value) ? null : decode(value, place));
}

/** A pointer that dockerd leaves out when it is nil. */
export function optional<T>(decode: Decode<T>): Decode<T | undefined> {
  return (value, place) => (isAbsent(value) ? undefined : decode(value, place));
}

/** Go's omitempty: zero values are left out, in requests as in inspect. */
export function omitEmpty<T>(decode: Decode<T>): Decode<Exclude<T, null> | undefined> {
  return (value, place) => {
    const decoded = decode(value, place);
    // as: null is one of the zero values and so not among what is left.
    return isZero(decoded) ? undefined : (decoded as Exclude<T, null>);
  };
}

function isZero(value: unknown): boolean {
  if (value === null || value === undefined || value === '' || value === 0 || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** null when absent; [] stays []. */
export function list<T>(decode: Decode<T>, type = 'string'): Decode<T[] | null> {
  return (value, place) => {
    if (isAbsent(value)) return null;
    if (!Array.isArray(value)) throw mismatch(value, place, `[]${type}`);
    return value.map((entry: unknown) => decode(entry, place));
  };
}

export const texts = list(text);

/** A command: one string or a list. */
export const strSlice: Decode<string[] | null> = (value, place) =>
  typeof value === 'string' ? [value] : texts(value, place);

export function map<T>(decode: Decode<T>, type = 'string'): Decode<Record<string, T> | null> {
  return (value, place) => {
    if (isAbsent(value)) return null;
    if (typeof value !== 'object' || Array.isArray(value)) throw mismatch(value, place, `map[string]${type}`);
    const out: Record<string, T> = Object.create(null) as Record<string, T>;
    for (const [key, entry] of Object.entries(value)) out[key] = decode(entry, place);
    // A plain object for what comes later; `__proto__` as a key was an own property all the time.
    return { ...out };
  };
}

export const textMap = map(text);

/** A set as Go writes it: {"80/tcp": {}}. */
export const set: Decode<Record<string, Record<string, never>> | null> = map(() => ({}), 'struct {}');

export const pair: Decode<[number, number]> = (value, place) => {
  if (isAbsent(value)) return [0, 0];
  if (!Array.isArray(value)) throw mismatch(value, place, '[2]uint');
  return [uint(value[0], place), uint(value[1], place)];
};

type Optional<T, K extends keyof T> = Partial<Pick<T, K>> extends Pick<T, K> ? true : false;

/** One decoder per field, in the order of the output. Fields that may be absent in T have decoders that may omit. */
export type Shape<T> = {
  readonly [K in keyof T]-?: Decode<Optional<T, K> extends true ? Exclude<T[K], undefined> | undefined : T[K]>;
};

/** `type` is Go's name of the struct, for messages. */
export function struct<T extends object>(type: string, shape: Shape<T>): Decode<T> {
  const names = Object.keys(shape) as (keyof T & string)[];
  const byFolded = new Map(names.map((name) => [name.toLowerCase(), name]));
  return (value, place) => {
    const given = isAbsent(value) ? {} : value;
    if (typeof given !== 'object' || Array.isArray(given)) throw mismatch(given, place, type);
    const found = new Map<string, unknown>();
    for (const [key, entry] of Object.entries(given)) {
      const name = byFolded.get(key.toLowerCase());
      if (name !== undefined) found.set(name, entry);
    }
    const out: Partial<T> = {};
    for (const name of names) {
      const path = place.path === '' ? name : `${place.path}.${name}`;
      const decoded = shape[name](found.get(name), { struct: place.struct, path });
      if (decoded !== undefined) out[name] = decoded;
    }
    // as: every field of T has been decoded, those that are missing may be.
    return out as T;
  };
}

/** What is absent or null is absent. */
export const given = <T>(decode: Decode<T | null>): Decode<T | undefined> => {
  const maybe = optional(decode);
  return (value, place) => maybe(value, place) ?? undefined;
};
