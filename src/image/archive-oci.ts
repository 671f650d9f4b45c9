/**
 * OCI image layouts: index.json names manifests, or indexes with one manifest a platform. Platforms that are not in the
 * archive are left out; the index stays what it is, so that its digest does.
 */
import { type Algorithm, algorithmOf } from '#content/digest.ts';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { digestOf } from '#content/content-store.ts';
import {
  decodeDescriptor,
  decodeManifest,
  type Descriptor,
  isAttestation,
  isImageManifest,
  isIndexType,
  isManifestType,
  type Manifest,
  MANIFEST_BYTES_MAX,
} from '#content/descriptor.ts';
import { dataLoss } from '#errdefs/errors.ts';
import { canonicalString, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import { type ArchivedImage, type ArchivedName, IMAGES_MAX, missing } from './archived.ts';
import { CONFIG_BYTES_MAX, decodeImageConfig, parseJsonObject } from './config.ts';
import type { Spool, SpooledFile } from './spool.ts';

const INDEX_DEPTH_MAX = 4;
const DOCUMENTS_BYTES_MAX = 64 << 20;
/** What an attestation says (an SBOM may be long). */
const EXTRA_BYTES_MAX = 64 << 20;
const READ_BYTES = 1 << 20;

/** Errors: data-loss naming what is wrong. */
export function readOciLayout(spool: Spool, bytes: Buffer): ArchivedName[] {
  const { manifests } = parseJsonObject(bytes, 'index.json');
  if (!Array.isArray(manifests)) throw dataLoss('invalid image index: it has no manifests');
  if (manifests.length > IMAGES_MAX) throw dataLoss(`invalid image archive: more than ${IMAGES_MAX} images`);
  const reader = new LayoutReader(spool);
  const named = new Map<string, { readonly target: Descriptor; readonly references: Reference[] }>();
  for (const entry of manifests as readonly unknown[]) {
    const descriptor = decodeDescriptor(entry);
    if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType)) continue;
    const known = named.get(descriptor.digest) ?? { target: descriptor, references: [] };
    named.set(descriptor.digest, known);
    for (const reference of referencesOf(descriptor.annotations ?? {})) {
      if (!known.references.some((one) => canonicalString(one) === canonicalString(reference))) {
        known.references.push(reference);
      }
    }
  }
  const names = [...named.values()].flatMap(({ target, references }) => reader.read(target, references));
  if (names.length === 0) throw dataLoss('invalid image archive: it has no images');
  return names;
}

class LayoutReader {
  readonly #spool: Spool;
  #images = 0;
  #documentBytes = 0;

  constructor(spool: Spool) {
    this.#spool = spool;
  }

