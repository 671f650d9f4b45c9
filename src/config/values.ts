/** Values of keys: checks of what the file has, and the reading of what flags say. */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import type { KeySpec, KeyType } from './keys.ts';

export type ConfigValue = string | number | boolean | readonly unknown[] | Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const WANTED: Readonly<Record<KeyType, { words: string; fits: (value: unknown) => boolean }>> = {
  text: { words: 'a string', fits: (v) => typeof v === 'string' },
  flag: { words: 'true or false', fits: (v) => typeof v === 'boolean' },
  integer: { words: 'an integer', fits: (v) => Number.isSafeInteger(v) },
  size: { words: 'a size', fits: (v) => typeof v === 'string' || Number.isSafeInteger(v) },
  texts: { words: 'a list of strings', fits: (v) => Array.isArray(v) && v.every((e) => typeof e === 'string') },
  'text-map': {
    words: 'an object of strings',
    fits: (v) => isObject(v) && Object.values(v).every((e) => typeof e === 'string'),
  },
  objects: { words: 'a list of objects', fits: (v) => Array.isArray(v) && v.every(isObject) },
  object: { words: 'an object', fits: isObject },
};

/** Errors: invalid-parameter naming the key when the type is wrong. */
export function checkType(spec: KeySpec, value: unknown): ConfigValue {
  const wanted = WANTED[spec.type];
  if (!wanted.fits(value)) {
    throw invalidParameter(`invalid value for "${spec.key}": must be ${wanted.words}, not ${JSON.stringify(value)}`);
  }
  // as: each test above leaves only members of ConfigValue.
  return value as ConfigValue;
}

/** Errors: not-implemented naming the key when its value would need what is not there. */
export function checkTreatment(spec: KeySpec, value: ConfigValue): void {
  const { treatment } = spec;
  if (treatment.kind !== 'not-yet') return;
  const text = JSON.stringify(value);
  if (treatment.inForce.some((allowed) => JSON.stringify(allowed) === text)) return;
  throw notImplemented(`Cannot honour "${spec.key}" with the value ${text}: this is not there yet`);
}

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

/** One occurrence of a flag, added to what came before. Errors: invalid-parameter. */
export function addFlagValue(spec: KeySpec, before: ConfigValue | undefined, text: string): ConfigValue {
  const refuse = (why: string) =>
    invalidParameter(`invalid argument "${text}" for "--${spec.flag ?? spec.key}": ${why}`);
  switch (spec.type) {
    case 'text':
    case 'size':
      return text;
    case 'flag':
      if (!TRUE.has(text) && !FALSE.has(text)) throw refuse('invalid syntax');
      return TRUE.has(text);
    case 'integer':
      if (!/^-?[0-9]{1,15}$/.test(text)) throw refuse('invalid syntax');
      return Number(text);
    case 'texts':
    case 'objects':
      return [...(Array.isArray(before) ? (before as readonly unknown[]) : []), text];
    case 'text-map':
    case 'object':
      break;
  }
  const at = text.indexOf('=');
  if (at <= 0) throw refuse('must be name=value');
  return { ...(isObject(before) ? before : {}), [text.slice(0, at)]: text.slice(at + 1) };
}

/** As Go prints it, for messages that users of dockerd know. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(' ')}]`;
  if (isObject(value)) {
    const pairs = Object.entries(value).map(([name, entry]) => `${name}:${shown(entry)}`);
    return `map[${pairs.sort().join(' ')}]`;
  }
  return String(value);
}
