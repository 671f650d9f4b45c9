/**
 * Caches of builds in registries: a manifest (or, as older BuildKits want it, an index) of layers whose configuration
 * says which step made which, or an image that says it in its own. Only that is fetched; layers come when a build needs
 * their files, each checked against both of its digests.
 */
import { digestOf } from '#content/content-store.ts';
import { type Descriptor, type Index, isImageManifest, type Manifest, MEDIA } from '#content/descriptor.ts';
import type { ContentLease } from '#content/leases.ts';
import { dataLoss, messageOf, notFound } from '#errdefs/errors.ts';
import { CONFIG_BYTES_MAX, decodeImageConfig } from '#image/config.ts';
import { chainIds, type DiffId } from '#layer/chain-id.ts';
import type { LayerSource } from '#layer/register.ts';
import { log } from '#pkg/log/log.ts';
import type { Reference } from '#reference/reference.ts';
import { hasBlob, readBlob } from '#registry/blobs.ts';
import type { Repository, Session } from '#registry/registry-client.ts';
import { putManifest } from '#registry/uploads.ts';
import { translatePull } from './pull-failures.ts';
import type { PullMeans } from './pull.ts';
import { writableSession } from './push.ts';
import { BlobPusher } from './push-blobs.ts';
import { fetchDocument, resolveTop } from './resolve.ts';

const CACHE_CONFIG_TYPE = 'application/vnd.buildkit.cacheconfig.v0';
const CACHE_CONFIG_BYTES_MAX = 32 << 20;
const INLINE_FIELD = 'moby.buildkit.cache.v0';
/** Of an index: more than any image has platforms. */
const IMAGES_MAX = 50;

export interface FetchedCache {
  readonly config: Buffer;
  /** By the digest of the blob. */
  readonly layers: ReadonlyMap<string, { readonly descriptor: Descriptor; readonly diffId: DiffId | undefined }>;
  readonly session: Session | undefined;
}

/** Errors: not-found, unauthorized, forbidden by the policy, data-loss, … */
export async function fetchCaches(
  { admit }: Pick<PullMeans, 'admit'>,
  repository: Repository,
  reference: Reference,
): Promise<FetchedCache[]> {
  try {
    const top = await resolveTop(repository, reference, undefined);
    await admit({ reference, digests: [top.descriptor.digest], repository });
    const { document, session } = top;
    if (document.kind === 'manifest') return await ofManifest(repository, document, session);
    return await ofIndex(repository, reference, document, session);
  } catch (error) {
    throw translatePull(error, reference);
  }
}

async function ofIndex(
  repository: Repository,
  reference: Reference,
  index: Index,
  session: Session | undefined,
): Promise<FetchedCache[]> {
  const own = index.manifests.find(({ mediaType }) => mediaType === CACHE_CONFIG_TYPE);
  if (own !== undefined) {
    const layers = index.manifests.filter((entry) => entry !== own);
    return [{ config: await configOf(repository, own, session), layers: plain(layers), session }];
  }
  const caches: FetchedCache[] = [];
  for (const descriptor of index.manifests.slice(0, IMAGES_MAX)) {
    if (descriptor.mediaType !== MEDIA.manifest && descriptor.mediaType !== MEDIA.dockerManifest) continue;
    const { document } = await fetchDocument(repository, reference, descriptor, { content: undefined, first: session });
    if (document.kind === 'manifest') caches.push(...(await ofManifest(repository, document, session)));
  }
  return caches;
}

async function ofManifest(
  repository: Repository,
  manifest: Manifest,
  session: Session | undefined,
): Promise<FetchedCache[]> {
  const { config: descriptor, layers } = manifest;
  if (descriptor.mediaType === CACHE_CONFIG_TYPE) {
    return [{ config: await configOf(repository, descriptor, session), layers: plain(layers), session }];
  }
  if (!isImageManifest(manifest)) return [];
  if (descriptor.size > CONFIG_BYTES_MAX)
    throw dataLoss(`the image's configuration has ${descriptor.size} bytes, which is too many`);
  const bytes = await verified(repository, descriptor, session);
  const config = inlineCache(bytes, layers);
  if (config === undefined) return [];
  const { diff_ids: diffIds } = decodeImageConfig(bytes).rootfs;
  const known = layers.map((layer, index) => [layer.digest, { descriptor: layer, diffId: diffIds[index] }] as const);
  return [{ config, layers: new Map(known), session }];
}

