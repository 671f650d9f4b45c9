/** Pushing: blobs mounted from other repositories or uploaded in pieces, each of which can be sent again; manifests. */
import { dataLoss, unavailable } from '#errdefs/errors.ts';
import { pullScope, pushScope } from './authorizer.ts';
import { discard } from './body.ts';
import { failureOf, RegistryError } from './failures.ts';
import { mayLeadTo } from './http.ts';
import type { Repository, Session } from './registry-client.ts';
import { send } from './send.ts';

/** Large enough that a round trip costs nothing, small enough to be sent again. */
const PIECE_BYTES = 16 << 20;
const PIECE_LIMIT_MS = 600_000;
const RESUMES_MAX = 5;

export interface UploadSource {
  readonly digest: string;
  readonly size: number;
  /** A part of the blob. */
  slice(start: number, end: number): Blob;
}

export interface UploadOptions {
  /** Bytes that the registry has taken. */
  readonly progress?: (bytes: number) => void;
}

/** Tries to have a blob from another repository of the registry; else where it can be uploaded to. */
export async function mountBlob(
  repository: Repository,
  session: Session,
  digest: string,
  from: string,
): Promise<{ readonly mounted: boolean; readonly location: string | undefined }> {
  const query = `mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`;
  try {
    const { response } = await repository.ask({
      method: 'POST',
      url: repository.at(`/blobs/uploads/?${query}`),
      headers: { 'Content-Length': '0' },
      capability: 'push',
      scopes: [pushScope(repository.path), pullScope(from)],
      accept: [201, 202],
      only: session,
    });
    await discard(response.body);
    if (response.status === 201) return { mounted: true, location: undefined };
    return { mounted: false, location: response.headers.get('location') ?? undefined };
  } catch (error) {
    // We may push here and not read there.
    if (error instanceof RegistryError && (error.status === 401 || error.status === 403 || error.status === 404)) {
      return { mounted: false, location: undefined };
    }
    throw error;
  }
}

/** Uploads a blob. Errors: unauthorized, forbidden, unavailable, data-loss when the registry finds another digest. */
export async function uploadBlob(
  repository: Repository,
  session: Session,
  source: UploadSource,
  options: UploadOptions & { readonly location?: string | undefined } = {},
): Promise<void> {
  const context = repository.context(session, repository.scopes('push'));
  const base = `${session.endpoint.base}${repository.at('/blobs/uploads/')}`;
  let location = options.location === undefined ? await begin(repository, session) : resolve(base, options.location);
  let sent = 0;
  let failures = 0;
  // A single piece goes with the last request.
  while (source.size - sent > PIECE_BYTES) {
    const end = Math.min(source.size, sent + PIECE_BYTES);
    const start = sent;
    try {
      const headers = { 'Content-Type': 'application/octet-stream', 'Content-Range': `${start}-${end - 1}` };
      const body = () => source.slice(start, end);
      const response = await send(context, { method: 'PATCH', url: location, headers, body, limitMs: PIECE_LIMIT_MS });
      if (response.status !== 202 && response.status !== 204) {
        throw await failureOf(response, `Patch "${base}"`, repository.signal);
      }
      await discard(response.body);
      location = resolve(location, response.headers.get('location'));
      sent = end;
      failures = 0;
      options.progress?.(sent);
    } catch (error) {
      if (repository.signal?.aborted === true || ++failures > RESUMES_MAX) throw error;
      if (error instanceof RegistryError && error.status !== 416 && error.status < 500) throw error;
      const state = await status(repository, session, location);
      if (state === undefined) {
        location = await begin(repository, session);
        sent = 0;
      } else ({ location, sent } = state);
    }
  }
  const url = withQuery(location, 'digest', source.digest);
  const start = sent;
  const response = await send(context, {
    method: 'PUT',
    url,
    headers: { 'Content-Type': 'application/octet-stream' },
    body: () => source.slice(start, source.size),
    limitMs: PIECE_LIMIT_MS,
  });
  if (response.status !== 201 && response.status !== 204) {
    throw await failureOf(response, `Put "${base}"`, repository.signal);
  }
  await discard(response.body);
  const found = response.headers.get('docker-content-digest');
  if (found !== null && found !== source.digest) {
    throw dataLoss(`the registry took blob ${source.digest} as ${found}`);
  }
  options.progress?.(source.size);
}

async function begin(repository: Repository, session: Session): Promise<string> {
  const { response } = await repository.ask({
    method: 'POST',
    url: repository.at('/blobs/uploads/'),
    headers: { 'Content-Length': '0' },
    capability: 'push',
    accept: [202],
    again: true,
    only: session,
  });
  await discard(response.body);
  return resolve(`${session.endpoint.base}${repository.at('/blobs/uploads/')}`, response.headers.get('location'));
}

/** How far an upload has come; undefined when the registry knows it no more. */
async function status(
  repository: Repository,
  session: Session,
  location: string,
): Promise<{ location: string; sent: number } | undefined> {
  const context = repository.context(session, repository.scopes('push'));
  const response = await send(context, { method: 'GET', url: location, again: true });
  await discard(response.body);
  if (response.status !== 204 && response.status !== 200) return undefined;
  // `0-99` is a hundred bytes; nothing at all is `0-0` for some and no header for others.
  const last = /^(?:bytes=)?0-([0-9]+)$/.exec(response.headers.get('range') ?? '')?.[1];
  const sent = last === undefined || last === '0' ? 0 : Number(last) + 1;
  return { location: resolve(location, response.headers.get('location') ?? location), sent };
}

/** Where the next piece goes: the registry or a store that it names, never anywhere less safe. */
function resolve(from: string, location: string | null): string {
  if (location === null || !URL.canParse(location, from)) {
    throw unavailable(`the registry does not say where to upload: "${from.replace(/\?.*$/, '')}"`);
  }
  const base = new URL(from);
  const to = new URL(location, base);
  const shown = `"${to.protocol}//${to.host}"`;
  if (to.protocol !== 'https:' && to.protocol !== 'http:') throw unavailable(`refusing to upload to ${shown}`);
  // Registries behind a proxy that ends TLS name themselves by http.
  if (base.protocol === 'https:' && to.protocol === 'http:') {
    if (base.hostname !== to.hostname) throw unavailable(`refusing to upload from https to ${shown}`);
    to.protocol = 'https:';
    to.port = base.port;
  }
  if (!mayLeadTo(base, to))
    throw unavailable(`refusing to upload to ${shown}: an address of this machine or of its link`);
  return to.href;
}

function withQuery(url: string, key: string, value: string): string {
  // Appended by hand: what is there is signed by some registries, character by character.
  return `${url}${url.includes('?') ? '&' : '?'}${key}=${encodeURIComponent(value)}`;
}

/** Puts a manifest under a tag or its digest. Answers the digest that the registry gives it. */
export async function putManifest(
  repository: Repository,
  session: Session,
  manifest: { readonly bytes: Uint8Array; readonly mediaType: string; readonly digest: string },
  tagOrDigest: string,
): Promise<void> {
  const { response } = await repository.ask({
    method: 'PUT',
    url: repository.at(`/manifests/${tagOrDigest}`),
    headers: { 'Content-Type': manifest.mediaType },
    body: () => new Blob([new Uint8Array(manifest.bytes)]),
    capability: 'push',
    accept: [201, 200, 202],
    again: true,
    only: session,
  });
  await discard(response.body);
  const found = response.headers.get('docker-content-digest');
  if (found !== null && found !== manifest.digest) {
    throw dataLoss(`the registry took manifest ${manifest.digest} as ${found}`);
  }
}
