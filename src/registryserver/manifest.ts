/**
 * Reading a manifest that somebody wants to keep here: its type, what it refers to and what it says about itself. The
 * bytes are kept as they came; only what is needed to serve and to collect is taken out of them.
 */
import { RegistryError } from './errors.ts';
import { isDigest } from './names.ts';

/** As every registry: 4 MiB, and all of it is allowed. */
export const MANIFEST_BYTES_MAX = 4 << 20;
const REFERENCES_MAX = 20_000;
const ANNOTATIONS_BYTES_MAX = 64 << 10;

export const MEDIA = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
} as const;
const SCHEMA1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/;
const BLOBS =
  /^application\/vnd\.(?:oci\.image\.layer\.|docker\.image\.rootfs\.(?:diff|foreign)\.|buildkit\.cacheconfig\.)/;
const INDEXES: ReadonlySet<string> = new Set([MEDIA.ociIndex, MEDIA.dockerList]);
const KNOWN: ReadonlySet<string> = new Set(Object.values(MEDIA));

export interface Manifest {
  readonly mediaType: string;
  /** Blobs that must be here: configuration and layers, but not those that lie elsewhere (`urls`). */
  readonly blobs: readonly string[];
  /** Manifests of an index. */
  readonly manifests: readonly string[];
  readonly subject: string | undefined;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

type Document = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Document =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const invalid = (why: string, detail?: unknown) =>
  new RegistryError('MANIFEST_INVALID', `manifest invalid: ${why}`, { detail });

/** Errors: MANIFEST_INVALID naming what is wrong. `contentType` is what the client called it, if it did. */
export function readManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  if (bytes.length > MANIFEST_BYTES_MAX) {
    throw new RegistryError('MANIFEST_INVALID', `manifest invalid: it is larger than ${MANIFEST_BYTES_MAX} bytes`, {
      status: 413,
    });
  }
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new RegistryError('MANIFEST_INVALID', 'manifest invalid: it is not JSON', { cause });
  }
  if (!isObject(document)) throw invalid('it is no object');
  const mediaType = mediaTypeOf(document, contentType);
  if (document['schemaVersion'] !== 2)
    throw invalid(`schemaVersion must be 2, not ${JSON.stringify(document['schemaVersion'])}`);
  const isIndex = INDEXES.has(mediaType);
  if (isIndex && !Array.isArray(document['manifests'])) throw invalid('an index has a list of manifests');
  if (!isIndex && !Array.isArray(document['layers'])) throw invalid('a manifest has a list of layers');
  const config = isIndex ? undefined : descriptor(document['config'], 'config');
  const layers = isIndex ? [] : descriptors(document['layers'], 'layers');
  const manifests = isIndex ? descriptors(document['manifests'], 'manifests') : [];
  const subject = document['subject'] === undefined ? undefined : descriptor(document['subject'], 'subject');
  const ownType = document['artifactType'];
  // BuildKit's caches are indexes of layers.
  const isBlob = ({ mediaType: type }: Descriptor): boolean => type !== undefined && BLOBS.test(type);
  const needed = [...(config === undefined ? [] : [config]), ...layers, ...manifests.filter(isBlob)].filter(
    ({ elsewhere }) => !elsewhere,
  );
  return {
    mediaType,
    blobs: [...new Set(needed.map(({ digest }) => digest))],
    manifests: [...new Set(manifests.filter((entry) => !isBlob(entry)).map(({ digest }) => digest))],
    subject: subject?.digest,
    artifactType: typeof ownType === 'string' && ownType !== '' ? ownType : config?.mediaType,
    annotations: annotationsOf(document['annotations']),
  };
}

/** What it says itself, what the client said, or what its fields show; they must agree. */
function mediaTypeOf(document: Document, contentType: string | undefined): string {
  const said = contentType?.split(';')[0]?.trim().toLowerCase();
  const own = document['mediaType'];
  if (own !== undefined && typeof own !== 'string') throw invalid('mediaType is no text');
  const given = said === undefined || said === '' || said === 'application/json' ? undefined : said;
  if (document['schemaVersion'] === 1 || SCHEMA1.test(given ?? own ?? '')) {
    throw invalid('image manifest schema 1 is not supported: push the image with a newer client');
  }
  if (own !== undefined && given !== undefined && own !== given) {
    throw invalid(`its mediaType is ${JSON.stringify(own)}, but it was sent as ${JSON.stringify(given)}`);
  }
  const type = given ?? own ?? (Array.isArray(document['manifests']) ? MEDIA.ociIndex : MEDIA.ociManifest);
  if (!KNOWN.has(type)) throw invalid(`media type ${JSON.stringify(type.slice(0, 200))} is not supported`);
  return type;
}

interface Descriptor {
  readonly digest: string;
  readonly mediaType: string | undefined;
  readonly elsewhere: boolean;
}

function descriptors(value: unknown, field: string): Descriptor[] {
  const list = Array.isArray(value) ? (value as readonly unknown[]) : [];
  if (list.length > REFERENCES_MAX) throw invalid(`${field} has more than ${REFERENCES_MAX} entries`);
  return list.map((entry) => descriptor(entry, field));
}

function descriptor(value: unknown, field: string): Descriptor {
  if (!isObject(value)) throw invalid(`${field} is no descriptor`);
  const { digest, size, mediaType, urls } = value;
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`a digest of ${field} is not usable`, { digest });
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalid(`a size of ${field} is not usable`);
  return {
    digest,
    mediaType: typeof mediaType === 'string' ? mediaType : undefined,
    elsewhere: Array.isArray(urls) && urls.length > 0,
  };
}

/** Only texts, and only as much as a list of referrers should repeat. */
function annotationsOf(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw invalid('annotations are no object');
  const kept: Record<string, string> = {};
  let bytes = 0;
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry !== 'string') throw invalid('an annotation is no text');
    bytes += key.length + entry.length;
    if (bytes > ANNOTATIONS_BYTES_MAX) break;
    Object.defineProperty(kept, key, { value: entry, enumerable: true });
  }
  return kept;
}
