/**
 * `search`: Docker Hub's index by its v1 API, which some other registries have too; of those that have not, the names in
 * the catalogue. A term may begin with the registry: `host:5000/nginx`.
 */
import type { ImageSearchResult } from '#api/types/image.ts';
import { dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { readAll } from '#registry/body.ts';
import type { Credentials } from '#registry/credentials.ts';
import { RegistryError } from '#registry/failures.ts';
import type { RegistryClient, Repository } from '#registry/registry-client.ts';

const LIMIT_DEFAULT = 25;
const LIMIT_MAX = 100;
const ANSWER_BYTES_MAX = 8 << 20;
const CATALOGUE_PAGES_MAX = 100;
const HUB = 'docker.io';
const HUB_INDEX = 'https://index.docker.io/v1';
const FILTERS = ['is-automated', 'is-official', 'stars'];

export interface SearchInput {
  readonly term: string;
  /** 0: 25. */
  readonly limit: number;
  readonly filters: ReadonlyMap<string, readonly string[]>;
  readonly credentials: Credentials;
  readonly signal: AbortSignal | undefined;
}

/** Errors: invalid-parameter, unavailable, … */
export async function searchImages(registry: RegistryClient, input: SearchInput): Promise<ImageSearchResult[]> {
  const { limit, credentials, signal } = input;
  const matches = filterOf(input.filters);
  if (limit < 0 || limit > LIMIT_MAX)
    throw invalidParameter(`limit ${limit} is outside the range of [1, ${LIMIT_MAX}]`);
  const wanted = limit === 0 ? LIMIT_DEFAULT : limit;
  const { domain, term } = splitTerm(input.term);
  const repository = await registry.repository(domain, '', { credentials, signal });
  const found = (await index(repository, term, wanted)) ?? (await catalogue(repository, term, wanted));
  return found.filter(matches);
}

function splitTerm(text: string): { domain: string; term: string } {
  if (/^https?:\/\//.test(text) || text.includes('://')) {
    throw invalidParameter(`invalid repository name: repository name (${text}) should not have a scheme`);
  }
  const slash = text.indexOf('/');
  const first = slash < 0 ? '' : text.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === 'localhost';
  if (!isHost) return { domain: HUB, term: text.replace(/^library\//, '') };
  const term = text.slice(slash + 1);
  return first === 'index.docker.io' || first === HUB ? { domain: HUB, term } : { domain: first, term };
}

/** Undefined when the registry has no such API. */
async function index(repository: Repository, term: string, limit: number): Promise<ImageSearchResult[] | undefined> {
  const query = `/search?q=${encodeURIComponent(term)}&n=${limit}`;
  const isHub = repository.domain === HUB;
  try {
    const { response, what } = await repository.ask({
      method: 'GET',
      url: query,
      base: (own) => (isHub ? HUB_INDEX : own.replace(/\/v2$/, '/v1')),
      capability: 'pull',
      accept: [200],
      again: isHub,
    });
    const bytes = await readAll(response.body, ANSWER_BYTES_MAX, { what, signal: repository.signal });
    return decodeResults(bytes, what).slice(0, limit);
  } catch (error) {
    // A registry of today answers it with 404, some with an error page.
    if (!isHub && (error instanceof RegistryError || isNoJson(error))) return undefined;
    throw error;
  }
}

const isNoJson = (error: unknown): boolean => error instanceof Error && error.message.endsWith('is no JSON');

async function catalogue(repository: Repository, term: string, limit: number): Promise<ImageSearchResult[]> {
  const found: ImageSearchResult[] = [];
  let last: string | undefined;
  for (let page = 0; page < CATALOGUE_PAGES_MAX && found.length < limit; page++) {
    const url = `/_catalog?n=1000${last === undefined ? '' : `&last=${encodeURIComponent(last)}`}`;
    const { response, what } = await repository.ask({
      method: 'GET',
      url,
      capability: 'pull',
      scopes: ['registry:catalog:*'],
      accept: [200],
      again: true,
    });
    const bytes = await readAll(response.body, ANSWER_BYTES_MAX, { what, signal: repository.signal });
    const { repositories } = fieldsOf(parse(bytes, what), what);
    const names = Array.isArray(repositories) ? repositories.filter((name: unknown) => typeof name === 'string') : [];
    for (const name of names) {
      if (!name.includes(term)) continue;
      const full = `${repository.domain}/${name}`;
      found.push({ star_count: 0, is_official: false, name: full, is_automated: false, description: '' });
    }
    const next = names.at(-1);
    if (response.headers.get('link') === null || next === undefined || next === last) break;
    last = next;
  }
  return found.slice(0, limit);
}

function decodeResults(bytes: Buffer, what: string): ImageSearchResult[] {
  const { results } = fieldsOf(parse(bytes, what), what);
  if (!Array.isArray(results)) throw dataLoss(`${what}: the answer has no results`);
  return results.flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null || !('name' in entry) || typeof entry.name !== 'string') return [];
    const fields = fieldsOf(entry, what);
    return [
      {
        star_count: typeof fields['star_count'] === 'number' ? fields['star_count'] : 0,
        is_official: fields['is_official'] === true,
        name: entry.name,
        is_automated: false,
        description: typeof fields['description'] === 'string' ? fields['description'] : '',
      },
    ];
  });
}

function parse(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw dataLoss(`${what}: the answer is no JSON`, { cause });
  }
}

function fieldsOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw dataLoss(`${what}: the answer is no object`);
  // as: every object has string keys with unknown values.
  return value as Readonly<Record<string, unknown>>;
}

function filterOf(filters: SearchInput['filters']): (result: ImageSearchResult) => boolean {
  for (const key of filters.keys()) if (!FILTERS.includes(key)) throw invalidParameter(`invalid filter '${key}'`);
  const flag = (key: string): boolean | undefined => {
    const values = filters.get(key);
    if (values === undefined) return undefined;
    if (values.every((v) => v === 'true' || v === '1')) return true;
    if (values.every((v) => v === 'false' || v === '0')) return false;
    throw invalidParameter(`invalid filter '${key}=[${values.join(' ')}]'`);
  };
  const official = flag('is-official');
  const automated = flag('is-automated');
  const stars = (filters.get('stars') ?? []).map((text) => {
    if (!/^-?[0-9]{1,9}$/.test(text)) throw invalidParameter(`invalid filter 'stars=[${text}]'`);
    return Number(text);
  });
  return (result) =>
    (official === undefined || result.is_official === official) &&
    // Docker Hub builds nothing by itself any more.
    automated !== true &&
    stars.every((least) => result.star_count >= least);
}
