/**
 * What refers to a manifest (signatures, statements, SBOMs): the registry's own list, page by page, or, where it knows
 * none, the index under the tag `sha256-<hex>` that clients keep instead. The entries are a stranger's: unchecked.
 */
import { dataLoss } from '#errdefs/errors.ts';
import { discard, readAll } from './body.ts';
import { RegistryError } from './failures.ts';
import { fetchManifest, nextPage } from './manifests.ts';
import type { Repository, Session } from './registry-client.ts';

const PAGES_MAX = 100;
const ENTRIES_MAX = 20_000;
const PAGE_BYTES_MAX = 4 << 20;

/** Undefined when the registry neither knows the question nor has such a tag. Errors: data-loss, the registry's. */
export async function listReferrers(repository: Repository, digest: string): Promise<readonly unknown[] | undefined> {
  const found: unknown[] = [];
  let url: string | undefined = repository.at(`/referrers/${digest}`);
  let only: Session | undefined;
  for (let page = 0; url !== undefined && page < PAGES_MAX && found.length < ENTRIES_MAX; page++) {
    const asked: string = url;
    const { response, session, what } = await repository.ask({
      method: 'GET',
      url: asked,
      capability: 'pull',
      accept: page === 0 ? [200, 404] : [200],
      again: true,
      only,
    });
    if (response.status === 404) {
      await discard(response.body);
      return underTag(repository, digest);
    }
    only = session;
    const bytes = await readAll(response.body, PAGE_BYTES_MAX, { what, signal: repository.signal });
    found.push(...entriesOf(bytes, what));
    url = nextPage(response.headers.get('link'), session.endpoint.base + asked, session.endpoint.base);
  }
  return found.slice(0, ENTRIES_MAX);
}

async function underTag(repository: Repository, digest: string): Promise<readonly unknown[] | undefined> {
  const tag = digest.replace(':', '-');
  try {
    return entriesOf((await fetchManifest(repository, tag)).bytes, tag);
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return undefined;
    throw error;
  }
}

function entriesOf(bytes: Buffer, what: string): readonly unknown[] {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw dataLoss(`${what}: the list of referrers is no JSON`, { cause });
  }
  const entries: unknown =
    typeof document === 'object' && document !== null && 'manifests' in document ? document.manifests : undefined;
  if (!Array.isArray(entries)) throw dataLoss(`${what}: the list of referrers is none`);
  return entries;
}
