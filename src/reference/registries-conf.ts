/**
 * registries.conf (containers-registries.conf(5), version 2) as far as names go: aliases of short names, registries that
 * a name without one is looked for in, registries that are blocked, are elsewhere, or have mirrors. Pure; whoever has
 * the file parses its TOML.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { canonicalName, canonicalString, parseReference, type Reference } from './reference.ts';

interface Mirror {
  readonly location: string;
  readonly insecure: boolean;
  /** Of which names it is asked. */
  readonly use: 'all' | 'digest-only' | 'tag-only';
}

export interface RegistryRule {
  /** `host[:port][/path…]` or `*.domain`. */
  readonly prefix: string;
  /** What stands instead of the prefix; undefined: as it is. */
  readonly location: string | undefined;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly Mirror[];
}

export interface RegistriesConf {
  readonly searchRegistries: readonly string[];
  readonly rules: readonly RegistryRule[];
  readonly aliases: ReadonlyMap<string, string>;
}

export const NO_REGISTRIES_CONF: RegistriesConf = { searchRegistries: [], rules: [], aliases: new Map() };

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Errors: invalid-parameter naming the place. */
export function decodeRegistriesConf(document: unknown): RegistriesConf {
  if (!isFields(document)) throw wrong('it is no table');
  if (document['registries'] !== undefined) throw wrong('version 1 ([registries.search]) is not supported');
  const search = document['unqualified-search-registries'] ?? [];
  if (!Array.isArray(search)) throw wrong('unqualified-search-registries is no list');
  const tables = document['registry'] ?? [];
  if (!Array.isArray(tables)) throw wrong('registry is no list of tables');
  const aliases = document['aliases'] ?? {};
  if (!isFields(aliases)) throw wrong('aliases is no table');
  return {
    searchRegistries: search.map((host: unknown) => textOf(host, 'unqualified-search-registries')),
    rules: tables.map((table: unknown) => ruleOf(table)),
    aliases: new Map(Object.entries(aliases).map(([name, value]) => [name, textOf(value, `aliases: ${name}`)])),
  };
}

function ruleOf(table: unknown): RegistryRule {
  if (!isFields(table)) throw wrong('a registry is no table');
  const optional = (key: string): string | undefined =>
    table[key] === undefined ? undefined : textOf(table[key], `registry: ${key}`);
  const location = optional('location');
  const prefix = optional('prefix') ?? location;
  if (prefix === undefined) throw wrong('a registry has neither prefix nor location');
  const mirrors = table['mirror'] ?? [];
  if (!Array.isArray(mirrors)) throw wrong('registry: mirror is no list of tables');
  return {
    prefix,
    location: location === prefix ? undefined : location,
    insecure: table['insecure'] === true,
    blocked: table['blocked'] === true,
    mirrors: mirrors.map((mirror: unknown) => {
      if (!isFields(mirror)) throw wrong('registry: a mirror is no table');
      const use = mirror['pull-from-mirror'] ?? (table['mirror-by-digest-only'] === true ? 'digest-only' : 'all');
      if (use !== 'all' && use !== 'digest-only' && use !== 'tag-only') {
        throw wrong('registry: mirror: pull-from-mirror is not one of all, digest-only, tag-only');
      }
      return {
        location: textOf(mirror['location'], 'registry: mirror: location'),
        insecure: mirror['insecure'] === true,
        use,
      };
    }),
  };
}

/** The rule of the longest prefix that fits. */
export function ruleFor(conf: RegistriesConf, reference: Reference): RegistryRule | undefined {
  const full = canonicalString(reference);
  let best: RegistryRule | undefined;
  for (const rule of conf.rules) {
    const { prefix } = rule;
    const fits = prefix.startsWith('*.')
      ? reference.domain.replace(/:\d+$/, '').endsWith(prefix.slice(1))
      : full === prefix || (full.startsWith(prefix) && /^[/:@]/.test(full.slice(prefix.length)));
    if (fits && prefix.length > (best?.prefix.length ?? 0)) best = rule;
  }
  return best;
}

/** Where a name is fetched from, by the rule's location. Errors: invalid-parameter for a location that makes no name. */
export function locate(rule: RegistryRule, reference: Reference): Reference {
  const { prefix, location } = rule;
  if (location === undefined || location === '' || prefix.startsWith('*.')) return reference;
  const moved = parseReference(location + canonicalName(reference).slice(prefix.length));
  return { ...moved, tag: reference.tag, digest: reference.digest };
}

/**
 * What a name as people write it may mean, in the order in which to look: an alias alone, else the registries to search,
 * Docker Hub last or where the list has it. A name with a registry means itself.
 */
export function candidatesOf(conf: RegistriesConf, text: string): readonly Reference[] {
  const reference = parseReference(text);
  const [first = ''] = text.split('/', 1);
  const isShort = !text.includes('/') || !/[.:]|^localhost$/.test(first);
  if (!isShort) return [reference];
  const suffixAt = text.search(/[:@]/);
  const bare = suffixAt < 0 ? text : text.slice(0, suffixAt);
  const alias = conf.aliases.get(bare);
  if (alias !== undefined) {
    const { domain, path } = parseReference(alias);
    return [{ ...reference, domain, path }];
  }
  const found = conf.searchRegistries.map((host) =>
    host === 'docker.io' ? reference : { ...reference, domain: host, path: bare },
  );
  return found.length > 0 ? found : [reference];
}

function textOf(value: unknown, place: string): string {
  if (typeof value !== 'string' || value === '' || /\s/.test(value)) throw wrong(`${place} is no name`);
  return value;
}

const wrong = (why: string) => invalidParameter(`invalid registries.conf: ${why}`);
