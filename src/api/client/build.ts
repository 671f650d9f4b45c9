/** Endpoints of the builder. */
import type { BuildCache, CacheMountSummary } from '#api/types/build.ts';
import type { BuildPruneResponse } from '#api/types/disk-usage.ts';
import { ApiError } from './api-error.ts';
import { type ApiClient, encodeFilters, type Query } from './api-client.ts';
import type { FilterMap } from './containers.ts';
import type { Archive } from './images.ts';
import { jsonLines } from './json-stream.ts';

/** A line of our own events, or of Docker's builder where another daemon answers. */
export interface BuildLine {
  readonly vertex?: { readonly id: string; readonly name: string; readonly stage: string };
  readonly started?: string;
  readonly ended?: string;
  readonly outcome?: 'done' | 'cached' | 'cancelled' | 'failed';
  readonly of?: string;
  /** Milliseconds since the build began. */
  readonly at?: number;
  readonly log?: string;
  readonly why?: readonly string[];
  readonly status?: string;
  readonly current?: number;
  readonly note?: string;
  readonly warning?: string;
  readonly built?: string;
  /** Of the manifest or index, where one was made. */
  readonly digest?: string;
  readonly images?: readonly { readonly platform: string; readonly imageId: string }[];
  /** The cache elsewhere that had the result. */
  readonly from?: string;
  /** What the daemon calls the context that it keeps now. */
  readonly context?: { readonly generation: string };
  readonly names?: readonly string[];
  readonly stream?: string;
  readonly aux?: { readonly ID?: string };
  readonly error?: string;
  readonly errorDetail?: { readonly code?: number; readonly message?: string };
}

export async function* buildImage(
  client: ApiClient,
  query: Query,
  options: {
    readonly context: ReadableStream<Uint8Array> | undefined;
    readonly headers: Readonly<Record<string, string>>;
    readonly signal?: AbortSignal;
  },
): AsyncGenerator<BuildLine, void, undefined> {
  const { context: body, ...rest } = options;
  const response = await client.request('POST', '/build', {
    query,
    ...rest,
    ...(body === undefined ? {} : { body, contentType: 'application/x-tar' }),
  });
  yield* jsonLines<BuildLine>(response.body);
}

/** Undefined where nothing is kept under the key, and by daemons that keep nothing. */
export async function keptGeneration(client: ApiClient, key: string): Promise<string | undefined> {
  try {
    return (await client.json<{ readonly Generation: string }>('GET', `/berth/build/contexts/${key}`)).Generation;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

export function pruneBuildCache(
  client: ApiClient,
  query: Readonly<Record<string, string | number | boolean>>,
  filters: FilterMap,
): Promise<BuildPruneResponse> {
  return client.json('POST', '/build/prune', { query: { ...query, filters: encodeFilters(filters) } });
}

/** Of any daemon: `/system/df` has it. */
export async function buildCache(client: ApiClient): Promise<readonly BuildCache[]> {
  const usage = await client.json<{ readonly BuildCache: BuildCache[] | null }>('GET', '/system/df', {
    query: { type: ['build-cache'] },
  });
  return usage.BuildCache ?? [];
}

const MOUNTS = '/berth/build/cache-mounts';

export function cacheMounts(client: ApiClient): Promise<readonly CacheMountSummary[]> {
  return client.json('GET', MOUNTS);
}

/** A tar of what is in it. */
export async function exportCacheMount(client: ApiClient, id: string): Promise<ReadableStream<Uint8Array> | null> {
  return (await client.request('GET', `${MOUNTS}/export`, { query: { id } })).body;
}

export function importCacheMount(client: ApiClient, id: string, archive: Archive): Promise<void> {
  return client.call('POST', `${MOUNTS}/import`, { query: { id }, body: archive });
}
