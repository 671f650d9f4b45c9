/** Manifests and tags of a repository. The bytes are a stranger's; their digest is checked here, their meaning is not. */
import { createHash } from 'node:crypto';
import { dataLoss } from '#errdefs/errors.ts';
import { discard, readAll } from './body.ts';
import type { Repository, Session } from './registry-client.ts';

/** What we understand, and schema 1, so that it is refused by name and not as missing. */
const ACCEPT = [
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/json',
].join(', ');

const MANIFEST_BYTES_MAX = 4 << 20;
const TAG_PAGES_MAX = 1000;
const TAGS_MAX = 100_000;
const TAGS_BYTES_MAX = 8 << 20;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export interface FetchedManifest {
  readonly bytes: Buffer;
  /** As the registry says it. */
  readonly mediaType: string;
  readonly digest: string;
  readonly session: Session;
}

export interface FoundManifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  readonly session: Session;
}

/** By tag or digest. Errors: not-found, unauthorized, data-loss when it is not what its digest says, … */
export async function fetchManifest(
  repository: Repository,
  tagOrDigest: string,
  first?: Session,
): Promise<FetchedManifest> {
  const request = {
    method: 'GET',
    url: repository.at(`/manifests/${tagOrDigest}`),
    headers: { Accept: ACCEPT },
  } as const;
  const isDigest = tagOrDigest.includes(':');
  const { response, session, what } = await repository.ask({
    ...request,
    capability: isDigest ? 'pull' : 'resolve',
    accept: [200],
    again: true,
    only: first,
  });
  const length = Number(response.headers.get('content-length') ?? '0');
  if (length > MANIFEST_BYTES_MAX) {
    await discard(response.body);
    throw dataLoss(`${what}: the manifest is longer than ${MANIFEST_BYTES_MAX} bytes`);
  }
  const bytes = await readAll(response.body, MANIFEST_BYTES_MAX, { what, signal: repository.signal });
  const promised = isDigest ? tagOrDigest : response.headers.get('docker-content-digest');
  const algorithm = promised?.startsWith('sha512:') === true ? 'sha512' : 'sha256';
  const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
  if (promised?.startsWith(`${algorithm}:`) === true && promised !== digest) {
    throw dataLoss(`manifest verification failed for digest ${promised}: ${what} answered ${digest}`);
  }
  return { bytes, mediaType: typeOf(response.headers), digest, session };
}

/** What a tag stands for, without fetching it; undefined when the registry does not say. Errors: as fetchManifest. */
export async function findManifest(repository: Repository, tagOrDigest: string): Promise<FoundManifest | undefined> {
  const { response, session } = await repository.ask({
    method: 'HEAD',
    url: repository.at(`/manifests/${tagOrDigest}`),
    headers: { Accept: ACCEPT },
    capability: 'resolve',
    accept: [200, 405],
    again: true,
  });
  const { status, headers } = response;
  await discard(response.body);
  const digest = headers.get('docker-content-digest') ?? '';
  if (status !== 200 || !DIGEST.test(digest)) return undefined;
  return { digest, mediaType: typeOf(headers), size: Number(headers.get('content-length') ?? '0'), session };
}

/** All tags, sorted as the registry does. Errors: not-found, … */
export async function listTags(repository: Repository): Promise<string[]> {
  const tags: string[] = [];
  let url: string | undefined = repository.at('/tags/list');
  let only: Session | undefined;
  for (let page = 0; url !== undefined && page < TAG_PAGES_MAX && tags.length < TAGS_MAX; page++) {
    const asked: string = url;
    const { response, session, what } = await repository.ask({
      method: 'GET',
      url: asked,
      capability: 'resolve',
      accept: [200],
      again: true,
      only,
    });
    only = session;
    const bytes = await readAll(response.body, TAGS_BYTES_MAX, { what, signal: repository.signal });
    tags.push(...decodeTags(bytes, what));
    url = nextPage(response.headers.get('link'), session.endpoint.base + asked, session.endpoint.base);
  }
  return tags.slice(0, TAGS_MAX);
}

function decodeTags(bytes: Buffer, what: string): string[] {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw dataLoss(`${what}: the list of tags is no JSON`, { cause });
  }
  const tags: unknown = typeof document === 'object' && document !== null && 'tags' in document ? document.tags : null;
  if (tags === null) return [];
  if (!Array.isArray(tags)) throw dataLoss(`${what}: the list of tags is none`);
  return tags.filter((tag: unknown): tag is string => typeof tag === 'string' && /^[\w][\w.-]{0,127}$/.test(tag));
}

/** `</v2/app/tags/list?last=b&n=2>; rel="next"`; never leads elsewhere. */
export function nextPage(link: string | null, from: string, base: string): string | undefined {
  const target = /<([^>]{1,4096})>\s*;\s*rel="?next"?/.exec(link ?? '')?.[1];
  if (target === undefined || !URL.canParse(target, from)) return undefined;
  const url = new URL(target, from).href;
  return url.startsWith(`${base}/`) ? url.slice(base.length) : undefined;
}

function typeOf(headers: Headers): string {
  return (headers.get('content-type') ?? '').split(';')[0]?.trim() ?? '';
}
