/**
 * The formats of image archives: docker-archive (manifest.json), OCI image layout (index.json), and both in one file as
 * Docker writes it since 25. Archives come from strangers: documents are bounded, types are checked, and everything that
 * is named by a digest is checked against it.
 */
import { dataLoss, notImplemented } from '#errdefs/errors.ts';
import { digestOf } from '#content/content-store.ts';
import { isDigest, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import {
  CONFIG_BYTES_MAX,
  decodeImageConfig,
  type ImageConfigFile,
  isObject,
  parseJson,
  parseJsonObject,
} from './config.ts';
import type { Spool, SpooledFile } from './spool.ts';

const MANIFEST_BYTES_MAX = 4 << 20;
const IMAGES_MAX = 1000;
const INDEX_DEPTH_MAX = 4;

export interface ArchivedLayer {
  readonly file: SpooledFile;
  /** What the file must hash to; undefined in formats that do not say. */
  readonly digest: string | undefined;
}

export interface ArchivedImage {
  readonly configBytes: Buffer;
  readonly config: ImageConfigFile;
  readonly references: readonly Reference[];
  readonly layers: readonly ArchivedLayer[];
}

/** The images of an archive. Errors: data-loss naming what is wrong. */
export function readImages(spool: Spool): ArchivedImage[] {
  const manifest = spool.read('manifest.json', MANIFEST_BYTES_MAX);
  if (manifest !== undefined) return readDockerArchive(spool, manifest);
  const index = spool.read('index.json', MANIFEST_BYTES_MAX);
  if (index !== undefined) return readOciLayout(spool, index);
  if (spool.file('repositories') !== undefined) {
    throw notImplemented('image archives of Docker before 1.10 are not supported: they have no manifest.json');
  }
  throw dataLoss('invalid image archive: it has neither manifest.json nor index.json');
}

function readDockerArchive(spool: Spool, bytes: Buffer): ArchivedImage[] {
  const manifest = parseJson(bytes, 'manifest.json');
  if (!Array.isArray(manifest) || manifest.length > IMAGES_MAX) throw dataLoss('invalid manifest.json: not a list');
  return manifest.map((entry: unknown) => {
    if (!isObject(entry)) throw dataLoss('invalid manifest.json: an entry is no object');
    const { Config: configName, Layers: layerNames, RepoTags: tags } = entry;
    if (typeof configName !== 'string') throw dataLoss('invalid manifest.json: an entry has no Config');
    const configBytes = spool.read(configName, CONFIG_BYTES_MAX);
    if (configBytes === undefined) throw missing(configName);
    checkNamedDigest(configName, digestOf(configBytes));
    const config = decodeImageConfig(configBytes);
    const names = stringList(layerNames, 'Layers');
    if (names.length !== config.rootfs.diff_ids.length) {
      throw dataLoss(
        `invalid manifest, layers length mismatch: expected ${config.rootfs.diff_ids.length}, got ${names.length}`,
      );
    }
    const layers = names.map((name) => {
      const file = spool.file(name);
      if (file === undefined) throw missing(name);
      return { file, digest: namedDigest(name) };
    });
    const references = stringList(tags, 'RepoTags').map((tag) => withDefaultTag(parseReference(tag)));
    return { configBytes, config, references, layers };
  });
}

function readOciLayout(spool: Spool, bytes: Buffer): ArchivedImage[] {
  const images: ArchivedImage[] = [];
  const visit = (index: Readonly<Record<string, unknown>>, named: readonly Reference[], depth: number): void => {
    const { manifests } = index;
    if (!Array.isArray(manifests)) throw dataLoss('invalid image index: it has no manifests');
    for (const entry of manifests as readonly unknown[]) {
      if (images.length >= IMAGES_MAX) throw dataLoss(`invalid image archive: more than ${IMAGES_MAX} images`);
      const descriptor = decodeDescriptor(entry);
      const references = named.length > 0 ? named : referencesOf(descriptor.annotations);
      const blob = readBlob(spool, descriptor);
      // Several platforms in one archive: those that are not here are left out.
      if (blob === undefined && depth > 0) continue;
      if (blob === undefined) throw missing(`blobs/${descriptor.digest.replace(':', '/')}`);
      const document = parseJsonObject(blob, 'image manifest');
      if (Array.isArray(document['manifests']) !== Array.isArray(document['layers'])) {
        if (Array.isArray(document['layers'])) {
          const image = readManifest(spool, document, references);
          if (image !== undefined) images.push(image);
        } else if (depth < INDEX_DEPTH_MAX) visit(document, references, depth + 1);
        else throw dataLoss('invalid image index: nested too deeply');
      } else throw dataLoss('invalid image manifest: it is neither a manifest nor an index');
    }
  };
  visit(parseJsonObject(bytes, 'index.json'), [], 0);
  if (images.length === 0) throw dataLoss('invalid image archive: it has no images');
  return images;
}

/** Undefined for what is no image of this kind (attestations, artifacts). */
function readManifest(
  spool: Spool,
  manifest: Readonly<Record<string, unknown>>,
  references: readonly Reference[],
): ArchivedImage | undefined {
  const configDescriptor = decodeDescriptor(manifest['config']);
  const isImage = /^application\/vnd\.(?:oci\.image\.config\.v1|docker\.container\.image\.v1)\+json$/;
  if (!isImage.test(configDescriptor.mediaType)) return undefined;
  const configBytes = readBlob(spool, configDescriptor);
  if (configBytes === undefined) throw missing(configDescriptor.digest);
  const config = decodeImageConfig(configBytes);
  // An attestation says so by its platform; it has no root file system.
  if (config.os === 'unknown') return undefined;
  const descriptors = (manifest['layers'] as readonly unknown[]).map((layer) => decodeDescriptor(layer));
  if (descriptors.length !== config.rootfs.diff_ids.length) {
    throw dataLoss(
      `invalid manifest, layers length mismatch: expected ${config.rootfs.diff_ids.length}, got ${descriptors.length}`,
    );
  }
  const layers = descriptors.map(({ digest, size }) => {
    const file = spool.file(`blobs/${digest.replace(':', '/')}`);
    if (file === undefined) throw missing(digest);
    if (file.size !== size) throw dataLoss(`invalid image archive: blob ${digest} has ${file.size} bytes, not ${size}`);
    return { file, digest };
  });
  return { configBytes, config, references, layers };
}

interface ReadDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations: Readonly<Record<string, unknown>>;
}

