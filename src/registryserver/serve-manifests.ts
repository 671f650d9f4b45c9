/** Manifests: HEAD, GET, PUT, DELETE, by tag or digest. */
import { algorithmOf } from '#content/digest.ts';
import { digestOf } from '#content/content-store.ts';
import { COMMON_HEADERS, RegistryError } from './errors.ts';
import { MANIFEST_BYTES_MAX, type Manifest, readManifest } from './manifest.ts';
import { checkDigest, isDigest, isTag, nameUnknown } from './names.ts';
import { readBody } from './request-body.ts';
import type { ManifestRecord, Repository } from './catalogue.ts';
import type { Registry } from './registry.ts';
import { isKnownTo } from './serve-blobs.ts';

export const manifestUnknown = (reference: string): RegistryError =>
  new RegistryError('MANIFEST_UNKNOWN', 'manifest unknown', { detail: { reference: reference.slice(0, 256) } });

/** The digest that a tag or digest means here. Errors: MANIFEST_UNKNOWN, NAME_UNKNOWN, DIGEST_INVALID. */
export function resolve(repository: Repository | undefined, name: string, reference: string): string {
  if (reference.includes(':')) checkDigest(reference);
  else if (!isTag(reference)) throw manifestUnknown(reference);
  if (repository === undefined) throw nameUnknown(name);
  const digest = isDigest(reference) ? reference : repository.tags.get(reference)?.digest;
  if (digest === undefined || !repository.manifests.has(digest)) throw manifestUnknown(reference);
  return digest;
}

export function getManifest(registry: Registry, name: string, reference: string, request: Request): Response {
  const repository = registry.catalogue.repository(name);
  const digest = resolve(repository, name, reference);
  const record = repository?.manifests.get(digest);
  if (record === undefined) throw manifestUnknown(reference);
  return manifestResponse(registry, digest, record, request);
}

export function manifestResponse(
  registry: Registry,
  digest: string,
  record: ManifestRecord,
  request: Request,
  more: Readonly<Record<string, string>> = {},
): Response {
  const headers: Record<string, string> = {
    ...COMMON_HEADERS,
    'content-type': record.mediaType,
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    ...more,
  };
  if (isKnownTo(request, digest)) return new Response(null, { status: 304, headers });
  if (request.method === 'HEAD') {
    headers['content-length'] = String(record.size);
    return new Response(null, { headers });
  }
  return new Response(registry.blobs.manifest(digest, record.size), { headers });
}

export async function putManifest(
  registry: Registry,
  name: string,
  reference: string,
  request: Request,
): Promise<Response> {
  if (reference.includes(':')) checkDigest(reference);
  else if (!isTag(reference)) {
    throw new RegistryError('TAG_INVALID', 'manifest tag did not match URI', { detail: reference.slice(0, 256) });
  }
  const bytes = await readBody(request, MANIFEST_BYTES_MAX, 'MANIFEST_INVALID');
  const manifest = readManifest(bytes, request.headers.get('content-type') ?? undefined);
  const tag = isDigest(reference) ? undefined : reference;
  const digest = digestOf(bytes, tag === undefined ? algorithmOf(reference) : 'sha256');
  if (tag === undefined && digest !== reference) {
    throw new RegistryError('DIGEST_INVALID', 'provided digest did not match uploaded content', { detail: { digest } });
  }
  checkReferences(registry, name, manifest);
  await registry.blobs.put(bytes, digest, () => {
    // Again: a collection or a delete may have come between.
    checkReferences(registry, name, manifest);
    registry.catalogue.putManifest(name, digest, recordOf(manifest, bytes.length, registry.now), tag);
  });
  const headers: Record<string, string> = {
    ...COMMON_HEADERS,
    location: `/v2/${name}/manifests/${digest}`,
    'docker-content-digest': digest,
  };
  if (manifest.subject !== undefined) headers['oci-subject'] = manifest.subject;
  return new Response(null, { status: 201, headers });
}

export function recordOf(manifest: Manifest, size: number, pushedMs: number): ManifestRecord {
  return { ...manifest, size, pushedMs };
}

/** Everything but the subject must be here already. */
function checkReferences(registry: Registry, name: string, manifest: Manifest): void {
  const repository = registry.catalogue.repository(name);
  const missing = [
    ...manifest.blobs.filter((digest) => !registry.hasBlob(name, digest)),
    ...manifest.manifests.filter((digest) => repository?.manifests.has(digest) !== true),
  ];
  if (missing.length === 0) return;
  throw new RegistryError('MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry', {
    detail: missing.slice(0, 100).map((digest) => ({ digest })),
  });
}

export function deleteManifest(registry: Registry, name: string, reference: string): Response {
  const repository = registry.catalogue.repository(name);
  if (isTag(reference) && !isDigest(reference)) {
    if (repository === undefined) throw nameUnknown(name);
    if (!registry.catalogue.deleteTag(name, reference)) throw manifestUnknown(reference);
  } else registry.catalogue.deleteManifest(name, resolve(repository, name, reference));
  return new Response(null, { status: 202, headers: COMMON_HEADERS });
}
