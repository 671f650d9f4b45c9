/** Lists in pages: tags of a repository, repositories, and what refers to a manifest. */
import { COMMON_HEADERS, RegistryError } from './errors.ts';
import type { ManifestRecord, Repository } from './catalogue.ts';
import { isObject, MEDIA } from './manifest.ts';
import { isDigest, nameUnknown } from './names.ts';
import type { Registry } from './registry.ts';
import { SortedNames } from './sorted-names.ts';

const PAGE_DEFAULT = 1000;
const PAGE_MAX = 10_000;
const REFERRERS_PAGE = 500;

export function listTags(registry: Registry, name: string, query: URLSearchParams): Response {
  const repository = registry.catalogue.repository(name);
  if (repository === undefined) throw nameUnknown(name);
  return tagPage(name, repository.tagNames, query);
}

/** Of tags that are not ours. */
export function tagsResponse(name: string, tags: readonly string[], query: URLSearchParams): Response {
  const sorted = new SortedNames();
  for (const tag of tags) sorted.add(tag);
  return tagPage(name, sorted, query);
}

function tagPage(name: string, tags: SortedNames, query: URLSearchParams): Response {
  const count = pageSize(query, PAGE_MAX);
  const { names, more } = tags.page(query.get('last') ?? undefined, count);
  return json({ name, tags: names }, linkTo(`/v2/${name}/tags/list`, names, more, count));
}

export function listRepositories(registry: Registry, query: URLSearchParams): Response {
  const count = pageSize(query, PAGE_DEFAULT);
  const { names, more } = registry.catalogue.names.page(query.get('last') ?? undefined, count);
  return json({ repositories: names }, linkTo('/v2/_catalog', names, more, count));
}

function pageSize(query: URLSearchParams, fallback: number): number {
  const text = query.get('n');
  if (text === null) return fallback;
  if (!/^\d{1,9}$/.test(text)) {
    throw new RegistryError('PAGINATION_NUMBER_INVALID', 'invalid number of results requested', {
      detail: { n: text.slice(0, 64) },
    });
  }
  return Math.min(Number(text), PAGE_MAX);
}

function linkTo(path: string, names: readonly string[], more: boolean, count: number): Record<string, string> {
  const last = names.at(-1);
  if (!more || last === undefined) return {};
  return { link: `<${path}?last=${encodeURIComponent(last)}&n=${count}>; rel="next"` };
}

function json(value: unknown, headers: Readonly<Record<string, string>>, type = 'application/json'): Response {
  return new Response(`${JSON.stringify(value)}\n`, {
    headers: { ...COMMON_HEADERS, 'content-type': type, ...headers },
  });
}

/** An empty list when nothing refers to it, also when nothing of that name is here: 404 would mean "not supported". */
export function listReferrers(registry: Registry, name: string, subject: string, query: URLSearchParams): Response {
  const repository = registry.catalogue.repository(name);
  const found = repository === undefined ? [] : referrersOf(repository, subject);
  return referrersResponse(name, subject, found, query);
}

/** Also of descriptors that another registry has sent; what is no such thing is left out. */
export function referrersResponse(
  name: string,
  subject: string,
  all: readonly unknown[],
  query: URLSearchParams,
): Response {
  const wanted = query.get('artifactType');
  const after = query.get('last') ?? '';
  const found = all
    .filter(isReferrer)
    .filter(({ artifactType }) => wanted === null || artifactType === wanted)
    .filter(({ digest }) => digest > after)
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  const page = found.slice(0, REFERRERS_PAGE);
  const headers: Record<string, string> = {};
  if (wanted !== null) headers['oci-filters-applied'] = 'artifactType';
  const last = page.at(-1);
  if (found.length > page.length && last !== undefined) {
    const next = new URLSearchParams({ ...(wanted === null ? {} : { artifactType: wanted }), last: last.digest });
    headers['link'] = `</v2/${name}/referrers/${subject}?${next.toString()}>; rel="next"`;
  }
  return json({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: page }, headers, MEDIA.ociIndex);
}

const isReferrer = (value: unknown): value is Referrer =>
  isObject(value) && typeof value['digest'] === 'string' && isDigest(value['digest']);

interface Referrer {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

function referrersOf(repository: Repository, subject: string): Referrer[] {
  const digests = new Set(repository.referrers.get(subject));
  for (const digest of fromFallbackTag(repository, subject)) digests.add(digest);
  return [...digests].flatMap((digest) => {
    const record = repository.manifests.get(digest);
    return record === undefined ? [] : [referrerOf(digest, record)];
  });
}

function referrerOf(digest: string, record: ManifestRecord): Referrer {
  const { mediaType, size, artifactType, annotations } = record;
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** Clients of before keep the list themselves, as an index tagged `sha256-<hex>`. */
function fromFallbackTag(repository: Repository, subject: string): readonly string[] {
  const index = repository.tags.get(subject.replace(':', '-'))?.digest;
  return index === undefined ? [] : (repository.manifests.get(index)?.manifests ?? []);
}