function decodeDescriptor(value: unknown): ReadDescriptor {
  if (!isObject(value)) throw dataLoss('invalid image manifest: a descriptor is no object');
  const { mediaType, digest, size, annotations } = value;
  if (typeof mediaType !== 'string' || typeof digest !== 'string' || typeof size !== 'number') {
    throw dataLoss('invalid image manifest: a descriptor is incomplete');
  }
  if (!isDigest(digest) || !digest.startsWith('sha256:')) {
    throw dataLoss(`invalid image manifest: "${digest}" is no sha256 digest`);
  }
  return { mediaType, digest, size, annotations: isObject(annotations) ? annotations : {} };
}

function readBlob(spool: Spool, descriptor: ReadDescriptor): Buffer | undefined {
  const bytes = spool.read(`blobs/${descriptor.digest.replace(':', '/')}`, MANIFEST_BYTES_MAX);
  if (bytes === undefined) return undefined;
  if (bytes.length !== descriptor.size || digestOf(bytes) !== descriptor.digest) {
    throw dataLoss(`invalid image archive: the content of blob ${descriptor.digest} is not what its name says`);
  }
  return bytes;
}

/** containerd's full name, or skopeo's and podman's ref.name when it is more than a tag. */
function referencesOf(annotations: Readonly<Record<string, unknown>>): Reference[] {
  const full = annotations['io.containerd.image.name'];
  if (typeof full === 'string' && full !== '') return [withDefaultTag(parseReference(full))];
  const name = annotations['org.opencontainers.image.ref.name'];
  if (typeof name !== 'string' || !/[:/]/.test(name)) return [];
  return [withDefaultTag(parseReference(name))];
}

/** `<hex>.json` and `blobs/sha256/<hex>` promise a digest. */
function namedDigest(name: string): string | undefined {
  const match = /^(?:\.\/)?blobs\/sha256\/([0-9a-f]{64})$/.exec(name);
  return match === null ? undefined : `sha256:${match[1] ?? ''}`;
}

function checkNamedDigest(name: string, digest: string): void {
  const promised = namedDigest(name) ?? /^sha256:[0-9a-f]{64}$/.exec(`sha256:${name.replace(/\.json$/, '')}`)?.[0];
  if (promised !== undefined && promised !== digest) {
    throw dataLoss(`invalid image archive: the content of "${name}" is not what its name says`);
  }
}

function stringList(value: unknown, field: string): string[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw dataLoss(`invalid manifest.json: ${field} is no list`);
  return value.map((entry: unknown) => {
    if (typeof entry !== 'string') throw dataLoss(`invalid manifest.json: ${field} is no list of strings`);
    return entry;
  });
}

const missing = (name: string) => dataLoss(`invalid image archive: "${name}" is missing`);
