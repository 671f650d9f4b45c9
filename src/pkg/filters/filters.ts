/**
 * `filters` of list, prune and event requests: key → values. On the wire {"label": {"a=b": true}} or, from old clients,
 * {"label": ["a=b"]}. Values of one key are alternatives except for labels, which must all match.
 */
import { invalidParameter } from '#errdefs/errors.ts';

export type Filters = ReadonlyMap<string, readonly string[]>;

export const NO_FILTERS: Filters = new Map();

const VALUES_MAX = 10_000;

/** Errors: invalid-parameter `invalid filter`. */
export function decodeFilters(text: string): Filters {
  if (text === '') return NO_FILTERS;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw invalidParameter('invalid filter');
  }
  if (parsed === null) return NO_FILTERS;
  if (typeof parsed !== 'object' || Array.isArray(parsed)) throw invalidParameter('invalid filter');
  const filters = new Map<string, readonly string[]>();
  for (const [key, given] of Object.entries(parsed)) filters.set(key, valuesOf(key, given));
  return filters;
}

function valuesOf(key: string, given: unknown): string[] {
  let values: unknown[];
  if (Array.isArray(given)) {
    values = given;
  } else if (typeof given === 'object' && given !== null) {
    // A value said to be false counts as given, as in dockerd.
    if (Object.values(given).some((flag) => typeof flag !== 'boolean'))
      throw invalidParameter(`invalid filter '${key}'`);
    values = Object.keys(given);
  } else {
    throw invalidParameter(`invalid filter '${key}'`);
  }
  if (values.length > VALUES_MAX) throw invalidParameter(`invalid filter '${key}': more than ${VALUES_MAX} values`);
  return values.map((value) => {
    if (typeof value !== 'string') throw invalidParameter(`invalid filter '${key}'`);
    return value;
  });
}

/** The form that all API versions we serve understand; '' for none. */
export function encodeFilters(filters: Filters): string {
  if (filters.size === 0) return '';
  // fromEntries: a key `__proto__` is one like any other.
  const out = [...filters].map(([key, values]) => [key, Object.fromEntries(values.map((value) => [value, true]))]);
  return JSON.stringify(Object.fromEntries(out));
}

/** Errors: invalid-parameter naming the first key that is not accepted. */
export function checkFilterKeys(filters: Filters, accepted: readonly string[]): void {
  for (const key of filters.keys()) if (!accepted.includes(key)) throw invalidParameter(`invalid filter '${key}'`);
}

/** Of a yes-or-no key; undefined when it was not given. Errors: invalid-parameter for any other value. */
export function booleanFilter(filters: Filters, key: string): boolean | undefined {
  const values = filters.get(key);
  if (values === undefined || values.length === 0) return undefined;
  const yes = values.some((value) => value === '1' || value === 'true');
  const no = values.some((value) => value === '0' || value === 'false');
  if (yes === no) throw invalidParameter(`invalid filter '${key}=[${values.join(' ')}]'`);
  return yes;
}

/** True when the key was not given or one of its values is `value`. */
export function matchesExactly(filters: Filters, key: string, value: string): boolean {
  const values = filters.get(key);
  return values === undefined || values.length === 0 || values.includes(value);
}

/** True when the key was not given or `value` starts with one of its values (ids). */
export function matchesPrefix(filters: Filters, key: string, value: string): boolean {
  const values = filters.get(key);
  return values === undefined || values.length === 0 || values.some((prefix) => value.startsWith(prefix));
}

/** True when the key was not given or one of its values is in `value`, as it is or as a regular expression (names). */
export function matchesPattern(filters: Filters, key: string, value: string): boolean {
  const values = filters.get(key);
  if (values === undefined || values.length === 0) return true;
  return values.some((pattern) => {
    if (value.includes(pattern)) return true;
    try {
      return new RegExp(pattern).test(value);
    } catch {
      return false;
    }
  });
}

/** True when every `key` or `key=value` of the filter (`label`) is among the labels. */
export function matchesLabels(
  filters: Filters,
  labels: Readonly<Record<string, string>> | null,
  key = 'label',
): boolean {
  for (const wanted of filters.get(key) ?? []) {
    const at = wanted.indexOf('=');
    const name = at < 0 ? wanted : wanted.slice(0, at);
    const has = labels !== null && Object.hasOwn(labels, name) ? labels[name] : undefined;
    if (has === undefined || (at >= 0 && has !== wanted.slice(at + 1))) return false;
  }
  return true;
}
