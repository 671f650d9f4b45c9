/**
 * The grammar of requests: repository names, tags, digests, and what a path below /v2/ means. Everything here comes from
 * strangers; what passes is safe to be shown in a log, but is never used as a path on the disk.
 */
import { isBlobDigest } from '#content/digest.ts';
import { RegistryError } from './errors.ts';

const NAME_LENGTH_MAX = 255;
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const ANY_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;
const SESSION = /^[0-9a-f]{32}$/;

export type Target =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalogue' }
  | { readonly kind: 'tags'; readonly name: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly name: string }
  | { readonly kind: 'upload'; readonly name: string; readonly session: string }
  | { readonly kind: 'referrers'; readonly name: string; readonly digest: string };

/**
 * What a path below `/v2/` means; `path` is without it. Undefined: no such thing. The words are looked for from the
 * right, because a repository may be called `blobs` or `tags/list`. Errors: NAME_INVALID, DIGEST_INVALID.
 */
export function parseTarget(path: string): Target | undefined {
  if (path === '') return { kind: 'base' };
  if (path === '_catalog') return { kind: 'catalogue' };
  const last = path.lastIndexOf('/');
  if (last <= 0) return undefined;
  const tail = path.slice(last + 1);
  const before = path.slice(0, last);
  if (tail === 'list' && before.endsWith('/tags')) return { kind: 'tags', name: checkName(before.slice(0, -5)) };
  if (before.endsWith('/manifests')) {
    return { kind: 'manifest', name: checkName(before.slice(0, -10)), reference: tail };
  }
  if (before.endsWith('/blobs/uploads')) {
    const name = checkName(before.slice(0, -14));
    if (tail === '') return { kind: 'uploads', name };
    if (!SESSION.test(tail)) throw uploadUnknown();
    return { kind: 'upload', name, session: tail };
  }
  if (before.endsWith('/blobs')) {
    const name = checkName(before.slice(0, -6));
    // Docker's client asks for it without the slash after a redirect.
    if (tail === 'uploads') return { kind: 'uploads', name };
    return { kind: 'blob', name, digest: checkDigest(tail) };
  }
  if (before.endsWith('/referrers')) {
    return { kind: 'referrers', name: checkName(before.slice(0, -10)), digest: checkDigest(tail) };
  }
  return undefined;
}

export function checkName(name: string): string {
  if (name.length <= NAME_LENGTH_MAX && NAME.test(name)) return name;
  throw new RegistryError('NAME_INVALID', 'invalid repository name', {
    detail: { name: name.slice(0, NAME_LENGTH_MAX) },
  });
}

/** Errors: DIGEST_INVALID, also for algorithms other than sha256 and sha512. */
export function checkDigest(digest: string): string {
  if (isBlobDigest(digest)) return digest;
  const isOther = ANY_DIGEST.test(digest) && !/^sha(?:256|512):/.test(digest);
  const why = isOther ? 'only sha256 and sha512 are supported' : 'it is malformed';
  throw new RegistryError('DIGEST_INVALID', `provided digest is not usable: ${why}`, { detail: digest.slice(0, 256) });
}

export const isDigest = isBlobDigest;
export const isTag = (text: string): boolean => TAG.test(text);

export const uploadUnknown = () => new RegistryError('BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry');
export const blobUnknown = (digest: string) =>
  new RegistryError('BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } });
export const nameUnknown = (name: string) =>
  new RegistryError('NAME_UNKNOWN', 'repository name not known to registry', { detail: { name } });