  /** Nothing for what is no image (artifacts). */
  read(target: Descriptor, references: readonly Reference[]): ArchivedName[] {
    const images: ArchivedImage[] = [];
    const documents = new Map<string, Buffer>();
    const extras: { file: SpooledFile; digest: string }[] = [];
    const visit = (descriptor: Descriptor, depth: number): void => {
      if (documents.has(descriptor.digest)) return;
      const bytes = this.#blob(descriptor);
      if (bytes === undefined) {
        // Of several platforms those that are not here are left out.
        if (depth > 0) return;
        throw missing(blobName(descriptor.digest));
      }
      const document = decodeManifest(bytes);
      this.#documentBytes += bytes.length;
      if (this.#documentBytes > DOCUMENTS_BYTES_MAX) throw dataLoss('invalid image archive: too many manifests');
      if (document.kind === 'index') {
        if (depth >= INDEX_DEPTH_MAX) throw dataLoss('invalid image index: nested too deeply');
        documents.set(descriptor.digest, bytes);
        for (const child of document.manifests) visit(child, depth + 1);
        return;
      }
      const { mediaType } = document;
      const image = this.#image(document, { ...plain(descriptor), mediaType }, depth > 0);
      if (image === 'not here') return;
      if (image !== undefined) images.push(image);
      else if (depth > 0 && isAttestation(descriptor)) extras.push(...this.#extras(document));
      else return;
      documents.set(descriptor.digest, bytes);
    };
    visit(target, 0);
    if (images.length === 0) return [];
    return [{ references, target: plain(target), images, documents, extras }];
  }

  /** Undefined for what is no image of this kind (attestations, artifacts). */
  #image(manifest: Manifest, descriptor: Descriptor, optional: boolean): ArchivedImage | undefined | 'not here' {
    if (!isImageManifest(manifest)) return undefined;
    const configBytes = this.#blob(manifest.config, CONFIG_BYTES_MAX);
    if (configBytes === undefined) {
      if (optional) return 'not here';
      throw missing(manifest.config.digest);
    }
    const config = decodeImageConfig(configBytes);
    // An attestation says so by its platform; it has no root file system.
    if (config.os === 'unknown') return undefined;
    const expected = config.rootfs.diff_ids.length;
    if (manifest.layers.length !== expected) {
      throw dataLoss(`invalid manifest, layers length mismatch: expected ${expected}, got ${manifest.layers.length}`);
    }
    if (optional && manifest.layers.some(({ digest }) => this.#spool.file(blobName(digest)) === undefined)) {
      return 'not here';
    }
    if (++this.#images > IMAGES_MAX) throw dataLoss(`invalid image archive: more than ${IMAGES_MAX} images`);
    const layers = manifest.layers.map((layer) => ({ file: this.#file(layer), digest: layer.digest }));
    return { configBytes, config, layers, manifest: descriptor };
  }

  #extras(manifest: Manifest): { file: SpooledFile; digest: string }[] {
    return [manifest.config, ...manifest.layers].flatMap((descriptor) => {
      if (descriptor.size > EXTRA_BYTES_MAX || this.#spool.file(blobName(descriptor.digest)) === undefined) return [];
      const file = this.#file(descriptor);
      if (hashOf(file, algorithmOf(descriptor.digest)) !== descriptor.digest) throw wrongContent(descriptor.digest);
      return [{ file, digest: descriptor.digest }];
    });
  }

  #file({ digest, size }: Descriptor): SpooledFile {
    const file = this.#spool.file(blobName(digest));
    if (file === undefined) throw missing(digest);
    if (file.size !== size) throw dataLoss(`invalid image archive: blob ${digest} has ${file.size} bytes, not ${size}`);
    return file;
  }

  #blob(descriptor: Descriptor, bytesMax = MANIFEST_BYTES_MAX): Buffer | undefined {
    const bytes = this.#spool.read(blobName(descriptor.digest), bytesMax);
    if (bytes === undefined) return undefined;
    if (bytes.length !== descriptor.size || digestOf(bytes, algorithmOf(descriptor.digest)) !== descriptor.digest)
      throw wrongContent(descriptor.digest);
    return bytes;
  }
}

const blobName = (digest: string): string => `blobs/${digest.replace(':', '/')}`;

const plain = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, digest, size });

const wrongContent = (digest: string) =>
  dataLoss(`invalid image archive: the content of blob ${digest} is not what its name says`);

function hashOf(file: SpooledFile, algorithm: Algorithm): string {
  const hash = createHash(algorithm);
  const fd = fs.openSync(file.ingest.path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    const piece = Buffer.allocUnsafe(READ_BYTES);
    for (let count = fs.readSync(fd, piece); count > 0; count = fs.readSync(fd, piece)) {
      hash.update(piece.subarray(0, count));
    }
  } finally {
    fs.closeSync(fd);
  }
  return `${algorithm}:${hash.digest('hex')}`;
}

/** containerd's full name, or skopeo's and podman's ref.name when it is more than a tag. */
function referencesOf(annotations: Readonly<Record<string, string>>): Reference[] {
  const full = annotations['io.containerd.image.name'];
  if (full !== undefined && full !== '') return [withDefaultTag(parseReference(full))];
  const name = annotations['org.opencontainers.image.ref.name'];
  if (name === undefined || !/[:/]/.test(name)) return [];
  return [withDefaultTag(parseReference(name))];
}