const plain = (layers: readonly Descriptor[]): FetchedCache['layers'] =>
  new Map(layers.map((descriptor) => [descriptor.digest, { descriptor, diffId: undefined }]));

async function configOf(repository: Repository, descriptor: Descriptor, session: Session | undefined): Promise<Buffer> {
  if (descriptor.size > CACHE_CONFIG_BYTES_MAX) throw dataLoss(`a cache config of ${descriptor.size} bytes`);
  return verified(repository, descriptor, session);
}

async function verified(repository: Repository, descriptor: Descriptor, session: Session | undefined): Promise<Buffer> {
  const bytes = await readBlob(repository, descriptor, session);
  if (digestOf(bytes) !== descriptor.digest) throw dataLoss(`verification failed for digest ${descriptor.digest}`);
  return bytes;
}

/**
 * What an image's configuration says of the steps that made its layers, as a config of its own: records alone, which
 * name the image's layers by their number. Undefined when it says nothing.
 */
export function inlineCache(config: Uint8Array, layers: readonly { readonly digest: string }[]): Buffer | undefined {
  try {
    const document: unknown = JSON.parse(Buffer.from(config).toString());
    const field: unknown =
      typeof document === 'object' && document !== null ? Reflect.get(document, INLINE_FIELD) : undefined;
    if (typeof field !== 'string' || field.length > CACHE_CONFIG_BYTES_MAX) return undefined;
    const records: unknown = JSON.parse(Buffer.from(field, 'base64').toString());
    const own = layers.map(({ digest }, index) => ({ blob: digest, parent: index - 1 }));
    return Buffer.from(JSON.stringify({ layers: own, records }));
  } catch (error) {
    log.debug('a configuration without a readable cache', { err: messageOf(error) });
    return undefined;
  }
}

export interface WantedLayer {
  readonly diffId: DiffId;
  readonly descriptor: Descriptor;
}

