/** Blobs: HEAD, GET (also of ranges), DELETE. A repository serves only what was pushed or mounted to it. */
import { COMMON_HEADERS, RegistryError } from './errors.ts';
import { blobUnknown } from './names.ts';
import type { Registry } from './registry.ts';

const YEAR = 'max-age=31536000';

export function blobHeaders(digest: string): Record<string, string> {
  return {
    ...COMMON_HEADERS,
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    'cache-control': YEAR,
    'accept-ranges': 'bytes',
    // A blob is never shown as a page of this host.
    'content-disposition': 'attachment',
  };
}

export function getBlob(registry: Registry, name: string, digest: string, request: Request): Response {
  const size = registry.hasBlob(name, digest) ? registry.blobs.sizeOf(digest) : undefined;
  if (size === undefined) throw blobUnknown(digest);
  registry.catalogue.touch(name, digest, registry.now);
  const headers = blobHeaders(digest);
  if (isKnownTo(request, digest)) return new Response(null, { status: 304, headers });
  if (request.method === 'HEAD') {
    return new Response(null, { headers: { ...headers, 'content-length': String(size) } });
  }
  // The runtime answers ranges itself: 206, or 416 with the length.
  return new Response(Bun.file(registry.options.content.path(digest)), { headers });
}

export function deleteBlob(registry: Registry, name: string, digest: string): Response {
  if (!registry.catalogue.unlink(name, digest)) throw blobUnknown(digest);
  return new Response(null, { status: 202, headers: { ...COMMON_HEADERS, 'docker-content-digest': digest } });
}

export function isKnownTo(request: Request, digest: string): boolean {
  const given = request.headers.get('if-none-match');
  return given !== null && given.split(',').some((tag) => tag.trim().replace(/^W\//, '') === `"${digest}"`);
}

export function refuseUnlessDeletable(registry: Registry): void {
  if (!registry.options.allowDelete) {
    throw new RegistryError('UNSUPPORTED', 'the operation is unsupported: deleting is turned off');
  }
}
