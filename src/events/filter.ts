/**
 * `filters` of an events request, as dockerd matches them: values of one key are alternatives (labels must all match),
 * keys must all match. Keys that name an object match its id, its name, or the beginning of either.
 */
import type { EventMessage } from '#api/types/system.ts';
import { invalidParameter } from '#errdefs/errors.ts';

type Filters = ReadonlyMap<string, readonly string[]>;

/** Each of these names an object. */
const objects = ['config', 'container', 'daemon', 'network', 'node', 'plugin', 'secret', 'service', 'volume'];
const keys = [...objects, 'event', 'image', 'label', 'scope', 'type'];
/** Actions that go on after a colon: one of these words alone means all of them. */
const openActions = ['exec_create', 'exec_start', 'health_status'];

/** Errors: invalid-parameter for an unknown key. */
export function eventFilter(filters: Filters): (event: EventMessage) => boolean {
  for (const key of filters.keys()) if (!keys.includes(key)) throw invalidParameter(`invalid filter '${key}'`);
  const given = [...filters].filter(([, values]) => values.length > 0);
  return (event) => given.every(([key, values]) => matches(event, key, values));
}

function matches(event: EventMessage, key: string, values: readonly string[]): boolean {
  const { ID: id, Attributes: attributes } = event.Actor;
  const name = attributes['name'] ?? '';
  switch (key) {
    case 'type':
      return values.includes(event.Type);
    case 'scope':
      return values.includes(event.scope);
    case 'event':
      return actionMatches(event.Action, values);
    case 'label':
      return values.every((value) => hasLabel(attributes, value));
    case 'image':
      return imageMatches(event, values);
    default:
      return event.Type === key && values.some((v) => v !== '' && (id.startsWith(v) || name.startsWith(v)));
  }
}

function actionMatches(action: string, values: readonly string[]): boolean {
  if (values.includes(action)) return true;
  return values.some((value) => openActions.includes(value)) && values.some((value) => action.startsWith(value));
}

function hasLabel(attributes: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf('=');
  if (at < 0) return wanted in attributes;
  return attributes[wanted.slice(0, at)] === wanted.slice(at + 1);
}

/** 'busybox' is meant by 'busybox:1.36' too; a container's events are found by its image. */
function imageMatches(event: EventMessage, values: readonly string[]): boolean {
  const { ID: id, Attributes: attributes } = event.Actor;
  const name = (event.Type === 'image' ? attributes['name'] : attributes['image']) ?? '';
  const known = [id, name, withoutTag(id), withoutTag(name)];
  return values.some((value) => value !== '' && known.includes(value));
}

function withoutTag(reference: string): string {
  return reference.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
}
