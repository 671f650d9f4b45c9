/**
 * `RUN --mount=type=…`: one CSV record of `key=value`. Read after expansion; before it only to find what can never be
 * right. Keys, defaults and messages are BuildKit's.
 */
import { parseBytes } from '#pkg/units/size.ts';
import { Fault } from './source.ts';
import { suggest } from './suggest.ts';

export type MountType = 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';
export type CacheSharing = 'shared' | 'private' | 'locked';

export interface RunMount {
  readonly type: MountType;
  readonly from: string | undefined;
  readonly source: string | undefined;
  readonly target: string | undefined;
  readonly readOnly: boolean;
  /** secret, ssh: the build fails when the client does not have it. */
  readonly required: boolean;
  /** cache, secret, ssh. */
  readonly id: string | undefined;
  readonly sharing: CacheSharing | undefined;
  /** secret: the variable that holds it. */
  readonly env: string | undefined;
  /** tmpfs. */
  readonly sizeBytes: number | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

const types: readonly string[] = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] satisfies MountType[];
const sharings: readonly string[] = ['shared', 'private', 'locked'] satisfies CacheSharing[];
const isType = (value: string): value is MountType => types.includes(value);
const isSharing = (value: string): value is CacheSharing => sharings.includes(value);

type Draft = { -readonly [K in keyof RunMount]: RunMount[K] };

const aliases: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
  rw: 'readwrite',
};
const keys =
  'type from source target readonly id sharing required mode uid gid src dst destination ro rw readwrite size env';

/** Throws a Fault. `expand` is applied to each value. */
export function parseMount(value: string, expand: (text: string) => string = (text) => text): RunMount {
  const mount: Draft = {
    type: 'bind',
    from: undefined,
    source: undefined,
    target: undefined,
    readOnly: false,
    required: false,
    id: undefined,
    sharing: undefined,
    env: undefined,
    sizeBytes: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
  };
  let readOnlyGiven = false;
  for (const field of csvFields(value)) {
    const equals = field.indexOf('=');
    const written = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    const key = aliases[written] ?? written;
    if (key === 'readonly' || key === 'readwrite') readOnlyGiven = true;
    if (equals < 0) bare(mount, key, written, field);
    else assign(mount, key, { written, field, value: expand(field.slice(equals + 1)) });
  }
  if (!readOnlyGiven) mount.readOnly = mount.type !== 'cache' && mount.type !== 'tmpfs';
  validate(mount);
  return mount;
}

/** What is wrong with a value that still has variables: only what no expansion can cure. */
export function checkUnexpandedMount(value: string): void {
  for (const field of csvFields(value)) {
    const [key, text = ''] = field.split(/=(.*)/s);
    if (key?.toLowerCase() === 'from' && /\$./.test(text)) {
      throw new Fault("'from' doesn't support variable expansion, define alias stage instead");
    }
  }
}

function bare(mount: Draft, key: string, written: string, field: string): void {
  if (key === 'readonly') mount.readOnly = true;
  else if (key === 'readwrite') mount.readOnly = false;
  else if (key !== 'required') throw new Fault(`invalid field '${field}' must be a key=value pair`);
  else if (mount.type !== 'secret' && mount.type !== 'ssh') throw unexpected(written, mount.type);
  else mount.required = true;
}

const unexpected = (key: string, type: MountType) => new Fault(`unexpected key '${key}' for mount type '${type}'`);

interface Field {
  readonly written: string;
  readonly field: string;
  readonly value: string;
}

