/**
 * The key `builder`: what is kept of the build cache, which privileges builds may ask for, how long builds are remembered.
 * Names are matched without regard to case, as dockerd does; older names for sizes still work. What is not said is as in
 * BuildKit: the collection is on, with four rules that depend on the size of the disk.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { parseDuration } from '#pkg/units/duration.ts';
import { parseBytes } from '#pkg/units/size.ts';
import type { ConfigValue } from './values.ts';

/** Of the disk that the cache lies on. */
export type DiskSpace = { readonly bytes: number } | { readonly percent: number };

/** One rule; they are applied in their order. */
export interface CachePolicy {
  /** Also what images have too. */
  readonly all: boolean;
  readonly filters: ReadonlyMap<string, readonly string[]>;
  readonly reservedSpace: DiskSpace | undefined;
  readonly maxUsedSpace: DiskSpace | undefined;
  readonly minFreeSpace: DiskSpace | undefined;
}

export interface BuilderSettings {
  /** Empty: nothing is removed unasked. */
  readonly policies: readonly CachePolicy[];
  readonly refusedEntitlements: ReadonlySet<string>;
  readonly history: { readonly entriesMax: number; readonly ageMsMax: number };
}

/** Filters of the cache, here and in `builder prune`. */
export const CACHE_FILTERS: readonly string[] = [
  ...['until', 'unused-for', 'id', 'parent', 'type', 'description', 'inuse', 'shared', 'private'],
];

const HISTORY_ENTRIES = 50;
const HISTORY_MS = 48 * 3_600_000;
const NS_PER_MS = 1_000_000n;
const ENTITLEMENTS = new Map([
  ['network-host', 'network.host'],
  ['security-insecure', 'security.insecure'],
]);

type Fields = ReadonlyMap<string, unknown>;

/** Errors: invalid-parameter naming the member. */
export function builderSettingsOf(value: ConfigValue | undefined): BuilderSettings {
  const builder = fieldsOf('builder', value ?? {}, ['gc', 'entitlements', 'history']);
  return {
    policies: policiesOf(builder.get('gc')),
    refusedEntitlements: refusedOf(builder.get('entitlements')),
    history: historyOf(builder.get('history')),
  };
}

function policiesOf(value: unknown): readonly CachePolicy[] {
  const gc = fieldsOf('gc', value ?? {}, [
    ...['enabled', 'policy', 'defaultkeepstorage'],
    ...['defaultreservedspace', 'defaultmaxusedspace', 'defaultminfreespace'],
  ]);
  const enabled = gc.get('enabled') ?? true;
  if (typeof enabled !== 'boolean') throw refuse('gc.enabled', enabled, 'must be true or false');
  const reservedSpace = spaceOf(gc, 'defaultreservedspace', 'defaultkeepstorage') ?? { percent: 10 };
  const maxUsedSpace = spaceOf(gc, 'defaultmaxusedspace') ?? { percent: 80 };
  const minFreeSpace = spaceOf(gc, 'defaultminfreespace') ?? { percent: 20 };
  const policy = gc.get('policy');
  if (policy !== undefined && !Array.isArray(policy)) throw refuse('gc.policy', policy, 'must be a list');
  const rules =
    policy?.map((rule: unknown) => policyOf(rule)) ?? standard({ reservedSpace, maxUsedSpace, minFreeSpace });
  return enabled ? rules : [];
}

/** Easily made again and not used for two days; not used for sixty; over the bounds; over the bounds, whatever it is. */
function standard(
  bounds: Pick<CachePolicy, 'reservedSpace' | 'maxUsedSpace' | 'minFreeSpace'>,
): readonly CachePolicy[] {
  const cheap = ['source.local', 'exec.cachemount', 'source.git.checkout'];
  return [
    {
      all: false,
      filters: new Map([
        ['unused-for', ['48h']],
        ['type', cheap],
      ]),
      reservedSpace: undefined,
      maxUsedSpace: { bytes: 512_000_000 },
      minFreeSpace: undefined,
    },
    { all: false, filters: new Map([['unused-for', ['1440h']]]), ...bounds },
    { all: false, filters: new Map(), ...bounds },
    { all: true, filters: new Map(), ...bounds },
  ];
}

