/** Endpoints of images. An image's name may hold slashes and colons, which its routes take as they are. */
import type {
  ImageDeleteItem,
  ImageExportRequest,
  AuthConfig,
  AuthResponse,
  ImageHistoryItem,
  ImageInspect,
  ImageSearchResult,
  ImageSummary,
  LayerBlob,
  MissingBlobs,
  ProgressMessage,
} from '#api/types/image.ts';
import { type ApiClient, encodeFilters } from './api-client.ts';
import type { FilterMap } from './containers.ts';
import { jsonLines } from './json-stream.ts';

const at = (image: string, verb = '') => `/images/${encodeURI(image).replace(/[?#]/g, encodeURIComponent)}${verb}`;

export function listImages(
  client: ApiClient,
  o: { all: boolean; filters: FilterMap; manifests?: boolean },
): Promise<ImageSummary[]> {
  const { all, filters, manifests = false } = o;
  const query = { all, filters: encodeFilters(filters), ...(manifests ? { manifests } : {}) };
  return client.json('GET', '/images/json', { query });
}

/** A platform is JSON here and below; '' for none. */
export function inspectImage(client: ApiClient, image: string, platform = ''): Promise<ImageInspect> {
  return client.json('GET', at(image, '/json'), { query: { platform } });
}

export function imageHistory(client: ApiClient, image: string, platform = ''): Promise<ImageHistoryItem[]> {
  return client.json('GET', at(image, '/history'), { query: { platform } });
}

export function tagImage(client: ApiClient, image: string, repo: string, tag: string): Promise<void> {
  return client.call('POST', at(image, '/tag'), { query: { repo, tag } });
}

export function removeImage(
  client: ApiClient,
  image: string,
  o: { force: boolean; noprune: boolean; platforms?: readonly string[] },
): Promise<ImageDeleteItem[]> {
  return client.json('DELETE', at(image), { query: o });
}

export type Archive = ReadableStream<Uint8Array> | Blob | Uint8Array;

export async function* loadImages(
  client: ApiClient,
  archive: Archive,
  quiet: boolean,
  o: {
    readonly platform?: string;
    /** Berth's own: layers that the daemon has may be missing. */
    readonly partial?: boolean;
  } = {},
): AsyncGenerator<ProgressMessage, void, undefined> {
  const query = { quiet, platform: o.platform ?? '', 'berth-partial': o.partial ?? false };
  const response = await client.request('POST', '/images/load', { query, body: archive });
  yield* jsonLines<ProgressMessage>(response.body);
}

export async function saveImages(
  client: ApiClient,
  names: readonly string[],
  platform = '',
): Promise<ReadableStream<Uint8Array> | null> {
  const response = await client.request('GET', '/images/get', { query: { names, platform } });
  return response.body;
}

/** Berth's own: the layers that a save of these would write. `platform` is '' or an OCI platform as JSON. */
export function layersOf(client: ApiClient, names: readonly string[], platform: string): Promise<LayerBlob[]> {
  return client.json('GET', '/berth/images/layers', { query: { names, platform } });
}

/** Berth's own: which of these the daemon has not; it keeps the others for a while. */
export async function missingBlobs(client: ApiClient, digests: readonly string[]): Promise<MissingBlobs> {
  const json: MissingBlobs = { Digests: [...digests] };
  return client.json<MissingBlobs>('POST', '/berth/images/missing', { json });
}

/** Berth's own: `save` without some layers. */
export async function exportImages(
  client: ApiClient,
  o: {
    readonly names: readonly string[];
    readonly platform: string;
    readonly without: readonly string[];
    readonly from: Readonly<Record<string, number>>;
  },
): Promise<ReadableStream<Uint8Array> | null> {
  const json: ImageExportRequest = { Names: [...o.names], Without: [...o.without], From: { ...o.from } };
  const response = await client.request('POST', '/berth/images/export', { query: { platform: o.platform }, json });
  return response.body;
}

export interface ImportOptions {
  readonly repo: string;
  readonly tag: string;
  readonly message: string;
  readonly changes: readonly string[];
  readonly platform: string;
  /** '-' when the archive is the body, else a URL that the daemon fetches. */
  readonly source: string;
}

export async function* importImage(
  client: ApiClient,
  archive: Archive | undefined,
  o: ImportOptions,
): AsyncGenerator<ProgressMessage, void, undefined> {
  const { source, ...query } = o;
  const response = await client.request('POST', '/images/create', {
    query: { fromSrc: source, ...query },
    ...(archive === undefined ? {} : { body: archive }),
  });
  yield* jsonLines<ProgressMessage>(response.body);
}

type Headers = Readonly<Record<string, string>>;

/** `tag` may be a digest; '' means all tags of a name that has none. */
export async function* pullImage(
  client: ApiClient,
  image: string,
  o: { readonly tag: string; readonly platform: string; readonly headers?: Headers },
): AsyncGenerator<ProgressMessage, void, undefined> {
  const query = { fromImage: image, tag: o.tag, platform: o.platform };
  const response = await client.request('POST', '/images/create', { query, headers: o.headers });
  yield* jsonLines<ProgressMessage>(response.body);
}

/** Without a tag: all of them. */
export async function* pushImage(
  client: ApiClient,
  image: string,
  o: { readonly tag: string; readonly platform: string; readonly headers?: Headers },
): AsyncGenerator<ProgressMessage, void, undefined> {
  const query = { tag: o.tag, ...(o.platform === '' ? {} : { platform: o.platform }) };
  // Daemons want to see the header also when there is nothing in it.
  const headers = { 'X-Registry-Auth': 'e30', ...o.headers };
  const response = await client.request('POST', at(image, '/push'), { query, headers });
  yield* jsonLines<ProgressMessage>(response.body);
}

export async function* copyImage(
  client: ApiClient,
  o: { readonly from: string; readonly to: string; readonly platform: string; readonly headers: Headers },
): AsyncGenerator<ProgressMessage, void, undefined> {
  const { headers, ...query } = o;
  const response = await client.request('POST', '/berth/images/copy', { query, headers });
  yield* jsonLines<ProgressMessage>(response.body);
}

export function searchImages(
  client: ApiClient,
  o: { readonly term: string; readonly limit: number; readonly filters: FilterMap; readonly headers: Headers },
): Promise<ImageSearchResult[]> {
  const query = { term: o.term, ...(o.limit === 0 ? {} : { limit: o.limit }), filters: encodeFilters(o.filters) };
  return client.json('GET', '/images/search', { query, headers: o.headers });
}

export function logIn(client: ApiClient, credentials: AuthConfig): Promise<AuthResponse> {
  return client.json('POST', '/auth', { json: credentials });
}