/** Puts a stack of layers into the store. Errors: of the registry; data-loss when one is not what it should be. */
export async function bringLayers(
  { images, content, transfers, sources }: PullMeans,
  stack: readonly WantedLayer[],
  where: { readonly repository: Repository; readonly session: Session | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { layers } = images;
  const { repository, session } = where;
  using layerLease = layers.lease();
  using lease = content.lease({ purpose: `build cache of ${repository.name}` });
  const chain = chainIds(stack.map(({ diffId }) => diffId));
  for (const chainId of chain) layerLease.add(chainId);
  for (const { descriptor } of stack) lease.add(descriptor.digest);
  const sessions = repository.sessions('pull', session);
  await using shares = new AsyncDisposableStack();
  const begun = stack.map(({ descriptor: { digest, size } }, index) => {
    const key = chain[index];
    if (key === undefined || layers.get(key) !== undefined) return undefined;
    const blob = { path: repository.path, digest, size };
    return shares.use(transfers.share({ key, blob, repository, sessions }));
  });
  const stop = Promise.withResolvers<never>();
  stop.promise.catch(() => undefined);
  const abort = (): void => stop.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    await Promise.race([
      Promise.all(begun.flatMap((share) => (share === undefined ? [] : [share.prepared]))),
      stop.promise,
    ]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
  const wanted: LayerSource[] = [];
  for (const [index, { diffId, descriptor }] of stack.entries()) {
    const share = begun[index];
    if (share === undefined) wanted.push({ diffId, file: '' });
    else {
      const prepared = await share.prepared;
      wanted.push({ diffId, blobDigest: descriptor.digest, file: share.file(), prepared });
    }
  }
  await layers.register(wanted, {
    lease: layerLease,
    signal,
    keep: (files) =>
      content.keep(
        files.filter(({ file, digest }) => file !== content.path(digest)),
        lease,
      ),
  });
  sources.note(
    repository,
    stack.map(({ descriptor }) => descriptor.digest),
  );
}

export interface CachePush {
  readonly config: Uint8Array;
  readonly layers: readonly { readonly descriptor: Descriptor; ready(): Promise<void> }[];
  /** A manifest like an image's; else an index of layers. */
  readonly imageManifest: boolean;
  readonly ociTypes: boolean;
}

/** The manifest of a cache, and its blobs into the content store's `lease`. */
export function cacheManifest({ layers, imageManifest, ociTypes }: CachePush, config: Descriptor): Buffer {
  const oci = ociTypes || imageManifest;
  const typed = layers.map(({ descriptor }) =>
    oci ? descriptor : { ...descriptor, mediaType: dockerType(descriptor) },
  );
  const own = { mediaType: config.mediaType, digest: config.digest, size: config.size };
  const document = imageManifest
    ? { schemaVersion: 2, mediaType: MEDIA.manifest, config: own, layers: typed }
    : { schemaVersion: 2, mediaType: oci ? MEDIA.index : MEDIA.dockerIndex, manifests: [...typed, own] };
  return Buffer.from(JSON.stringify(document, null, 2));
}

const dockerType = ({ mediaType }: Descriptor): string =>
  mediaType === MEDIA.layerGzip ? MEDIA.dockerLayerGzip : mediaType === MEDIA.layer ? MEDIA.dockerLayer : mediaType;

/** Puts a cache under a tag. Layers that the registry has already are not even asked for. */
export async function pushCache(
  { content, sources }: Pick<PullMeans, 'content' | 'sources'>,
  repository: Repository,
  tag: string,
  push: CachePush,
  lease: ContentLease,
): Promise<void> {
  const session = await writableSession(repository);
  const { signal } = repository;
  for (const { descriptor, ready } of push.layers) {
    if (!content.has(descriptor.digest) && !(await hasBlob(repository, descriptor.digest, session))) await ready();
  }
  const pusher = new BlobPusher({ repository, session, content, sources, tell: async () => undefined, signal });
  const config = { mediaType: CACHE_CONFIG_TYPE, ...(await content.put(push.config, lease)) };
  const blobs = [...push.layers.map(({ descriptor }) => descriptor), config];
  await pusher.push(blobs.map((descriptor) => ({ descriptor, id: undefined })));
  const bytes = cacheManifest(push, config);
  const document = JSON.parse(bytes.toString()) as { readonly mediaType: string };
  await putManifest(repository, session, { bytes, mediaType: document.mediaType, digest: digestOf(bytes) }, tag);
  sources.note(
    repository,
    push.layers.map(({ descriptor }) => descriptor.digest),
  );
}

/** An image under its digest alone: blobs, what an index names, and itself. Errors: not-found when a part is not here. */
export async function pushByDigest(
  { content, sources }: Pick<PullMeans, 'content' | 'sources'>,
  repository: Repository,
  digest: string,
): Promise<void> {
  const session = await writableSession(repository);
  const { signal } = repository;
  const pusher = new BlobPusher({ repository, session, content, sources, tell: async () => undefined, signal });
  const put = async (of: string): Promise<void> => {
    const document = content.document(of);
    const size = content.size(of);
    if (document === undefined || size === undefined) throw notFound(`manifest ${of} is not here`);
    if (document.kind === 'index') for (const child of document.manifests) await put(child.digest);
    else {
      const blobs = [...document.layers, document.config];
      await pusher.push(blobs.map((descriptor) => ({ descriptor, id: undefined })));
    }
    const bytes = content.read(of, size);
    await putManifest(repository, session, { bytes, mediaType: document.mediaType, digest: of }, of);
  };
  await put(digest);
}
