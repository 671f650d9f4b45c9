/** Uploads: begin (also whole in one request, or mounted from another repository), append, finish, ask, cancel. */
import { COMMON_HEADERS, RegistryError } from './errors.ts';
import { checkDigest, checkName, isDigest } from './names.ts';
import { bodyOf } from './request-body.ts';
import type { Registry } from './registry.ts';
import { rangeOf } from './uploads.ts';

/** `mayPull`: whether this client may read that repository. */
export async function beginUpload(
  registry: Registry,
  name: string,
  request: Request,
  query: URLSearchParams,
  mayPull: (from: string) => Promise<boolean>,
): Promise<Response> {
  const mount = query.get('mount');
  const from = query.get('from');
  if (mount !== null && isDigest(mount) && from !== null && from !== '' && (await mayPull(checkName(from)))) {
    if (registry.hasBlob(from, mount)) {
      registry.catalogue.link(name, mount, registry.now);
      return created(name, mount);
    }
  }
  const wanted = query.get('digest');
  const digest = wanted === null ? undefined : checkDigest(wanted);
  checkLength(registry, request);
  const session = await registry.uploads.begin(name);
  if (digest === undefined) return accepted(name, session, 0, 202);
  try {
    await registry.uploads.append(name, session, bodyOf(request), undefined);
  } catch (error) {
    // The client never learned its name: nobody can resume it.
    await registry.uploads.cancel(name, session).catch(() => undefined);
    throw error;
  }
  return finish(registry, name, session, digest);
}

export async function patchUpload(
  registry: Registry,
  name: string,
  session: string,
  request: Request,
): Promise<Response> {
  checkLength(registry, request);
  const range = await rangeOfRequest(registry, name, session, request);
  const size = await registry.uploads.append(name, session, bodyOf(request), range);
  return accepted(name, session, size, 202);
}

export async function putUpload(
  registry: Registry,
  name: string,
  session: string,
  request: Request,
  query: URLSearchParams,
): Promise<Response> {
  const wanted = query.get('digest');
  if (wanted === null)
    throw new RegistryError('DIGEST_INVALID', 'provided digest did not match uploaded content: it is missing');
  const digest = checkDigest(wanted);
  checkLength(registry, request);
  if (request.body !== null) {
    const range = await rangeOfRequest(registry, name, session, request);
    await registry.uploads.append(name, session, bodyOf(request), range);
  }
  return finish(registry, name, session, digest);
}

export async function askUpload(registry: Registry, name: string, session: string): Promise<Response> {
  return accepted(name, session, await registry.uploads.size(name, session), 204);
}

export async function cancelUpload(registry: Registry, name: string, session: string): Promise<Response> {
  await registry.uploads.cancel(name, session);
  return new Response(null, { status: 204, headers: COMMON_HEADERS });
}

/** The link is recorded in the turn in which the blob is kept, so that no collection comes between. */
async function finish(registry: Registry, name: string, session: string, digest: string): Promise<Response> {
  await registry.uploads.finish(name, session, digest, () => registry.catalogue.link(name, digest, registry.now));
  return created(name, digest);
}

function created(name: string, digest: string): Response {
  const headers = { ...COMMON_HEADERS, location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest };
  return new Response(null, { status: 201, headers });
}

function accepted(name: string, session: string, size: number, status: number): Response {
  const headers: Record<string, string> = {
    ...COMMON_HEADERS,
    location: `/v2/${name}/blobs/uploads/${session}`,
    range: rangeOf(size),
    'docker-upload-uuid': session,
  };
  return new Response(null, { status, headers });
}

/** Told before a byte of the body is read. */
function checkLength(registry: Registry, request: Request): void {
  const { blobBytesMax } = registry.options.limits;
  if (Number(request.headers.get('content-length') ?? 0) > blobBytesMax) {
    throw new RegistryError('SIZE_INVALID', `a blob may have ${blobBytesMax} bytes at most`);
  }
}

/** `Content-Range: 0-99`, with or without `bytes` and a total. Errors: RANGE_INVALID. */
async function rangeOfRequest(
  registry: Registry,
  name: string,
  session: string,
  request: Request,
): Promise<{ from: number; length: number } | undefined> {
  const text = request.headers.get('content-range');
  if (text === null) return undefined;
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(text.trim());
  const from = Number(match?.[1]);
  const to = Number(match?.[2]);
  if (match === null || to < from) {
    throw registry.uploads.rangeInvalid(name, session, await registry.uploads.size(name, session));
  }
  return { from, length: to - from + 1 };
}
