/**
 * Descriptors, manifests and indexes of the OCI image specification and of Docker's schema 2. They come from strangers:
 * types are checked, numbers bounded, and digests are ones that this store knows.
 */
import { isBlobDigest } from './digest.ts';
import { dataLoss } from '#errdefs/errors.ts';

export const MEDIA = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  empty: 'application/vnd.oci.empty.v1+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const;

/** Of a manifest or index; registries allow no more. */
export const MANIFEST_BYTES_MAX = 4 << 20;
const MANIFESTS_MAX = 1000;
const LAYERS_MAX = 1000;
const TEXT_MAX = 4096;

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
  readonly 'os.version'?: string | undefined;
  readonly 'os.features'?: readonly string[] | undefined;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: Platform | undefined;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export interface Manifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Index {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly manifests: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

const IMAGE_CONFIGS: ReadonlySet<string> = new Set([MEDIA.config, MEDIA.dockerConfig]);

export const isIndexType = (type: string): boolean => type === MEDIA.index || type === MEDIA.dockerIndex;
export const isManifestType = (type: string): boolean => type === MEDIA.manifest || type === MEDIA.dockerManifest;

/** Whether the manifest is one of an image that a container can be made of; else an artifact, an attestation, a chart. */
export const isImageManifest = (manifest: Manifest): boolean => IMAGE_CONFIGS.has(manifest.config.mediaType);

/** BuildKit's attestations lie in the index beside the image that they speak of. */
export const isAttestation = ({ annotations }: Descriptor): boolean =>
  annotations?.['vnd.docker.reference.type'] === 'attestation-manifest';

/** Errors: data-loss naming what is wrong; also for manifests of schema 1, by name. */
export function decodeManifest(bytes: Uint8Array): Manifest | Index {
  if (bytes.length > MANIFEST_BYTES_MAX) throw wrong(`longer than ${MANIFEST_BYTES_MAX} bytes`);
  let document: unknown;
  try {
    document = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw dataLoss('invalid image manifest: not JSON', { cause });
  }
  if (!isFields(document)) throw wrong('not a JSON object');
  if (document['schemaVersion'] === 1)
    throw wrong('schema 1 is not supported: push the image again with a newer client');
  if (document['schemaVersion'] !== 2) throw wrong('schemaVersion is not 2');
  const { manifests, layers, config, fsLayers } = document;
  // One document that is read as two things: CVE-2021-41190.
  if (fsLayers !== undefined || (manifests !== undefined && (layers !== undefined || config !== undefined))) {
    throw wrong('it is a manifest and an index at once');
  }
  const common = {
    artifactType: optionalText(document, 'artifactType'),
    subject: document['subject'] === undefined ? undefined : decodeDescriptor(document['subject']),
    annotations: textsOf(document['annotations']) ?? {},
  };
  const mediaType = optionalText(document, 'mediaType');
  if (Array.isArray(manifests)) {
    if (manifests.length > MANIFESTS_MAX) throw wrong(`more than ${MANIFESTS_MAX} manifests`);
    if (mediaType !== undefined && !isIndexType(mediaType)) throw wrong(`"${mediaType}" has manifests`);
    const decoded = manifests.map((entry: unknown) => decodeDescriptor(entry));
    return { kind: 'index', mediaType: mediaType ?? MEDIA.index, manifests: decoded, ...common };
  }
  if (!Array.isArray(layers)) throw wrong('it is neither a manifest nor an index');
  if (layers.length > LAYERS_MAX) throw wrong(`more than ${LAYERS_MAX} layers`);
  if (mediaType !== undefined && !isManifestType(mediaType)) throw wrong(`"${mediaType}" has layers`);
  return {
    kind: 'manifest',
    mediaType: mediaType ?? MEDIA.manifest,
    config: decodeDescriptor(config),
    layers: layers.map((entry: unknown) => decodeDescriptor(entry)),
    ...common,
  };
}

/** Errors: data-loss. */
export function decodeDescriptor(value: unknown): Descriptor {
  if (!isFields(value)) throw wrong('a descriptor is no object');
  const { mediaType, digest, size, platform } = value;
  if (typeof mediaType !== 'string' || typeof digest !== 'string' || typeof size !== 'number') {
    throw wrong('a descriptor is incomplete');
  }
  if (!Number.isSafeInteger(size) || size < 0) throw wrong(`"${size}" is no size`);
  if (mediaType.length > TEXT_MAX) throw wrong('a media type is too long');
  if (!isBlobDigest(digest)) throw wrong(`"${digest.slice(0, 100)}" is no sha256 or sha512 digest`);
  const annotations = textsOf(value['annotations']);
  const artifactType = optionalText(value, 'artifactType');
  return {
    mediaType,
    digest,
    size,
    ...(platform === undefined || platform === null ? {} : { platform: decodePlatform(platform) }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function decodePlatform(value: unknown): Platform {
  if (!isFields(value)) throw wrong('a platform is no object');
  const variant = optionalText(value, 'variant');
  const version = optionalText(value, 'os.version');
  const features = value['os.features'];
  return {
    os: optionalText(value, 'os') ?? '',
    architecture: optionalText(value, 'architecture') ?? '',
    ...(variant === undefined || variant === '' ? {} : { variant }),
    ...(version === undefined ? {} : { 'os.version': version }),
    ...(Array.isArray(features) ? { 'os.features': features.filter((f) => typeof f === 'string') } : {}),
  };
}

/** Everything that a document names directly. */
export function childrenOf(document: Manifest | Index): readonly Descriptor[] {
  return document.kind === 'index' ? document.manifests : [document.config, ...document.layers];
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const wrong = (why: string) => dataLoss(`invalid image manifest: ${why}`);

function optionalText(fields: Fields, key: string): string | undefined {
  const value = fields[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string' || value.length > TEXT_MAX) throw wrong(`"${key}" is malformed`);
  return value;
}

function textsOf(value: unknown): Record<string, string> | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isFields(value)) throw wrong('annotations are no object');
  const texts: [string, string][] = [];
  for (const [key, text] of Object.entries(value)) if (typeof text === 'string') texts.push([key, text]);
  return Object.fromEntries(texts);
}
