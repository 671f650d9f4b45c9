/**
 * `save`: one tar that is a docker-archive and an OCI image layout at once, as Docker writes it since 25, so that every
 * Docker, podman, skopeo and containerd reads it. Blobs are copied as they were kept; zstd layers are written inflated,
 * because Docker before 23 does not know them. Deterministic: times are zero.
 */
import * as fs from 'node:fs';
import zlib from 'node:zlib';
import { cancelled, dataLoss, kindOf } from '#errdefs/errors.ts';
import { digestOf } from '#content/content-store.ts';
import type { Layer } from '#layer/records.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import { canonicalString, familiarName, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import { type Image, noSuchImage } from './image.ts';
import type { ImageStore } from './image-store.ts';

export interface SaveInput {
  /** Names, ids, or bare repositories (all their tags). */
  readonly names: readonly string[];
  readonly write: (bytes: Uint8Array) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

interface SavedImage {
  readonly image: Image;
  readonly references: Reference[];
}

interface SavedLayer {
  readonly layer: Layer;
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
}

const READ_BYTES = 1 << 20;
const MEDIA = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  tar: 'application/vnd.oci.image.layer.v1.tar',
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const;

/** Everything is looked up before the first byte. Errors: not-found, invalid-parameter; cancelled. */
export async function saveImages(store: ImageStore, input: SaveInput): Promise<void> {
  const images = selectImages(store, input.names);
  using lease = store.layers.lease();
  const layers = new Map<string, SavedLayer>();
  const small = new Map<string, Buffer>();
  const dockerManifest: unknown[] = [];
  const descriptors: unknown[] = [];
  const repositories: Record<string, Record<string, string>> = {};
  for (const { image, references } of images) {
    if (image.chainId !== undefined) lease.add(image.chainId);
    const stack = store.layers.chain(image.chainId).reverse().map(savedLayer);
    for (const saved of stack) layers.set(saved.digest, saved);
    const config = store.configBytes(image.id);
    small.set(image.id, config);
    const manifest = Buffer.from(JSON.stringify(ociManifest(image.id, config.length, stack)));
    const digest = digestOf(manifest);
    small.set(digest, manifest);
    dockerManifest.push(dockerEntry(image.id, references, stack));
    descriptors.push(...indexEntries(digest, manifest.length, references));
    const top = stack.at(-1);
    for (const reference of references) {
      if (reference.tag === undefined || top === undefined) continue;
      (repositories[familiarName(reference)] ??= {})[reference.tag] = top.layer.chainId.slice('sha256:'.length);
    }
  }
  const output = new ArchiveOutput(input);
  await output.directory('blobs/');
  await output.directory('blobs/sha256/');
  for (const digest of [...layers.keys(), ...small.keys()].sort((a, b) => (a < b ? -1 : 1))) {
    const name = `blobs/sha256/${digest.slice('sha256:'.length)}`;
    const bytes = small.get(digest);
    const saved = layers.get(digest);
    if (bytes !== undefined) await output.file(name, bytes);
    else if (saved !== undefined) await output.layer(name, saved, store.content.path(saved.layer.blob.digest));
  }
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  await output.file('index.json', json({ schemaVersion: 2, mediaType: MEDIA.index, manifests: descriptors }));
  await output.file('manifest.json', json(dockerManifest));
  await output.file('oci-layout', json({ imageLayoutVersion: '1.0.0' }));
  if (Object.keys(repositories).length > 0) await output.file('repositories', json(repositories));
  await output.write(endOfArchive);
}

/** One entry per image, in the order asked for; a name given twice counts once. */
function selectImages(store: ImageStore, names: readonly string[]): SavedImage[] {
  const selected = new Map<string, SavedImage>();
  const add = (id: string, reference: Reference | undefined): void => {
    const entry = selected.get(id) ?? { image: store.get(id), references: [] };
    selected.set(id, entry);
    if (reference?.tag === undefined || reference.digest !== undefined) return;
    if (!entry.references.some((known) => canonicalString(known) === canonicalString(reference))) {
      entry.references.push(reference);
    }
  };
  for (const name of names) {
    const image = resolveFor(store, name);
    if (image.byName === undefined) add(image.id, undefined);
    else for (const { id, reference } of image.byName) add(id, reference);
  }
  return [...selected.values()];
}

interface Resolved {
  readonly id: string;
  /** Undefined: it was named by its id. */
  readonly byName: readonly { readonly id: string; readonly reference: Reference }[] | undefined;
}

function resolveFor(store: ImageStore, name: string): Resolved {
  const resolved = resolveOrRefuse(store, name);
  const bareId = name.startsWith('sha256:') ? name.slice('sha256:'.length) : name;
  if (/^[0-9a-f]{1,64}$/.test(bareId) && resolved.id.startsWith(`sha256:${bareId}`)) {
    const isAlsoName = bareId.length < 64 && !name.startsWith('sha256:') && store.lookup(parseReference(name));
    if (isAlsoName !== resolved.id) return { id: resolved.id, byName: undefined };
  }
  const reference = parseReference(name);
  if (reference.tag !== undefined || reference.digest !== undefined) {
    return { id: resolved.id, byName: [{ id: resolved.id, reference }] };
  }
  // A bare repository means all its tags.
  const repository = canonicalString(reference);
  const byName = store
    .list()
    .flatMap((image) => store.references(image.id).map((known) => ({ id: image.id, reference: known })))
    .filter(({ reference: known }) => canonicalString({ ...known, tag: undefined, digest: undefined }) === repository);
  return {
    id: resolved.id,
    byName: byName.length > 0 ? byName : [{ id: resolved.id, reference: withDefaultTag(reference) }],
  };
}

/** Of a save Docker tells the name as it was given. */
function resolveOrRefuse(store: ImageStore, name: string): Image {
  try {
    return store.resolve(name);
  } catch (error) {
    throw kindOf(error) === 'not-found' ? noSuchImage(name) : error;
  }
}

function savedLayer(layer: Layer): SavedLayer {
  const { blob } = layer;
  if (blob.compression === 'zstd') {
    return { layer, digest: layer.diffId, size: layer.tarSize, mediaType: MEDIA.tar };
  }
  const mediaType = blob.compression === 'gzip' ? MEDIA.gzip : MEDIA.tar;
  return { layer, digest: blob.digest, size: blob.size, mediaType };
}

const descriptorOf = ({ digest, size, mediaType }: SavedLayer) => ({ mediaType, digest, size });

function ociManifest(configDigest: string, configSize: number, stack: readonly SavedLayer[]): unknown {
  return {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    config: { mediaType: MEDIA.config, digest: configDigest, size: configSize },
    layers: stack.map(descriptorOf),
  };
}

const blobName = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`;

function dockerEntry(configDigest: string, references: readonly Reference[], stack: readonly SavedLayer[]): unknown {
  return {
    Config: blobName(configDigest),
    // As Docker: null when the image was saved by its id.
    RepoTags: references.length === 0 ? null : references.map((r) => `${familiarName(r)}:${r.tag ?? ''}`),
    Layers: stack.map(({ digest }) => blobName(digest)),
    LayerSources: Object.fromEntries(stack.map((saved) => [saved.layer.diffId, descriptorOf(saved)])),
  };
}

function indexEntries(digest: string, size: number, references: readonly Reference[]): unknown[] {
  const descriptor = { mediaType: MEDIA.manifest, digest, size };
  if (references.length === 0) return [descriptor];
  return references.map((reference) => ({
    ...descriptor,
    annotations: {
      'io.containerd.image.name': canonicalString(reference),
      'org.opencontainers.image.ref.name': reference.tag ?? '',
    },
  }));
}

class ArchiveOutput {
  readonly #input: SaveInput;

  constructor(input: SaveInput) {
    this.#input = input;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#input.signal?.aborted === true) throw cancelled('the save was cancelled');
    await this.#input.write(bytes);
  }

  async directory(name: string): Promise<void> {
    await this.write(formatEntry(plainEntry(name, { type: 'directory' })));
  }

  async file(name: string, bytes: Buffer): Promise<void> {
    const header = formatEntry(plainEntry(name, { type: 'file', size: bytes.length }));
    await this.write(Buffer.concat([header, bytes, Buffer.alloc(padding(bytes.length))]));
  }

  async layer(name: string, saved: SavedLayer, file: string): Promise<void> {
    await this.write(formatEntry(plainEntry(name, { type: 'file', size: saved.size })));
    let size = 0;
    for await (const piece of saved.layer.blob.compression === 'zstd' ? inflatedFile(file) : pieces(file)) {
      size += piece.length;
      await this.write(piece);
    }
    if (size !== saved.size) throw dataLoss(`the kept layer ${saved.digest} has ${size} bytes, not ${saved.size}`);
    if (padding(size) > 0) await this.write(Buffer.alloc(padding(size)));
  }
}

async function* pieces(file: string): AsyncGenerator<Uint8Array> {
  await using handle = await fs.promises.open(file, 'r');
  for (;;) {
    // A fresh buffer each time: the reader may hold on to it.
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function* inflatedFile(file: string): AsyncGenerator<Uint8Array> {
  const source = fs.createReadStream(file);
  const inflate = zlib.createZstdDecompress();
  source.on('error', (error) => inflate.destroy(error));
  try {
    for await (const chunk of source.pipe(inflate)) {
      // as: a byte stream in binary mode yields buffers.
      yield chunk as Buffer;
    }
  } finally {
    source.destroy();
  }
}