function assign(mount: Draft, key: string, { written, field, value }: Field): void {
  switch (key) {
    case 'type': {
      const type = value.toLowerCase();
      if (!isType(type)) {
        throw new Fault(`unsupported mount type ${JSON.stringify(value)}`, { suggestion: suggest(value, types, true) });
      }
      mount.type = type;
      return;
    }
    case 'sharing': {
      const sharing = value.toLowerCase();
      if (!isSharing(sharing)) {
        const suggestion = suggest(value, sharings, true);
        throw new Fault(`unsupported sharing value ${JSON.stringify(value)}`, { suggestion });
      }
      mount.sharing = sharing;
      return;
    }
    case 'from':
    case 'source':
    case 'target':
    case 'id':
      mount[key] = value === '' ? undefined : value;
      return;
    case 'env':
      if (mount.type !== 'secret') throw unexpected(written, mount.type);
      mount.env = value === '' ? undefined : value;
      return;
    case 'readonly':
      mount.readOnly = flagOf(written, value);
      return;
    case 'readwrite':
      mount.readOnly = !flagOf(written, value);
      return;
    case 'required':
      if (mount.type !== 'secret' && mount.type !== 'ssh') throw unexpected(written, mount.type);
      mount.required = flagOf(written, value);
      return;
    case 'size':
      if (mount.type !== 'tmpfs') throw unexpected(written, mount.type);
      mount.sizeBytes = sizeOf(written, value);
      return;
    case 'mode':
      mount.mode = numberOf(key, value, 8);
      return;
    case 'uid':
    case 'gid':
      mount[key] = numberOf(key, value, 10);
      return;
    default:
      throw new Fault(`unexpected key '${written}' in '${field}'`, {
        suggestion: suggest(written, keys.split(' '), true),
      });
  }
}

/** Go's strconv.ParseBool. */
function flagOf(key: string, value: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(value)) return false;
  throw new Fault(`invalid value for ${key}: ${value}`);
}

function sizeOf(key: string, value: string): number {
  try {
    return parseBytes(value);
  } catch {
    throw new Fault(`invalid value for ${key}: ${value}`);
  }
}

function numberOf(key: string, value: string, base: 8 | 10): number {
  const number = (base === 8 ? /^[0-7]+$/ : /^\d+$/).test(value) ? Number.parseInt(value, base) : Number.NaN;
  if (!(number <= 0xffff_ffff)) throw new Fault(`invalid value ${value} for ${key}`);
  return number;
}

function validate(mount: Draft): void {
  if (mount.type === 'bind' || mount.type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const) {
      if (mount[key] !== undefined) throw new Fault(`${key} not allowed for "${mount.type}" type mounts`);
    }
  }
  if (mount.type === 'secret') {
    if (mount.from !== undefined) throw new Fault('secret mount should not have a from');
    if (mount.sharing !== undefined) throw new Fault('secret mount should not define sharing');
    if (mount.source === undefined && mount.target === undefined && mount.id === undefined && mount.env === undefined) {
      throw new Fault('invalid secret mount. one of source, target required');
    }
    if (mount.source !== undefined && mount.id !== undefined) throw new Fault("both source and id can't be set");
  }
  if (mount.sharing !== undefined && mount.type !== 'cache') {
    throw new Fault(`invalid cache sharing set for ${mount.type} mount`);
  }
}

/** One record of RFC 4180, as Go's encoding/csv reads it. */
export function csvFields(record: string): readonly string[] {
  const fields: string[] = [];
  let at = 0;
  do {
    let field = '';
    if (record[at] === '"') {
      at++;
      for (; at < record.length; at++) {
        if (record[at] !== '"') field += record[at];
        else if (record[at + 1] === '"') field += record[++at];
        else break;
      }
      if (record[at] !== '"') throw new Fault('failed to parse csv mounts: extraneous or missing " in quoted-field');
      at++;
      if (at < record.length && record[at] !== ',') {
        throw new Fault('failed to parse csv mounts: extraneous or missing " in quoted-field');
      }
    } else {
      const comma = record.indexOf(',', at);
      const end = comma < 0 ? record.length : comma;
      field = record.slice(at, end);
      if (field.includes('"')) throw new Fault('failed to parse csv mounts: bare " in non-quoted-field');
      at = end;
    }
    fields.push(field);
  } while (record[at++] === ',');
  return fields;
}
