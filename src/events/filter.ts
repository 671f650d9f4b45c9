/** `filters` of an events request: values of one key are alternatives, keys must all match. */
import type { EventMessage } from '#api/types/system.ts';
import { invalidParameter } from '#errdefs/errors.ts';

type Filters = ReadonlyMap<string, readonly string[]>;

const keys = [
  'config',
  'container',
  'daemon',
  'event',
  'image',
  'label',
  'network',
  'node',
  'plugin',
  'scope',
  'secret',
  'service',
  'type',
  'volume',
];
/** Keys that name an object of their own type, by id, prefix of it or name. */
const objects = ['config', 'container', 'daemon', 'network', 'node', 'plugin', 'secret', 'service', 'volume'];

/** Errors: invalid-parameter for an unknown key. */
export function eventFilter(filters: Filters): (event: EventMessage) => boolean {
  for (const key of filters.keys()) if (!keys.includes(key)) throw invalidParameter(`invalid filter '${key}'`);
  return (event) => [...filters].every(([key, values]) => values.length === 0 || matches(event, key, values));
}

function matches(event: EventMessage, key: string, values: readonly string[]): boolean {
  const { ID: id, Attributes: attributes } = event.Actor;
  if (key === 'type') return values.includes(event.Type);
  if (key === 'scope') return values.includes(event.scope);
  if (key === 'event') return values.some((v) => event.Action === v || event.Action.startsWith(`${v}:`));
  if (key === 'label') return values.every((v) => hasLabel(attributes, v));
  if (key === 'image') {
    if (event.Type === 'image') return values.some((v) => nameMatches(v, [id, attributes['name'] ?? '']));
    return event.Type === 'container' && values.some((v) => nameMatches(v, [attributes['image'] ?? '']));
  }
  if (!objects.includes(key)) return false;
  // A network's events name the container they are about.
  if (event.Type !== key) return key === 'container' && values.includes(attributes['container'] ?? '');
  return values.some((v) => v === attributes['name'] || v === id || (v !== '' && id.startsWith(v)));
}

function hasLabel(attributes: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf('=');
  if (at < 0) return wanted in attributes;
  return attributes[wanted.slice(0, at)] === wanted.slice(at + 1);
}

/** 'busybox' is meant by 'busybox:1.36' too. */
function nameMatches(wanted: string, names: readonly string[]): boolean {
  return names.some((name) => name === wanted || name.replace(/:[^/:]*$/, '') === wanted);
}