function policyOf(value: unknown): CachePolicy {
  const rule = fieldsOf('gc.policy', value, [
    ...['all', 'filter', 'keepduration', 'keepstorage', 'reservedspace', 'maxusedspace', 'minfreespace'],
  ]);
  const all = rule.get('all') ?? false;
  if (typeof all !== 'boolean') throw refuse('gc.policy: all', all, 'must be true or false');
  const filters = filtersOf(rule.get('filter'));
  const duration = rule.get('keepduration');
  if (duration !== undefined) filters.set('unused-for', [durationOf('gc.policy: keepDuration', duration)]);
  const reservedSpace = spaceOf(rule, 'reservedspace', 'keepstorage');
  const maxUsedSpace = spaceOf(rule, 'maxusedspace');
  return { all, filters, reservedSpace, maxUsedSpace, minFreeSpace: spaceOf(rule, 'minfreespace') };
}

/** A list of `name=value`, several of them in one text by commas; older files have an object of objects. */
function filtersOf(value: unknown): Map<string, readonly string[]> {
  const filters = new Map<string, readonly string[]>();
  const add = (name: string, text: string): void => {
    const key = name.trim().toLowerCase();
    if (!CACHE_FILTERS.includes(key)) throw invalidParameter(`invalid value for "builder": invalid filter '${key}'`);
    filters.set(key, [...(filters.get(key) ?? []), text.replace(/^=/, '').trim()]);
  };
  if (value === undefined) return filters;
  if (Array.isArray(value)) {
    for (const text of value.flatMap((one: unknown) => String(one).split(','))) {
      const at = text.indexOf('=');
      if (at <= 0) throw refuse('gc.policy: filter', text, 'must be name=value');
      add(text.slice(0, at), text.slice(at + 1));
    }
  } else {
    for (const [name, values] of Object.entries(objectOf('gc.policy: filter', value))) {
      for (const text of Object.keys(objectOf(`gc.policy: filter ${name}`, values))) add(name, text);
    }
  }
  if ([...(filters.get('until') ?? []), ...(filters.get('unused-for') ?? [])].length > 1) {
    throw invalidParameter('invalid value for "builder": filters expect only one value: until');
  }
  return filters;
}

function refusedOf(value: unknown): ReadonlySet<string> {
  const given = fieldsOf('entitlements', value ?? {}, [...ENTITLEMENTS.keys()]);
  const refused = new Set<string>();
  for (const [key, entitlement] of ENTITLEMENTS) {
    const allowed = given.get(key) ?? true;
    if (typeof allowed !== 'boolean') throw refuse(`entitlements.${key}`, allowed, 'must be true or false');
    if (!allowed) refused.add(entitlement);
  }
  return refused;
}

function historyOf(value: unknown): BuilderSettings['history'] {
  const given = fieldsOf('history', value ?? {}, ['maxage', 'maxentries']);
  const entriesMax = given.get('maxentries') ?? HISTORY_ENTRIES;
  if (typeof entriesMax !== 'number' || !Number.isSafeInteger(entriesMax) || entriesMax < 0) {
    throw refuse('history.maxEntries', entriesMax, 'must be a number');
  }
  const age = given.get('maxage');
  const ageMsMax =
    age === undefined ? HISTORY_MS : Number(parseDuration(durationOf('history.maxAge', age)) / NS_PER_MS);
  return { entriesMax, ageMsMax };
}

/** Seconds or Go's words. */
function durationOf(member: string, value: unknown): string {
  const text = typeof value === 'number' ? `${value}s` : String(Array.isArray(value) ? value[0] : value);
  try {
    parseDuration(text);
  } catch (cause) {
    throw refuse(member, value, 'is no duration', cause);
  }
  return text;
}

/** The first of these members that is there. */
function spaceOf(fields: Fields, ...members: readonly string[]): DiskSpace | undefined {
  const member = members.find((name) => fields.has(name));
  if (member === undefined) return undefined;
  const value = fields.get(member);
  const percent = /^(\d{1,3})%$/.exec(String(value))?.[1];
  if (percent !== undefined && Number(percent) <= 100) return { percent: Number(percent) };
  try {
    return { bytes: parseBytes(String(value)) };
  } catch (cause) {
    throw refuse(member, value, 'is no size', cause);
  }
}

/** By lower-case name. */
function fieldsOf(member: string, value: unknown, known: readonly string[]): Fields {
  const fields = new Map(Object.entries(objectOf(member, value)).map(([name, one]) => [name.toLowerCase(), one]));
  for (const name of fields.keys()) {
    if (!known.includes(name)) throw invalidParameter(`invalid value for "builder": ${member} has no member "${name}"`);
  }
  return fields;
}

function objectOf(member: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refuse(member, value, 'must be an object');
  return Object.fromEntries(Object.entries(value));
}

function refuse(member: string, value: unknown, why: string, cause?: unknown): Error {
  return invalidParameter(`invalid value for "builder": ${member}: ${JSON.stringify(value)} ${why}`, { cause });
}
